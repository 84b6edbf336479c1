"""Draw the gallery: what each source document shows, with its numbers, and whether they bear out what it says.

python -m gallery                                     # the embedded network, into docs/gallery
python -m gallery --only forum                        # one item; the rest of the page stays
python -m gallery --model torchvision:googlenet       # another network, into build/gallery/torchvision-googlenet
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
import time
from pathlib import Path

import pellucid as pl
from gallery.hall import TREE, Hall
from gallery.page import Folder
from gallery.registry import ITEMS


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m gallery", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="default", help="any network that pl.load knows (default: %(default)s)")
    parser.add_argument("--weights", help="a file of weights; the network's own by default")
    parser.add_argument("--size", type=int, help="side of the pictures in px; the network's own by default")
    parser.add_argument("--out", type=Path, help="folder; docs/gallery for the embedded network, else in build/gallery")
    parser.add_argument(
        "--private",
        type=Path,
        default=TREE / "build/gallery",
        help="folder for pictures of networks that the project does not carry (default: build/gallery)",
    )
    parser.add_argument("--only", action="append", choices=list(ITEMS), metavar="ITEM", help="can be given repeatedly")
    parser.add_argument("--thrift", type=int, default=1, help="divide all steps by this, to see whether all runs")
    parser.add_argument("--list", action="store_true", help="name the items and stop")
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> int:
    """Draw what was asked for; 2 and one line when it cannot be."""
    asked = arguments(given)
    if asked.list:
        for key, item in ITEMS.items():
            print(f"{key}: {(item.__doc__ or '').partition(chr(10))[0]}")
        return 0
    began, spent = time.perf_counter(), time.process_time()
    try:
        hall = Hall(pl.load(asked.model, weights=asked.weights, size=asked.size), max(1, asked.thrift))
        slug = re.sub(r"[^\w.-]+", "-", hall.model.name)
        out = asked.out or (TREE / "docs/gallery" if hall.model.name == "default" else asked.private / slug)
        folder = Folder(out, asked.private)
        for key in asked.only or ITEMS:
            start, cpu = time.perf_counter(), time.process_time()
            exhibit = ITEMS[key](hall)
            folder.write(key, exhibit, hall)
            print(f"{key}: {_since(start, cpu)}", flush=True)
            for claim in exhibit.claims:
                print(f"  {'yes' if claim.holds else 'NO '}  {claim.text} ({claim.numbers})", flush=True)
    except pl.PellucidError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    print(f"{folder.page}: {_since(began, spent)}")
    return 0


def _since(start: float, cpu: float) -> str:
    """What something has taken: where other work is done, the processor's time says more than the clock's."""
    return f"{time.perf_counter() - start:.0f} s, {time.process_time() - cpu:.0f} s of a core"


if __name__ == "__main__":
    # Ctrl-C ends at once: a rendering that was cut short must not be judged. What was drawn before stays on the page.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(main())
