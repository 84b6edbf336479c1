"""Partial atlases of one network and recipe put together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from pellucid.atlas.card import CARD, Card, read_card
from pellucid.atlas.lease import Lease
from pellucid.atlas.place import Place
from pellucid.atlas.shards import FOLDER, unpacked
from pellucid.atlas.stock import take_stock
from pellucid.atlas.store import Atlas
from pellucid.atlas.writer import write_shard
from pellucid.errors import AtlasError
from pellucid.survey.unit_table import KEY, UnitTable

__all__ = ["merge"]


def merge(urls: Sequence[str | Path], into: str | Path) -> int:
    """Put atlases together at a path or URL, where one of the same kind may be already; how many pictures it gained.

    Of a picture that several have the first is kept, unless it had failed. Tables of one name are put together, too;
    of a unit that several speak of the first is kept.

    Raises:
        AtlasError: atlases of different networks or recipes, a damaged shard, or it cannot be written.
    """
    sources = [Atlas.open(url) for url in urls]
    if not sources:
        raise AtlasError("no atlas was given to be merged")
    place = Place.of(into)
    for source in sources:
        sources[0].card.refuse_to_mix(source.card, sources[0].place.url)
        for name, what in take_stock(source.place).damaged.items():
            raise AtlasError(f"{name} in {source.place.url!r} is damaged ({what}): pellucid atlas repair it first")
    with Lease(place) as lease:
        card = _joined(place, sources)
        place.write(CARD, card.to_bytes())
        made = Atlas.open(place)
        before = len(made)
        for source in sources:
            if source.place.url == place.url:
                continue
            for name in source.place.names(FOLDER, ".parquet"):
                lease.check()
                _add_shard(source.place, name, place, made)
            made.refresh()
            for name in source.tables:
                _add_table(name, source.table(name), made)
        return len(made) - before


def _joined(place: Place, sources: Sequence[Atlas]) -> Card:
    card = read_card(place) or sources[0].card
    for source in sources:
        card.refuse_to_mix(source.card, place.url)
        card = card.joined(source.card)
    return card


def _add_shard(source: Place, name: str, place: Place, made: Atlas) -> None:
    """Take over a shard as it is, or of one that holds known pictures the others."""
    data = source.read(name)
    pictures = unpacked(data, name)
    new = [one for one in pictures if not _is_known(made, one.key)]
    if len(new) == len(pictures):
        place.write(name, data)
    elif new:
        write_shard(place, new)
    made.refresh()


def _is_known(made: Atlas, key: tuple[str, str, int]) -> bool:
    found = made.picture(*key)  # type: ignore[arg-type]
    return found is not None and found.status != "failed"


def _add_table(name: str, table: UnitTable, made: Atlas) -> None:
    if name not in made.tables:
        made.put_table(name, table)
        return
    own = made.table(name)
    if not own.table.schema.equals(table.table.schema):
        raise AtlasError(f"table {name!r} has other columns in each of the atlases: take one of them away")
    known = set(own.targets)
    rows = [at for at, target in enumerate(table.targets) if target not in known]
    both = pa.concat_tables([own.table, table.table.take(rows)])
    assert both.column_names[0] == KEY
    made.put_table(name, UnitTable(both, own.model_name, own.model_hash))
