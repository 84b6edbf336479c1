"""Taking stock: every shard read whole and checked, so that what is there can be relied on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from pellucid.atlas.card import Card
from pellucid.atlas.chunk import chunks
from pellucid.atlas.place import Place
from pellucid.atlas.shards import FOLDER, Key, Picture, intact, unpacked
from pellucid.atlas.writer import write_shard
from pellucid.errors import AtlasError

__all__ = ["Stock", "settle", "take_stock"]

_READERS = 4  # shards read at once
_SETTLED_ROWS = 512  # of a shard, once its layer is finished: a large network has few files


@dataclass
class Stock:
    """What an atlas holds.

    Attributes:
        present: key -> (shard, status) of every picture.
        damaged: shards that are not what was written, and what is wrong with them.
        doubled: pictures that lie in a second shard, too: key -> that shard. Killed sweeps can leave some.
        num_bytes: of all shards that are whole.
    """

    present: dict[Key, tuple[str, str]] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    doubled: dict[Key, str] = field(default_factory=dict)
    num_bytes: int = 0

    def statuses(self) -> Counter[str]:
        """How many pictures ended how."""
        return Counter(status for _, status in self.present.values())

    def missing(self, card: Card) -> dict[str, int]:
        """Layer -> pictures that are to be there and are not."""
        lacking: Counter[str] = Counter()
        for chunk in chunks(card, self.present):
            lacking[chunk.layer] += len(chunk.units) * (card.diverse if chunk.view == "diverse" else 1)
        return dict(lacking)

    def take_in(self, shard: str, pictures: Sequence[Picture]) -> None:
        """Count a shard's pictures. Of two of a key the first is the one; but any is better than a failed one."""
        for one in pictures:
            if one.key not in self.present:
                self.present[one.key] = shard, one.status
            elif self.present[one.key][1] == "failed" and one.status != "failed":
                self.doubled[one.key] = self.present[one.key][0]
                self.present[one.key] = shard, one.status
            else:
                self.doubled[one.key] = shard


def take_stock(place: Place, progress: Callable[[float], object] | None = None) -> Stock:
    """Read every shard of an atlas and compare it with the checksum in its name.

    Raises:
        AtlasError: the place cannot be read.
    """
    stock = Stock()
    names = place.names(FOLDER, ".parquet")
    with ThreadPoolExecutor(_READERS) as pool:
        for done, (name, found) in enumerate(
            zip(names, pool.map(lambda name: _checked(place, name), names), strict=True)
        ):
            if isinstance(found, str):
                stock.damaged[name] = found
            else:
                stock.take_in(name, found[0])
                stock.num_bytes += found[1]
            if progress is not None:
                progress((done + 1) / len(names))
    return stock


def _checked(place: Place, name: str) -> tuple[list[Picture], int] | str:
    """The pictures of a shard, without images, and its bytes; or what is wrong with it."""
    try:
        data = place.read(name)
    except FileNotFoundError:
        return [], 0  # gone since it was listed: settled into another
    if not data:
        return "it is empty"
    if not intact(name, data):
        return f"its {len(data):,} bytes do not have the checksum in its name"
    try:
        return [replace(one, image=None) for one in unpacked(data, name)], len(data)
    except AtlasError as error:
        return str(error)


def settle(place: Place, shards: Sequence[str]) -> None:
    """Make few shards of many of one layer and view, each picture once, in order of the units.

    The new ones are there before the old ones go. Units are few at a time in memory.

    Raises:
        AtlasError: a shard cannot be read or written.
    """
    kept: dict[Key, tuple[str, int]] = {}
    statuses: dict[Key, str] = {}
    for name in shards:
        for row, one in enumerate(_pictures(place, name)):
            if one.key not in kept or (statuses[one.key] == "failed" and one.status != "failed"):
                kept[one.key], statuses[one.key] = (name, row), one.status
    order = sorted(kept, key=lambda key: (_unit(key), key[2]))
    written = set()
    for first in range(0, len(order), _SETTLED_ROWS):
        keys = order[first : first + _SETTLED_ROWS]
        found: dict[Key, Picture] = {}
        for name in sorted({kept[key][0] for key in keys}):
            pictures = _pictures(place, name)
            found |= {key: pictures[kept[key][1]] for key in keys if kept[key][0] == name}
        written.add(write_shard(place, [found[key] for key in keys]))
    for name in shards:
        if name not in written:
            place.remove(name)


def _pictures(place: Place, name: str) -> list[Picture]:
    return unpacked(place.read(name), name)


def _unit(key: Key) -> int:
    return int(key[0].rpartition(":")[2])
