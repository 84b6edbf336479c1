"""Measure the colours of Tiny ImageNet's training pictures and store them as `src/pellucid/assets/color.json`.

    python training/color.py --data ../shared/data --cache CACHE_DIR

Takes a minute on two cores, most of it decoding; with a filled cache, seconds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from data import load_split
from pellucid.images.color import color_covariance, color_factor

ASSET = Path(__file__).parent.parent / "src" / "pellucid" / "assets" / "color.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the parquet files")
    parser.add_argument("--cache", type=Path, required=True, help="folder for the decoded pictures, outside the tree")
    parser.add_argument("--out", type=Path, default=ASSET)
    options = parser.parse_args()

    pixels, _ = load_split(options.data, options.cache, "train")
    mean, covariance = color_covariance(batches(pixels))
    stored = {
        "name": "tiny-imagenet",
        "source": "Tiny ImageNet (Stanford CS231n), training split: colours of all pixels, sRGB values in [0, 1]; "
        "factor is the Cholesky factor of the covariance divided by its largest column norm. "
        "Made by training/color.py.",
        "pictures": len(pixels),
        "pixels": pixels[..., 0].numel(),
        "mean": rounded(mean),
        "covariance": rounded(covariance),
        "factor": rounded(color_factor(covariance)),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")
    print(options.out.read_text(encoding="utf-8"))


def batches(pixels: Tensor, size: int = 1000) -> Iterator[Tensor]:
    """uint8 [n, h, w, c] -> float32 [b, c, h, w] in [0, 1], a thousand pictures (50 MB) at a time."""
    for batch in pixels.split(size):
        yield batch.permute(0, 3, 1, 2).float() / 255


def rounded(values: Tensor) -> list[object]:
    """Eight decimals: beyond what the pictures determine, and the same on every machine."""
    numbers: list[object] = (values * 1e8).round().div(1e8).tolist()
    return numbers


if __name__ == "__main__":
    main()
