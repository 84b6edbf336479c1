"""Damage to an atlas, counted: `python tests/faults/atlas_store.py [--quick]`.

A shard cut short at every percent of its length, or with a bit flipped at a random place, emptied or lengthened: each
has to be seen by its checksum and named, and after repair the pictures have to be those before. A disk that is full (a
limit on the size of files, and where it may be mounted a small tmpfs): one clear line, nothing broken, and the sweep
goes on when there is room.
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from atlas_networks import QUICK, tiny
from pellucid.atlas.place import Place
from pellucid.atlas.stock import take_stock
from pellucid.atlas.store import Atlas
from pellucid.atlas.sweeping import sweep
from pellucid.errors import AtlasError

ASKED = {"layers": "one", "units": "0-5"}


def images(folder: Path) -> dict[object, bytes | None]:
    atlas = Atlas.open(folder)
    return {key: atlas.image(*key) for key in atlas.keys}


def damages(whole: bytes, cuts: int, flips: int) -> list[bytes]:
    """Shards as damage leaves them."""
    draws = random.Random(0)
    cut = [whole[: len(whole) * percent // 100] for percent in range(0, 100, max(1, 100 // cuts))]
    flipped = []
    for _ in range(flips):
        data = bytearray(whole)
        data[draws.randrange(len(data))] ^= 1 << draws.randrange(8)
        flipped.append(bytes(data))
    return [*cut, *flipped, whole + b"\0", bytes(len(whole))]


def damaged(folder: Path, cuts: int, flips: int) -> tuple[int, int]:
    """Damages made, and those that were detected and named and, of every tenth, repaired to the same pictures."""
    sweep(tiny(), folder, **ASKED, **QUICK)
    before = images(folder)
    (shard,) = (folder / "pictures").iterdir()
    whole = shard.read_bytes()
    made, good = damages(whole, cuts, flips), 0
    for number, data in enumerate(made):
        shard.write_bytes(data)
        found = list(take_stock(Place.of(folder)).damaged) == [f"pictures/{shard.name}"]
        if found and number % 10 == 0:
            report = sweep(tiny(), folder, **ASKED, **QUICK)
            found = list(report.repaired) == [f"pictures/{shard.name}"] and images(folder) == before
            for other in (folder / "pictures").iterdir():
                other.unlink()
        good += found
    shard.write_bytes(whole)
    return len(made), good


def limited(folder: Path, limit: int) -> bool:
    """A sweep whose files may have `limit` bytes at most, then one without a limit."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        sweep(tiny(), folder, **ASKED, **QUICK)
        in_order = len(Atlas.open(folder)) == 6  # it had room enough
    except AtlasError as error:
        in_order = "cannot write" in str(error) and "\n" not in str(error)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    return in_order and goes_on(folder)


def goes_on(folder: Path) -> bool:
    """Nothing is broken or half written, and the sweep comes to its end."""
    if take_stock(Place.of(folder)).damaged or list(folder.rglob("*.part")):
        return False
    sweep(tiny(), folder, **ASKED, **QUICK)
    stock = take_stock(Place.of(folder))
    return len(stock.pictures) == 6 and not stock.damaged


def full(folder: Path) -> bool | None:
    """A sweep on a file system of 48 kB that is nearly full; None where it may not be mounted."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=48k", "tmpfs", str(folder)]
    if subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        return None
    try:
        (folder / "ballast").write_bytes(bytes(36_000))
        try:
            sweep(tiny(), folder / "atlas", **ASKED, **QUICK)
            return False
        except AtlasError as error:
            if "No space left" not in str(error):
                return False
        (folder / "ballast").unlink()
        return goes_on(folder / "atlas")
    finally:
        subprocess.run(["umount", str(folder)], check=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of it, for the test suite")
    quick = parser.parse_args().quick
    home = Path(tempfile.mkdtemp(prefix="atlas ü "))
    try:
        made, good = damaged(home / "damaged", *((10, 20) if quick else (100, 500)))
        print(f"damaged shards: {good} of {made} seen, named and repaired")
        limits = (0, 500, 5000) if quick else (0, 1, 100, 500, 1000, 2000, 3000, 5000, 7000, 9000)
        held = sum(limited(home / f"limit {limit}", limit) for limit in limits)
        print(f"files limited: {held} of {len(limits)} were whole or stopped with one line, and went on")
        tmpfs = full(home / "full")
        print(f"disk full: {'not tried, may not mount' if tmpfs is None else f'{int(tmpfs)} of 1'}")
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return int(good != made or held != len(limits) or tmpfs is False)


if __name__ == "__main__":
    sys.exit(main())
