"""A survey's examples read a second time, to be kept."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from pellucid.images.sheets import picture as shown
from pellucid.models.model import Model
from pellucid.survey.dataset import Dataset
from pellucid.survey.pictures import SCHEMA, Pictures
from pellucid.survey.reading import batches

__all__ = ["gather"]

_QUALITY = 90  # of WebP: what is lost is not seen beside the network's own size


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
        parts.append(pa.RecordBatch.from_pydict(columns, schema=SCHEMA))
    return Pictures(pa.Table.from_batches(parts, schema=SCHEMA))


def _encoded(image: Any) -> bytes:
    buffer = io.BytesIO()
    shown(image).convert("RGB").save(buffer, "WEBP", quality=_QUALITY)
    return buffer.getvalue()
