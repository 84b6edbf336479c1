"""Taking stock: every shard read whole and checked, so that what is there can be relied on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from pellucid.atlas.card import Card
from pellucid.atlas.chunk import chunks, members
from pellucid.atlas.place import Place
from pellucid.atlas.shards import FOLDER, Key, Picture, intact, unpacked
from pellucid.atlas.writer import write_shard
from pellucid.errors import AtlasError

__all__ = ["Stock", "settle", "take_stock"]

_READERS = 4  # shards read at once
_SETTLED_ROWS = 512  # of a shard, once its layer is finished: a large network has few files


@dataclass(frozen=True)
class Whole:
    """What is in a shard: its pictures, without their images, and how many bytes it has."""

    pictures: tuple[Picture, ...]
    num_bytes: int


@dataclass
class Stock:
    """What an atlas holds.

    Attributes:
        pictures: key -> picture, without its image. shards: key -> the shard that it lies in.
        damaged: shards that are not what was written, and what is wrong with them.
        doubled: pictures that lie in another shard, too: key -> that shard. Killed sweeps can leave some.
        whole: name -> what is in it, of every shard that is as it was written.
    """

    pictures: dict[Key, Picture] = field(default_factory=dict)
    shards: dict[Key, str] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    doubled: dict[Key, str] = field(default_factory=dict)
    whole: dict[str, Whole] = field(default_factory=dict)

    @property
    def num_bytes(self) -> int:
        """Of all shards that are whole."""
        return sum(one.num_bytes for one in self.whole.values())

    def keys(self, *, retry_failed: bool = False) -> set[Key]:
        """What is there; failed ones count as missing where they are to be rendered again."""
        return {key for key, one in self.pictures.items() if not (retry_failed and one.status == "failed")}

    def statuses(self) -> Counter[str]:
        """How many pictures ended how."""
        return Counter(one.status for one in self.pictures.values())

    def missing(self, card: Card) -> dict[str, int]:
        """Layer -> pictures that are to be there and are not."""
        lacking: Counter[str] = Counter()
        for chunk in chunks(card, self.pictures):
            lacking[chunk.layer] += len(chunk.units) * members(card, chunk.view)
        return dict(lacking)

    def take_in(self, shard: str, whole: Whole) -> None:
        """Count a shard's pictures. Of two of a key the first is the one; but any is better than a failed one."""
        self.whole[shard] = whole
        for one in whole.pictures:
            known = self.pictures.get(one.key)
            if known is not None:
                self.doubled[one.key] = shard
            if known is None or (known.status == "failed" and one.status != "failed"):
                self.pictures[one.key], self.shards[one.key] = one, shard


def take_stock(place: Place, before: Stock | None = None, progress: Callable[[float], object] | None = None) -> Stock:
    """Read every shard of an atlas and compare it with the checksum in its name; those of `before` are not read again,
    for shards never change.

    Raises:
        AtlasError: the place cannot be read.
    """
    stock = Stock()
    names = place.names(FOLDER, ".parquet")
    known = {} if before is None else before.whole

    def checked(name: str) -> Whole | str:
        return known[name] if name in known else _checked(place, name)

    with ThreadPoolExecutor(_READERS) as pool:
        for done, (name, found) in enumerate(zip(names, pool.map(checked, names), strict=True)):
            if isinstance(found, str):
                stock.damaged[name] = found
            else:
                stock.take_in(name, found)
            if progress is not None:
                progress((done + 1) / len(names))
    return stock


def _checked(place: Place, name: str) -> Whole | str:
    """What is in a shard, or what is wrong with it."""
    try:
        data = place.read(name)
    except FileNotFoundError:
        return Whole((), 0)  # gone since it was listed: settled into another
    if not data:
        return "it is empty"
    if not intact(name, data):
        return f"its {len(data):,} bytes do not have the checksum in its name"
    try:
        return Whole(tuple(replace(one, image=None) for one in unpacked(data, name)), len(data))
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
