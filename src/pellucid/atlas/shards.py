"""Shards: immutable Parquet files of pictures, each with the checksum of its bytes in its name.

A row is a picture. pandas, DuckDB and Hugging Face's datasets open a shard as it is, the last one with the pictures
decoded. Rows lie in small groups, so that one picture is read without the others.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import pyarrow as pa
import pyarrow.parquet

from pellucid.errors import AtlasError, first_line
from pellucid.parquet import read_parquet

__all__ = ["FOLDER", "SCHEMA", "VIEWS", "Key", "Picture", "View", "intact", "packed", "shard_name", "unpacked"]

FOLDER = "pictures"
ROWS_IN_GROUP = 16  # a picture is read with its group: 16 of 10 kB take about a millisecond

View = Literal["picture", "negative", "diverse"]
VIEWS: tuple[View, ...] = get_args(View)

SCHEMA = pa.schema(
    [
        pa.field("target", pa.string(), nullable=False),
        pa.field("layer", pa.string(), nullable=False),
        pa.field("unit", pa.int32(), nullable=False),
        pa.field("view", pa.string(), nullable=False),
        pa.field("member", pa.int32(), nullable=False),
        pa.field("image", pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("score", pa.float64()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("steps", pa.int32(), nullable=False),
        pa.field("rescue", pa.string()),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("error", pa.string()),
        pa.field("resolved", pa.string()),
    ]
)
"""The columns of a shard; `Picture` says what each means."""

_KINDS = {pa.string(): "string", pa.int32(): "int32", pa.int64(): "int64", pa.float64(): "float64"}
# What tells Hugging Face's datasets that the column `image` holds pictures.
_FEATURES = {
    field.name: {"_type": "Image"} if field.name == "image" else {"dtype": _KINDS[field.type], "_type": "Value"}
    for field in SCHEMA
}
_METADATA = {
    b"huggingface": json.dumps({"info": {"features": _FEATURES}}).encode(),
    b"pellucid": json.dumps({"pellucid": "pictures", "format": 1}).encode(),
}
_DIGITS = 32  # hex digits of SHA-256 in a name: 128 bits
_NAME = re.compile(rf"{FOLDER}/.*-(?P<checksum>[0-9a-f]{{{_DIGITS}}})\.parquet")

Key = tuple[str, str, int]
"""What names a picture in an atlas: (target of the unit, view, member)."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a unit, and how it came about.

    Attributes:
        target: the unit's key, the text of its `Target`: `mixed4a:12`, also where the view is the negative.
        layer, unit: the same in parts.
        view: "picture"; "negative", what the unit is least like; or "diverse", one of a set that differ.
        member: its number in the diverse set, from 0; 0 for the other views.
        image: an encoded picture (WebP); None where there is nothing to see ("nonfinite", "failed") and in listings,
            which leave the images out.
        height, width: px.
        score: without transforms, in the layer's own units; of a negative, that of the negated unit, so that more is
            better there too. None where there is none.
        status: "done", "converged", "dead", "nonfinite", or "failed" when it raised.
        steps: of ascent. rescue: what woke the unit, if it got no gradient at first.
        error: what a failed one raised.
        resolved: hash of how the recipe was resolved (device, precision, batch): with model, recipe and target equal,
            pictures of one such hash are equal bit for bit.
    """

    target: str
    layer: str
    unit: int
    view: View
    member: int
    image: bytes | None
    height: int
    width: int
    score: float | None
    status: str
    steps: int
    rescue: str | None
    seed: int
    error: str | None = None
    resolved: str | None = None

    @property
    def key(self) -> Key:
        """What names it in an atlas."""
        return self.target, self.view, self.member

    @property
    def is_good(self) -> bool:
        """Whether the picture shows its unit."""
        return self.status in ("done", "converged")


def packed(pictures: Sequence[Picture]) -> bytes:
    """Pictures as a Parquet file."""
    rows = []
    for one in pictures:
        row: dict[str, Any] = {field.name: getattr(one, field.name) for field in SCHEMA}
        path = f"{one.target.replace('/', '_')}-{one.view}-{one.member}.webp"
        row["image"] = None if one.image is None else {"bytes": one.image, "path": path}
        rows.append(row)
    buffer = io.BytesIO()
    pa.parquet.write_table(
        pa.Table.from_pylist(rows, SCHEMA).replace_schema_metadata(_METADATA),
        buffer,
        row_group_size=ROWS_IN_GROUP,
        compression="none",  # pictures are compressed already, and the rest is small
        use_dictionary=["target", "layer", "view", "status", "rescue", "resolved"],
        write_statistics=["target", "layer", "unit", "view", "member", "score", "status"],
    )
    return buffer.getvalue()


def unpacked(data: bytes, name: str) -> list[Picture]:
    """The pictures of a shard; `name` is what an error calls it.

    Raises:
        AtlasError: it is damaged, or no shard.
    """
    try:
        rows = read_parquet(io.BytesIO(data)).to_pylist()
        return [Picture(**{**row, "image": row["image"] and row["image"]["bytes"]}) for row in rows]
    except (pa.ArrowException, OSError, TypeError, KeyError) as error:
        raise AtlasError(f"{name} is damaged, or no shard of an atlas ({first_line(error)})") from None


def shard_name(pictures: Sequence[Picture], data: bytes) -> str:
    """`pictures/LAYER-VIEW-CHECKSUM.parquet`: people read what is in it, programs whether it is whole."""
    first = pictures[0]
    layer = re.sub(r"[^A-Za-z0-9_.]+", "_", first.layer)[:60].strip("._") or "layer"
    return f"{FOLDER}/{layer}-{first.view}-{_checksum(data)}.parquet"


def intact(name: str, data: bytes) -> bool:
    """Whether the bytes are those that the name was given for."""
    match = _NAME.fullmatch(name)
    return match is not None and match["checksum"] == _checksum(data)


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_DIGITS]
