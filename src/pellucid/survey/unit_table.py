"""What is known of units, one row a unit: the type that surveys, explanations and measures give and an atlas keeps."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from pellucid.errors import TableError, did_you_mean
from pellucid.images.whole_files import written_whole
from pellucid.parquet import read_parquet

__all__ = ["KEY", "About", "Network", "UnitTable"]

KEY = "target"
"""The name of the column of keys: the text of a `Target`, e.g. `mixed4a:12`."""
_ABOUT = b"about"
_MODEL = b"pellucid"


@dataclass(frozen=True)
class About:
    """What a column holds: a sentence with its unit and source, and the settings that it was found with."""

    meaning: str
    provenance: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Network(Protocol):
    """What a table keeps of a `Model`: tables are read without torch."""

    name: str

    @property
    def weights_hash(self) -> str:
        """Of its weights."""
        ...


@dataclass(frozen=True)
class UnitTable:
    """Columns of values, numbers, texts, lists or pictures, by the text of the target that they speak of.

    An Arrow table whose first column `target` holds each key once; every other column says what it means and where it
    comes from. One table speaks of one network: `model_hash` is that of its weights. Immutable.

    Raises:
        TableError: no column `target`, a target twice, or a column that does not say what it means.
    """

    table: pa.Table
    model_name: str
    model_hash: str

    def __post_init__(self) -> None:
        names = self.table.column_names
        if not names or names[0] != KEY:
            raise TableError(f"the first column of a unit table is {KEY!r}, and these begin with {names[:1]}")
        if twice := sorted(key for key, count in Counter(self.targets).items() if count > 1):
            raise TableError(f"a unit table has one row for each target, and {twice[0]!r} is there twice")
        for name in names[1:]:
            if _ABOUT not in (self.table.schema.field(name).metadata or {}):
                raise TableError(f"column {name!r} does not say what it means: give it an About")

    @classmethod
    def of(
        cls,
        model: Network,
        targets: Sequence[object],
        columns: Mapping[str, tuple[Sequence[Any] | pa.Array, About]],
    ) -> UnitTable:
        """A table of a network's units: targets (texts or `Target`s), and columns name -> (one value a target, about).

        Raises:
            TableError: a column of another length, or a target twice.
        """
        keys = pa.array([str(target) for target in targets], pa.string())
        arrays, fields = [keys], [pa.field(KEY, pa.string())]
        for name, (values, about) in columns.items():
            array = values if isinstance(values, pa.Array) else pa.array(list(values))
            if len(array) != len(keys):
                raise TableError(f"column {name!r} has {len(array)} values for {len(keys)} targets")
            arrays.append(array)
            fields.append(pa.field(name, array.type, metadata={_ABOUT: json.dumps(asdict(about)).encode()}))
        return cls(pa.table(arrays, schema=pa.schema(fields)), model.name, model.weights_hash)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def targets(self) -> tuple[str, ...]:
        """The keys, in order."""
        return tuple(self.table.column(KEY).to_pylist())

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of what is known, without the key."""
        return tuple(self.table.column_names[1:])

    def about(self, column: str) -> About:
        """What a column means and where it comes from.

        Raises:
            TableError: there is no such column.
        """
        self._known(column)
        return About(**json.loads(self.table.schema.field(column).metadata[_ABOUT]))

    def __getitem__(self, column: str) -> list[Any]:
        """The values of a column, as Python has them, in the order of `targets`."""
        self._known(column)
        return list(self.table.column(column).to_pylist())

    def row(self, target: object) -> dict[str, Any] | None:
        """What is known of one target, by column; None where the table does not speak of it."""
        at = self._rows.get(str(target))
        return None if at is None else {name: self.table.column(name)[at].as_py() for name in self.columns}

    @property
    def _rows(self) -> dict[str, int]:
        rows: dict[str, int] | None = self.__dict__.get("_rows_kept")
        if rows is None:
            rows = {key: at for at, key in enumerate(self.targets)}
            self.__dict__["_rows_kept"] = rows
        return rows

    def sorted_by(self, column: str, *, descending: bool = True) -> UnitTable:
        """The same rows, ordered by a column; what has no value comes last."""
        self._known(column)
        order = "descending" if descending else "ascending"
        return UnitTable(self.table.sort_by([(column, order)]), self.model_name, self.model_hash)

    def joined(self, other: UnitTable) -> UnitTable:
        """The columns of both, for every target of either; a value that one of them lacks is None.

        Raises:
            TableError: they speak of different networks, or a column is in both.
        """
        if self.model_hash != other.model_hash:
            raise TableError(
                f"tables of two networks are not joined: {self.model_name} ({self.model_hash}) and "
                f"{other.model_name} ({other.model_hash})"
            )
        if both := sorted(set(self.columns) & set(other.columns)):
            raise TableError(f"both tables have a column {both[0]!r}: rename it in one of them")
        targets = tuple(dict.fromkeys((*self.targets, *other.targets)))
        arrays, fields = [pa.array(targets, pa.string())], [pa.field(KEY, pa.string())]
        for part in (self, other):
            at = pa.array([part._rows.get(target) for target in targets], pa.int64())
            for name in part.columns:
                arrays.append(part.table.column(name).take(at))
                fields.append(part.table.schema.field(name))
        return UnitTable(pa.table(arrays, schema=pa.schema(fields)), self.model_name, self.model_hash)

    def to_bytes(self) -> bytes:
        """The table as a Parquet file, which pandas, DuckDB and others open as it is."""
        identity = json.dumps({"model": self.model_name, "model_hash": self.model_hash})
        buffer = io.BytesIO()
        pa.parquet.write_table(self.table.replace_schema_metadata({_MODEL: identity.encode()}), buffer)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "the table") -> UnitTable:
        """The table that `to_bytes` wrote; `name` is what an error calls it.

        Raises:
            TableError: it is no Parquet file, or not one of a unit table.
        """
        try:
            table = read_parquet(io.BytesIO(data))
        except (pa.ArrowException, OSError) as error:
            raise TableError(f"{name} is no Parquet file: {str(error).partition(chr(10))[0]}") from None
        try:
            identity = json.loads((table.schema.metadata or {})[_MODEL])
            return cls(table, identity["model"], identity["model_hash"])
        except (KeyError, ValueError) as error:
            if isinstance(error, TableError):
                raise
            raise TableError(f"{name} is a Parquet file, but no unit table of Pellucid's") from None

    def save(self, path: str | Path) -> Path:
        """Write the table: `.parquet`, which `load` reads again, or `.csv` with the columns that fit into cells.

        Raises:
            TableError: another suffix.
            ImageError: it cannot be written there.
        """
        path = Path(path)
        if path.suffix not in (".parquet", ".csv"):
            raise TableError(f"a unit table is written as .parquet or .csv, not '{path.name}'")
        with written_whole(path) as file:
            if path.suffix == ".parquet":
                file.write(self.to_bytes())
            else:
                flat = [name for name in self.table.column_names if _fits_a_cell(self.table.schema.field(name).type)]
                pa.csv.write_csv(self.table.select(flat), file)
        return path

    @classmethod
    def load(cls, path: str | Path) -> UnitTable:
        """The table that `save` wrote as Parquet.

        Raises:
            TableError: there is no such file, or it is not a unit table.
        """
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise TableError(f"cannot read '{path}': {error.strerror or error}") from None
        return cls.from_bytes(data, f"'{path}'")

    def _known(self, column: str) -> None:
        if column not in self.columns:
            hint = did_you_mean(column, self.columns) or f" There are: {', '.join(self.columns)}."
            raise TableError(f"no column {column!r} in this table.{hint}")


def _fits_a_cell(kind: pa.DataType) -> bool:
    return not (pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
