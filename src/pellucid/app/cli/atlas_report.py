"""What `pellucid atlas verify` finds, as a table for people and a document for programs."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from pellucid.app.cli.tables import note, print_table
from pellucid.atlas.place import Place
from pellucid.atlas.stock import Stock, take_stock
from pellucid.atlas.store import Atlas
from pellucid.errors import TableError

__all__ = ["Inspection"]

_BAD = ("dead", "nonfinite", "failed")


@dataclass(frozen=True)
class Inspection:
    """An atlas, read whole. `damaged`: names of shards and tables, and what is wrong with them."""

    atlas: Atlas
    stock: Stock
    damaged: dict[str, str]

    @classmethod
    def of(cls, url: str, progress: Callable[[float], object]) -> Inspection:
        """Read the atlas at a path or URL.

        Raises:
            AtlasError: there is none, or it cannot be read.
        """
        place = Place.of(url)
        atlas = Atlas.open(place)
        stock = take_stock(place, progress=progress)
        damaged = dict(stock.damaged)
        for name in atlas.tables:
            try:
                atlas.table(name)
            except TableError as error:
                damaged[f"tables/{name}.parquet"] = str(error)
        return cls(atlas, stock, damaged)

    @property
    def exit_code(self) -> int:
        """1 where something is damaged."""
        return 1 if self.damaged else 0

    def json(self) -> str:
        """One document."""
        return json.dumps(
            {
                "atlas": self.atlas.place.url,
                "model": self.atlas.card.model.name,
                "pictures": len(self.stock.pictures),
                "bytes": self.stock.num_bytes,
                "statuses": dict(self.stock.statuses()),
                "missing": self.stock.missing(self.atlas.card),
                "doubled": len(self.stock.doubled),
                "damaged": self.damaged,
                "tables": list(self.atlas.tables),
            }
        )

    def _statuses(self) -> dict[str, Counter[str]]:
        """Layer -> how many pictures ended how."""
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for one in self.stock.pictures.values():
            found[one.layer][one.status] += 1
        return found

    def show(self) -> None:
        """A row a layer; then what is wrong."""
        missing = self.stock.missing(self.atlas.card)
        found, rows = self._statuses(), []
        for layer in self.atlas.layers:
            counts = (missing.get(layer, 0), *(found[layer][bad] for bad in _BAD))
            rows.append((layer, str(found[layer].total()), *(str(count or "") for count in counts)))
        columns = ("layer", "pictures", "missing", "dead", "no number", "failed")
        print_table(columns, rows, numeric=columns[1:])
        for name, what in self.damaged.items():
            note(f"damaged: {name}: {what}")
        if self.stock.doubled:
            note(f"{len(self.stock.doubled)} pictures lie in two shards (harmless; the next sweep tidies them up)")
        if self.damaged:
            note(
                f"pellucid: {len(self.damaged)} damaged; put right what is in shards with: "
                f"pellucid atlas repair {self.atlas.place.url}"
            )
        elif missing:
            note(f"whole as far as it goes; {sum(missing.values())} pictures are still to be made")
        else:
            note("whole")
