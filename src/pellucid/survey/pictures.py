"""The pictures that a survey shows as examples, small and whole, as the network saw them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pellucid.errors import TableError
from pellucid.images.sheets import picture as shown
from pellucid.images.sidecars import written_whole
from pellucid.models.model import Model
from pellucid.survey.dataset import Dataset
from pellucid.survey.reading import batches

__all__ = ["Pictures", "gather"]

_QUALITY = 90  # of WebP: what is lost is not seen beside the network's own size
_SCHEMA = pa.schema(
    [
        ("picture", pa.int64()),  # its place in the dataset
        ("name", pa.string()),
        ("label", pa.int32()),  # -1: none
        ("class", pa.string()),
        ("image", pa.binary()),  # WebP, at the network's size
    ]
)


@dataclass(frozen=True)
class Pictures(Mapping[int, Image.Image]):
    """Pictures by their place in the dataset, at the network's size, with name, label and class."""

    table: pa.Table

    def __getitem__(self, picture: int) -> Image.Image:
        return Image.open(io.BytesIO(self.encoded(picture)))

    def __iter__(self) -> Iterator[int]:
        return iter(self._rows)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def _rows(self) -> dict[int, int]:
        return {picture: row for row, picture in enumerate(self.table.column("picture").to_pylist())}

    @cached_property
    def labels(self) -> dict[int, int]:
        """The labels by picture (-1: none)."""
        return dict(zip(self._rows, self.table.column("label").to_pylist(), strict=True))

    def encoded(self, picture: int) -> bytes:
        """One picture as WebP."""
        return bytes(self.table.column("image")[self._rows[picture]].as_py())

    def about(self, picture: int) -> dict[str, Any]:
        """What a picture is called: its `name`, `label` and `class`."""
        return {key: self.table.column(key)[self._rows[picture]].as_py() for key in ("name", "label", "class")}

    def save(self, path: Path) -> None:
        """Write them as Parquet.

        Raises:
            ImageError: it cannot be written there.
        """
        with written_whole(path) as file:
            pq.write_table(self.table, file, row_group_size=1024)

    @classmethod
    def load(cls, path: Path) -> Pictures:
        """What `save` wrote.

        Raises:
            TableError: there is no such file, or it holds something else.
        """
        try:
            table = pq.read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise TableError(f"cannot read the pictures of a survey from '{path}': {error}") from None
        if table.schema.names != _SCHEMA.names:
            raise TableError(f"'{path}' holds no pictures of a survey")
        return cls(table)


def gather(dataset: Dataset, model: Model, batch: int, wanted: Sequence[int], names: Sequence[str] | None) -> Pictures:
    """Read the wanted pictures again, and keep them as the network saw them."""
    parts = []
    for one in batches(dataset, model, batch, wanted=wanted):
        labels = one.labels.tolist()
        columns = {
            "picture": one.places.tolist(),
            "name": list(one.names),
            "label": labels,
            "class": ["" if label < 0 else str(label) if names is None else names[label] for label in labels],
            "image": [_encoded(image) for image in one.images],
        }
        parts.append(pa.RecordBatch.from_pydict(columns, schema=_SCHEMA))
    return Pictures(pa.Table.from_batches(parts, schema=_SCHEMA))


def _encoded(image: Any) -> bytes:
    buffer = io.BytesIO()
    shown(image).convert("RGB").save(buffer, "WEBP", quality=_QUALITY)
    return buffer.getvalue()
