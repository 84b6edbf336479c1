"""Pictures in Parquet files: a column of encoded pictures, and one of labels where there is one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Float
from torch import Tensor

from pellucid.errors import DatasetError, ImageError
from pellucid.images import files
from pellucid.survey.dataset import Dataset, Entry, checked_label

__all__ = ["ParquetDataset"]

_IMAGES, _LABELS = ("image", "img", "picture"), ("label", "labels", "fine_label")
_ROWS = 256  # read at once: some MB


class ParquetDataset(Dataset):
    """The rows of Parquet files, file after file: `image` holds encoded bytes, or Hugging Face's {bytes, path}.

    A column `label` of whole numbers from 0 is optional. Names of classes are those given, or those that Hugging Face's
    `datasets` stored in the file.

    Raises:
        DatasetError: a file cannot be read, lacks the column, or holds no rows.
    """

    def __init__(self, paths: Sequence[Path], classes: Sequence[str] | None = None) -> None:
        self.paths = tuple(paths)
        self.name = str(paths[0]) if len(paths) == 1 else f"{paths[0]} … {paths[-1].name}"
        self._rows = [self._opened(path).metadata.num_rows for path in self.paths]
        schema = self._opened(self.paths[0]).schema_arrow
        self._image = self._column(schema, _IMAGES)
        self._label = next((name for name in _LABELS if name in schema.names), None)
        self.classes = tuple(classes) if classes is not None else _stored_names(schema, self._label)
        if not len(self):
            raise DatasetError(f"'{self.name}' holds no rows")
        if self._label:
            self.num_labels = 1 + self._highest_label(self._label)

    def _opened(self, path: Path) -> Any:
        try:
            return pq.ParquetFile(path)
        except FileNotFoundError:
            raise DatasetError(f"no file '{path}'") from None
        except (pa.ArrowException, OSError) as error:
            raise DatasetError(f"'{path}' is no Parquet file: {str(error).partition(chr(10))[0]}") from None

    def _column(self, schema: Any, names: Sequence[str]) -> str:
        for name in names:
            if name in schema.names and _holds_bytes(schema.field(name).type):
                return name
        columns = ", ".join(f"{field.name} ({field.type})" for field in schema)
        raise DatasetError(f"'{self.name}' has no column 'image' of encoded pictures (bytes). There are: {columns}")

    def _highest_label(self, column: str) -> int:
        """See that all labels are whole numbers that the classes have, before a long pass."""
        first, highest = 0, -1
        for path, rows in zip(self.paths, self._rows, strict=True):
            labels = pq.read_table(path, columns=[column]).column(column)
            if not pa.types.is_integer(labels.type) or labels.null_count:
                what = "labels that are missing" if labels.null_count else f"labels of type {labels.type}"
                raise DatasetError(f"labels do not match classes: '{path}' has {what}, and whole numbers are needed")
            for label in pc.min_max(labels).as_py().values() if rows else ():
                checked_label(label, self.classes, f"row {first + pc.index(labels, label).as_py()} of '{path}'")
                highest = max(highest, label)
            first += rows
        return highest

    def __len__(self) -> int:
        return sum(self._rows)

    @property
    def identity(self) -> str:
        """A hash of the files' names, rows and sizes."""
        parts = [(path.name, rows, path.stat().st_size) for path, rows in zip(self.paths, self._rows, strict=True)]
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def entries(self, start: int = 0, wanted: Iterable[int] | None = None) -> Iterator[Entry]:
        """See `Dataset`."""
        chosen = None if wanted is None else set(wanted)
        columns = [self._image, *([self._label] if self._label else [])]
        first = 0  # of the rows at hand
        for path, rows in zip(self.paths, self._rows, strict=True):
            if first + rows <= start or (chosen is not None and not any(first <= at < first + rows for at in chosen)):
                first += rows
                continue
            for batch in self._opened(path).iter_batches(_ROWS, columns=columns):
                for offset in range(len(batch)):
                    index = first + offset
                    if index >= start and (chosen is None or index in chosen):
                        yield self._entry(batch, offset, index)
                first += len(batch)

    def _entry(self, batch: Any, offset: int, index: int) -> Entry:
        cell = batch.column(self._image)[offset].as_py()
        stored = cell if isinstance(cell, dict) else {"bytes": cell}
        name = str(stored.get("path") or f"row {index}")
        label = batch.column(self._label)[offset].as_py() if self._label else None
        return Entry(index, name, label, partial(_decoded, stored.get("bytes"), name))


def _decoded(data: bytes | None, name: str, channels: int) -> Float[Tensor, "c h w"]:
    if not data:
        raise ImageError(f"'{name}' is empty")
    return files.read(data, channels=channels, name=name)


def _holds_bytes(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _holds_bytes(field.type) for field in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _stored_names(schema: Any, label: str | None) -> tuple[str, ...] | None:
    """The names of a `ClassLabel`, as Hugging Face's `datasets` keeps them in a file's metadata."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        names = features[label]["names"]
    except (KeyError, TypeError, ValueError):
        return None
    return tuple(str(name) for name in names)
