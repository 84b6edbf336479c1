"""Sweeps killed at random moments, counted: `python tests/faults/atlas_killed.py [KILLS]`.

A sweep in a process of its own is killed (SIGKILL) at a random moment and begun again, until it has been killed so many
times; then it may end. Every unit has to be there once, and each picture equal, byte for byte, to that of a sweep that
nobody disturbed. No damaged shard may ever be seen on the way, and the lease of the dead must keep nobody out.
"""

from __future__ import annotations

import multiprocessing
import random
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))

from atlas_networks import tiny
from pellucid.atlas import writer
from pellucid.atlas.place import Place
from pellucid.atlas.shards import unpacked
from pellucid.atlas.stock import take_stock
from pellucid.atlas.store import Atlas
from pellucid.atlas.sweeping import sweep

CONTEXT = multiprocessing.get_context("forkserver")  # a process that has loaded everything, and done nothing yet
UNITS = 120
ASKED = {"steps": 12, "transforms": "none", "trial": False, "device": "cpu", "batch": 4, "lanes": 1, "layers": "one"}


def run(folder: str) -> None:
    """The sweep that is killed: a shard for every few pictures, so that many are under way."""
    writer.Writer.__init__.__kwdefaults__.update(most_rows=6)
    sweep(tiny(UNITS), folder, negative=True, **ASKED)


def images(folder: Path) -> dict[object, bytes | None]:
    atlas = Atlas.open(folder)
    return {key: atlas.image(*key) for key in atlas.keys}


def calm_seconds(folder: Path) -> float:
    """How long a sweep takes that nobody disturbs."""
    process = CONTEXT.Process(target=run, args=(str(folder),))
    began = time.monotonic()
    process.start()
    process.join()
    return time.monotonic() - began


def killed(folder: Path, kills: int, seconds: float) -> tuple[int, int, int]:
    """How often it was killed while at work, in how many of these lives it had written something, and how many damaged
    shards were seen in between."""
    draws, done, wrote, damaged = random.Random(0), 0, 0, 0
    while done < kills:
        before = shards(folder)
        process = CONTEXT.Process(target=run, args=(str(folder),))
        process.start()
        # From the first reading of what is there, through rendering and writing, to the settling at the end.
        process.join(draws.uniform(0.0, seconds))
        at_work = process.is_alive()
        process.kill()
        process.join()
        damaged += len(take_stock(Place.of(folder)).damaged)
        done += at_work
        wrote += at_work and shards(folder) != before
        if not at_work:  # it is finished: take two thirds of it away
            for name in sorted(shards(folder))[::3]:
                keep_third(folder, name)
    return done, wrote, damaged


def shards(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("pictures/*.parquet")}


def keep_third(folder: Path, name: str) -> None:
    """A shard as if only the first third of its pictures had been made."""
    path = folder / "pictures" / name
    pictures = unpacked(path.read_bytes(), name)
    path.unlink()
    writer.write_shard(Place.of(folder), pictures[: len(pictures) // 3])


def main() -> int:
    CONTEXT.set_forkserver_preload(["pellucid.atlas.sweeping", "atlas_networks"])
    kills = int(sys.argv[1]) if sys.argv[1:] else 50
    with tempfile.TemporaryDirectory(prefix="atlas killed ") as home:
        folder, calm = Path(home, "killed"), Path(home, "calm")
        seconds = calm_seconds(calm)
        done, wrote, damaged = killed(folder, kills, seconds)
        report = sweep(tiny(UNITS), folder, negative=True, **ASKED)
        stock = take_stock(Place.of(folder))
        mine, theirs = images(folder), images(calm)
        equal = sum(mine.get(key) == image for key, image in theirs.items())
        print(
            f"killed {done} times within {seconds:.0f} s of the start, {wrote} of them after it had written: "
            f"{len(stock.pictures)} of {2 * UNITS} pictures there, {len(stock.doubled)} doubled, "
            f"{equal} equal to an undisturbed sweep's; {damaged} damaged shards seen; {report.left} left"
        )
    return int(
        (len(stock.pictures), len(stock.doubled), equal, damaged, report.left) != (2 * UNITS, 0, 2 * UNITS, 0, 0)
    )


if __name__ == "__main__":
    sys.exit(main())
