"""What the tables beside an atlas know of its units, sorted by how a page can show it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from pellucid.app.site.examples import SURVEY, survey_beside
from pellucid.atlas.store import Atlas
from pellucid.errors import PellucidError
from pellucid.models.targets import Target
from pellucid.survey.pictures import Pictures
from pellucid.survey.unit_table import UnitTable

__all__ = ["Column", "Kind", "Known"]

Kind = Literal["number", "text", "label", "histogram", "edges", "examples", "values", "links", "other"]
_TITLES = {  # of the columns of a survey, and of what feeds what
    "highest": "dataset examples",
    "slightly_positive": "examples, slightly positive",
    "slightly_negative": "examples, slightly negative",
    "lowest": "examples, lowest",
    "fires": "fires on, as a share",
    "classes": "classes of the examples",
    "feeds": "what it feeds",
    "fed_by": "what feeds it",
}
_LABELS = ("label", "top_class", "top_label", "class_name", "name")


@dataclass(frozen=True)
class Column:
    """A column of a table, and how it is shown. `key` is unique among all tables of an atlas."""

    table: str
    name: str
    key: str
    title: str
    about: str
    kind: Kind


class Known:
    """All tables of an atlas, and the survey in its folder with its `pictures`. A table that cannot be read, or is of
    another network, is left out and named in `unread`."""

    def __init__(
        self, tables: Mapping[str, UnitTable], unread: tuple[str, ...] = (), pictures: Pictures | None = None
    ) -> None:
        self.tables, self.unread, self.pictures = tables, unread, pictures
        self.columns = tuple(_columns(tables))
        self._rows = {name: {target: at for at, target in enumerate(table.targets)} for name, table in tables.items()}
        self._labels = next((column for column in self.columns if column.kind == "label"), None)

    @classmethod
    def of(cls, atlas: Atlas) -> Known:
        """The tables beside an atlas."""
        tables, unread = {}, []
        for name in atlas.tables:
            try:
                table = atlas.table(name)
            except PellucidError:
                unread.append(name)
                continue
            if table.model_hash == atlas.card.model.hash:
                tables[name] = table
            else:
                unread.append(name)
        survey = survey_beside(atlas)
        if survey is None:
            return cls(tables, tuple(unread))
        table, pictures = survey
        return cls({SURVEY: table, **tables}, tuple(unread), pictures)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all tables beside the atlas, read or not, sorted as the atlas lists them."""
        return tuple(sorted((*(name for name in self.tables if name != SURVEY), *self.unread)))

    def labels(self, targets: Sequence[str]) -> list[str | None]:
        """What a table calls some units."""
        if self._labels is None:
            return [None] * len(targets)
        return [_first_name(value) for value in self.values(self._labels, targets)]

    def value(self, column: Column, target: str) -> Any:
        """What a column says of a unit; None where it says nothing."""
        row = self._rows[column.table].get(target)
        return None if row is None else self.tables[column.table].table.column(column.name)[row].as_py()

    def values(self, column: Column, targets: Sequence[str]) -> list[Any]:
        """What a column says of many units."""
        rows, values = self._rows[column.table], self.tables[column.table][column.name]
        return [None if (row := rows.get(target)) is None else values[row] for target in targets]

    def of_kind(self, kind: Kind) -> list[Column]:
        """The columns that are shown in one way."""
        return [column for column in self.columns if column.kind == kind]


def _columns(tables: Mapping[str, UnitTable]) -> Iterator[Column]:
    seen = {"score"}  # of the atlas itself
    for name, table in tables.items():
        for column in table.columns:
            twice = column in seen
            seen.add(column)
            title = _TITLES.get(column, column.replace("_", " "))
            yield Column(
                name,
                column,
                f"{name}.{column}",
                f"{title} ({name})" if twice else title,
                table.about(column).meaning,
                _kind(column, table),
            )


def _kind(name: str, table: UnitTable) -> Kind:
    kind = table.table.schema.field(name).type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return "number"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "label" if name in _LABELS or name.endswith(("_label", "_class")) else "text"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _list_kind(name, kind.value_type, table)
    if {"low", "width", "counts"} <= _field_names(kind):
        return "histogram"
    return "other"


def _first_name(value: Any) -> str | None:
    """A name, or the first of a list of structs with names."""
    if isinstance(value, list):
        value = value[0]["name"] if value else None
    return None if value is None else str(value)


def _field_names(kind: pa.DataType) -> set[str]:
    return {kind.field(at).name for at in range(kind.num_fields)} if pa.types.is_struct(kind) else set()


def _list_kind(name: str, inner: pa.DataType, table: UnitTable) -> Kind:
    if pa.types.is_integer(inner) or pa.types.is_floating(inner):
        if "edge" in name:
            return "edges"
        return "histogram" if "histogram" in name or "counts" in name else "values"
    if holds_picture(inner):
        return "examples"
    if pa.types.is_string(inner):
        first = next((entry for value in table[name] if value for entry in value), "")
        return "links" if _is_unit(first) else "values"
    if "target" in _field_names(inner):
        return "links"
    if {"picture", "left", "top", "right", "bottom"} <= _field_names(inner):
        return "examples"
    if name == "classes" and "name" in _field_names(inner):
        return "label"
    return "values"


def holds_picture(kind: pa.DataType) -> bool:
    """Whether a value is a picture's bytes, or a struct that holds them."""
    if pa.types.is_struct(kind):
        return any(holds_picture(kind.field(at).type) for at in range(kind.num_fields))
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_unit(text: str) -> bool:
    try:
        (term,) = Target.parse(text).terms
    except (PellucidError, ValueError):
        return False
    return term.kind == "unit" and isinstance(term.channels, int)
