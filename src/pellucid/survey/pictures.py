"""The pictures that a survey shows as examples, small and whole, as the network saw them. Read without torch."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pellucid.errors import TableError
from pellucid.images.whole_files import written_whole

__all__ = ["SCHEMA", "Pictures"]

SCHEMA = pa.schema(
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
        if table.schema.names != SCHEMA.names:
            raise TableError(f"'{path}' holds no pictures of a survey")
        return cls(table)
