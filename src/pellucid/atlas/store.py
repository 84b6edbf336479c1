"""An atlas to look into: which units it has, their pictures and scores, and tables of what else is known of them.

What lies at an atlas's place (a folder, or an fsspec URL):

    atlas.json                                  what it is of: network, recipe, layers, units (`card.Card`)
    pictures/LAYER-VIEW-CHECKSUM.parquet        shards, a row a picture (`shards.SCHEMA`, `shards.Picture`)
    tables/NAME.parquet                         what other rooms know of units (`survey.unit_table.UnitTable`)
    lease.json                                  while a sweep runs: whose it is (`lease.Lease`)

Files are whole or not there, and shards never change: a reader may open an atlas while a sweep fills it, and `refresh`
then and now. Reading needs no torch, and never runs or loads the network that `atlas.json` names.

    atlas = Atlas.open("my-atlas")
    for layer in atlas.layers:                          # those with units in the atlas, in forward order
        for picture in atlas.pictures(layer):           # one a unit, ascending, without image
            print(picture.target, picture.score, picture.status)
    webp = atlas.image("mixed4a:12")                    # bytes; atlas.image("mixed4a:12", "diverse", 2)
    atlas.unit("mixed4a:12")                            # all its pictures: picture, negative, diverse set
    atlas.tables; atlas.table("dataset").row("mixed4a:12")
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pellucid.atlas.card import CARD, Card, LayerCard, read_card
from pellucid.atlas.place import Place
from pellucid.atlas.shards import FOLDER, ROWS_IN_GROUP, SCHEMA, VIEWS, Key, Picture, View
from pellucid.errors import AtlasError, did_you_mean
from pellucid.parquet import read_parquet

if TYPE_CHECKING:
    from pellucid.survey.unit_table import UnitTable

__all__ = ["TABLES", "Atlas"]

TABLES = "tables"
_LISTED = [field.name for field in SCHEMA if field.name != "image"]
_GROUPS_KEPT = 64  # row groups of pictures in memory, the latest used: some 10 MB at 10 kB a picture
_READERS = 8  # shards read at once when an atlas is opened: on a bucket each waits for the network


class Atlas:
    """An atlas, open for reading. May be used from several threads.

    `damaged` names the shards that could not be read, whose pictures are missing.
    """

    def __init__(self, place: Place, card: Card) -> None:
        self.place, self.card = place, card
        self.damaged: tuple[str, ...] = ()
        self._pictures: dict[Key, Picture] = {}
        self._places: dict[Key, tuple[str, int]] = {}  # shard and row
        self._shards: set[str] = set()
        self._by_layer: dict[tuple[str, View], list[Picture]] = {}
        self._groups: OrderedDict[tuple[str, int], list[bytes | None]] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def open(cls, url: str | Path | Place, **options: Any) -> Atlas:
        """The atlas at a path or URL; `options` are those of its fsspec file system.

        Raises:
            AtlasError: there is none, it is damaged, or from a newer version.
        """
        place = url if isinstance(url, Place) else Place.of(url, **options)
        card = read_card(place)
        if card is None:
            raise AtlasError(f"no atlas at {place.url!r}: there is no {CARD} (pellucid atlas MODEL -o DIR makes one)")
        atlas = cls(place, card)
        atlas.refresh()
        return atlas

    def refresh(self) -> int:
        """Take in what a sweep has written since, and return how many pictures that is.

        Raises:
            AtlasError: the atlas is gone.
        """
        card = read_card(self.place)
        if card is None:
            raise AtlasError(f"the atlas at {self.place.url!r} is gone")
        names = set(self.place.names(FOLDER, ".parquet"))
        with self._lock:
            before, self.card = len(self._pictures), card
            if gone := self._shards - names:
                self._shards -= gone
                for key in [key for key, (shard, _) in self._places.items() if shard in gone]:
                    del self._places[key], self._pictures[key]
            new = sorted(names - self._shards)
            with ThreadPoolExecutor(_READERS) as pool:
                listings = list(pool.map(self._listing, new))
            damaged = []
            for name, pictures in zip(new, listings, strict=True):
                if pictures is None:
                    damaged.append(name)
                    continue
                self._shards.add(name)
                for row, one in enumerate(pictures):
                    self._pictures[one.key], self._places[one.key] = one, (name, row)
            self.damaged = tuple(damaged)
            if new or gone:
                self._by_layer = {}
            return len(self._pictures) - before

    def _listing(self, name: str) -> list[Picture] | None:
        """A shard's pictures without their images; None when it cannot be read."""
        try:
            with self.place.fs.open(self.place.path(name), "rb") as file:
                rows = read_parquet(file, _LISTED).to_pylist()
            return [Picture(**row, image=None) for row in rows]
        except (pa.ArrowException, OSError, ValueError, TypeError):
            return None

    @property
    def layers(self) -> tuple[str, ...]:
        """Layers with units in the atlas, rendered yet or not, in forward order."""
        return tuple(name for name in self.card.layers if name in self.card.units)

    def layer(self, name: str) -> LayerCard:
        """What is known of a layer of the network: kind, shape, number of units.

        Raises:
            AtlasError: the network has none of this name.
        """
        try:
            return self.card.layers[name]
        except KeyError:
            hint = did_you_mean(name, self.layers) or f" There are: {', '.join(self.layers)}."
            raise AtlasError(f"no layer {name!r} in the atlas of {self.card.model.name}.{hint}") from None

    def __len__(self) -> int:
        """How many pictures there are, of all views."""
        return len(self._pictures)

    def __contains__(self, key: object) -> bool:
        """Whether there is a picture: (target, view, member)."""
        return key in self._pictures

    @property
    def keys(self) -> Iterable[Key]:
        """(target, view, member) of every picture."""
        return self._pictures.keys()

    def pictures(self, layer: str | None = None, view: View = "picture") -> list[Picture]:
        """The pictures of one view, without images, by layer and unit; of one layer, or of all.

        Raises:
            AtlasError: the network has no such layer.
        """
        if layer is None:
            return [one for name in self.layers for one in self.pictures(name, view)]
        self.layer(layer)
        with self._lock:
            if not self._by_layer:
                for one in sorted(self._pictures.values(), key=lambda one: (one.unit, one.member)):
                    self._by_layer.setdefault((one.layer, one.view), []).append(one)
            return list(self._by_layer.get((layer, view), ()))

    def unit(self, target: str) -> list[Picture]:
        """All pictures of a unit, without images: the picture, the negative, the diverse set; none if there is none."""
        last = max(1, self.card.diverse)
        keys = ((target, view, member) for view in VIEWS for member in range(last if view == "diverse" else 1))
        return [self._pictures[key] for key in keys if key in self._pictures]

    def picture(self, target: str, view: View = "picture", member: int = 0) -> Picture | None:
        """One picture, without its image; None where there is none."""
        return self._pictures.get((target, view, member))

    def image(self, target: str, view: View = "picture", member: int = 0) -> bytes | None:
        """A picture as the bytes of a WebP file; None where there is none, or where there is nothing to see.

        Raises:
            AtlasError: its shard is damaged.
        """
        try:
            return self._image((target, view, member))
        except FileNotFoundError:  # a sweep has settled its shard into another since
            self.refresh()
        try:
            return self._image((target, view, member))
        except FileNotFoundError:
            raise AtlasError(f"{target} of {self.place.url!r} is gone (pellucid atlas repair)") from None

    def _image(self, key: Key) -> bytes | None:
        with self._lock:
            found = self._places.get(key)
            if found is None:
                return None
            shard, row = found
            group = (shard, row // ROWS_IN_GROUP)
            if group in self._groups:
                self._groups.move_to_end(group)
                return self._groups[group][row % ROWS_IN_GROUP]
        images = self._images(*group)
        with self._lock:
            self._groups[group] = images
            while len(self._groups) > _GROUPS_KEPT:
                self._groups.popitem(last=False)
        return images[row % ROWS_IN_GROUP]

    def _images(self, shard: str, group: int) -> list[bytes | None]:
        """The images of a group of a shard's rows."""
        try:
            with self.place.fs.open(self.place.path(shard), "rb") as file:
                table = read_parquet(file, ["image.bytes"], group=group)
            return [row and row["bytes"] for row in table.column("image").to_pylist()]
        except FileNotFoundError:
            raise
        except (pa.ArrowException, OSError, ValueError) as error:
            first = str(error).partition("\n")[0]
            raise AtlasError(f"{shard} in {self.place.url!r} is damaged: {first} (pellucid atlas repair)") from None

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that lie beside the pictures."""
        names = self.place.names(TABLES, ".parquet")
        return tuple(name.removeprefix(f"{TABLES}/").removesuffix(".parquet") for name in names)

    def table(self, name: str) -> UnitTable:
        """One table: target -> columns, each with what it means and where it comes from.

        Raises:
            AtlasError: there is none of this name.
            TableError: it is damaged, or no unit table.
        """
        from pellucid.survey.unit_table import UnitTable

        try:
            return UnitTable.from_bytes(self.place.read(f"{TABLES}/{name}.parquet"), f"table {name!r}")
        except FileNotFoundError:
            hint = did_you_mean(name, self.tables) or f" There are: {', '.join(self.tables) or 'none'}."
            raise AtlasError(f"no table {name!r} in {self.place.url!r}.{hint}") from None

    def put_table(self, name: str, table: UnitTable) -> None:
        """Keep a table beside the pictures, in place of one of that name.

        Raises:
            AtlasError: a name with other characters than letters, digits, `-`, `_`; a table of another network; or it
                cannot be written.
        """
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,80}", name):
            raise AtlasError(f"a table's name has letters, digits, - and _, and is not {name!r}")
        if table.model_hash != self.card.model.hash:
            raise AtlasError(
                f"the table is of {table.model_name} with weights {table.model_hash}, and the atlas of "
                f"{self.card.model.name} with weights {self.card.model.hash}"
            )
        self.place.write(f"{TABLES}/{name}.parquet", table.to_bytes())

    def progress(self) -> Mapping[str, tuple[int, int]]:
        """Layer -> how many of its units have a picture, and how many are to have one."""
        return {name: (len(self.pictures(name)), len(self.card.units[name])) for name in self.layers}
