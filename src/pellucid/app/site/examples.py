"""Pictures of a data set that a table gives for a unit: the bytes that it holds, or crops of a survey's pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pellucid.app.site.opening import opened
from pellucid.atlas.store import Atlas
from pellucid.errors import PellucidError
from pellucid.survey.pictures import Pictures
from pellucid.survey.unit_table import UnitTable

__all__ = ["SURVEY", "example_bytes", "example_caption", "is_example", "survey_beside"]

SURVEY = "survey"
"""The folder of an atlas where a survey of its network is looked for, and the name by which its table goes."""
_WORDS = ("class_name", "caption", "label", "name", "path", "id")


def survey_beside(atlas: Atlas) -> tuple[UnitTable, Pictures] | None:
    """The survey in an atlas's folder, of the same network: its table, and the pictures that this speaks of; None
    where there is none that can be read."""
    if not atlas.place.is_local or not Path(atlas.place.path(SURVEY)).is_dir():
        return None
    from pellucid.survey.result import Survey  # and with it torch, which a viewer otherwise does without

    try:
        found = Survey.load(atlas.place.path(SURVEY))
    except PellucidError:
        return None
    return (found.table, found.pictures) if found.table.model_hash == atlas.card.model.hash else None


def example_bytes(entry: Any, pictures: Pictures | None) -> bytes | None:
    """The picture of one entry: bytes, a struct that holds them, or a survey's example, cut to what the unit sees."""
    if isinstance(entry, bytes):
        return entry
    if not isinstance(entry, dict):
        return None
    if pictures is not None and isinstance(entry.get("picture"), int):
        try:
            return _cut(pictures, entry) if entry["picture"] in pictures else None
        except (OSError, ValueError):
            return None
    return next((found for value in entry.values() if (found := example_bytes(value, None))), None)


def is_example(entry: Any, pictures: Pictures | None) -> bool:
    """Whether `example_bytes` has a picture of one entry; cuts none."""
    if pictures is not None and isinstance(entry, dict) and isinstance(entry.get("picture"), int):
        return entry["picture"] in pictures
    return example_bytes(entry, None) is not None


def example_caption(entry: Any, pictures: Pictures | None) -> str | None:
    """What one entry shows, in words; None where nothing is said."""
    if not isinstance(entry, dict):
        return None
    if pictures is not None and entry.get("picture") in pictures:
        about = pictures.about(entry["picture"])
        return str(about["class"] or about["name"]).partition(",")[0]  # of ImageNet's synonyms, the first
    words = next((entry[name] for name in _WORDS if entry.get(name) is not None), None)
    return None if words is None else str(words)


def _cut(pictures: Pictures, example: Mapping[str, Any]) -> bytes:
    data = pictures.encoded(example["picture"])
    with opened(data) as whole:
        width, height = whole.size
        left, top = max(0, example["left"]), max(0, example["top"])
        box = (left, top, min(width, example["right"]), min(height, example["bottom"]))
        if box == (0, 0, width, height):
            return data
        buffer = io.BytesIO()
        whole.convert("RGB").crop(box).save(buffer, "WEBP", quality=90)
    return buffer.getvalue()
