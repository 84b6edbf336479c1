"""Measure the spectrum of Tiny ImageNet's training pictures and store it as `src/pellucid/assets/spectrum.json`.

    python training/spectrum.py --data ../shared/data --cache CACHE_DIR

Reads the colour map that `training/color.py` stored. Takes a minute on one core with a filled cache.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from color import batches, rounded
from data import load_split
from pellucid.images.color import color_map
from pellucid.images.spectrum import fit_spectrum

ASSET = Path(__file__).parent.parent / "src" / "pellucid" / "assets" / "spectrum.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the parquet files")
    parser.add_argument("--cache", type=Path, required=True, help="folder for the decoded pictures, outside the tree")
    parser.add_argument("--out", type=Path, default=ASSET)
    options = parser.parse_args()

    pixels, _ = load_split(options.data, options.cache, "train")
    fitted = fit_spectrum(batches(pixels, 250), color_map("tiny-imagenet"))
    stored = {
        "name": "tiny-imagenet",
        "source": "Tiny ImageNet (Stanford CS231n), training split, in the coordinates of the colour map of assets/"
        "color.json: variance of pixels about their picture's mean, and slope of the amplitude over cycles per "
        "picture. Made by training/spectrum.py.",
        "pictures": len(pixels),
        "variance": rounded(fitted.variance),
        "decay": rounded(fitted.decay),
    }
    options.out.write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")
    print(options.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
