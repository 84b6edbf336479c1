"""Notes and tags of units, in one file beside the atlas."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pellucid.atlas.place import Place
from pellucid.errors import AtlasError

__all__ = ["NOTES", "Note", "Notes"]

NOTES = "notes.json"
_MOST_CHARACTERS, _MOST_TAGS, _MOST_IN_TAG = 10_000, 32, 60


@dataclass(frozen=True)
class Note:
    """What someone noted of a unit; `changed` is the time, in seconds since 1970.

    Raises:
        AtlasError: it is too long.
    """

    note: str = ""
    tags: tuple[str, ...] = ()
    changed: int = field(default_factory=lambda: int(time.time()))

    def __post_init__(self) -> None:
        if len(self.note) > _MOST_CHARACTERS:
            raise AtlasError(f"a note has at most {_MOST_CHARACTERS:,} characters, and this one {len(self.note):,}")
        if len(self.tags) > _MOST_TAGS or any(len(tag) > _MOST_IN_TAG for tag in self.tags):
            raise AtlasError(f"a unit has at most {_MOST_TAGS} tags of {_MOST_IN_TAG} characters")
        tags = tuple(dict.fromkeys(" ".join(tag.split()) for tag in self.tags if tag.strip()))
        object.__setattr__(self, "tags", tags)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Note:
        """What a page sent: `note` and `tags`.

        Raises:
            AtlasError: it is too long, or no text.
        """
        note, tags = document.get("note", ""), document.get("tags", [])
        if not isinstance(note, str) or not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            raise AtlasError("a note is a text, and its tags are a list of texts")
        return cls(note, tuple(tags))


class Notes:
    """The notes of an atlas, by the text of a unit's target. Two viewers may write: each reads before it does."""

    def __init__(self, place: Place) -> None:
        self.place, self._lock = place, threading.Lock()

    @property
    def why_not(self) -> str:
        """Why nothing can be noted; empty where something can."""
        if self.place.is_local and not os.access(self.place.root, os.W_OK):
            return "Nothing can be noted: the atlas's folder cannot be written."
        try:
            self.read()
        except AtlasError as error:
            return f"Nothing can be noted: {error}."
        return ""

    def read(self) -> dict[str, Note]:
        """All notes.

        Raises:
            AtlasError: the file is damaged.
        """
        try:
            document = json.loads(self.place.read(NOTES))
            return {str(target): _note(one) for target, one in document["units"].items()}
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise AtlasError(f"{NOTES} in {self.place.url!r} is damaged ({error}); mend it or move it away") from None

    def as_data(self) -> dict[str, dict[str, Any]]:
        """All notes as plain data; none where the file is damaged."""
        try:
            return {target: asdict(note) for target, note in self.read().items()}
        except AtlasError:
            return {}

    def write(self, target: str, note: Note) -> None:
        """Note something of a unit, in place of what was noted; an empty note takes it away.

        Raises:
            AtlasError: the file is damaged or cannot be written.
        """
        with self._lock:
            notes = self.read()
            notes.pop(target, None)
            if note.note or note.tags:
                notes[target] = note
            document = {"pellucid": "notes", "format": 1, "units": {name: asdict(one) for name, one in notes.items()}}
            self.place.write(NOTES, (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())


def _note(stored: Mapping[str, Any]) -> Note:
    return Note(str(stored["note"]), tuple(map(str, stored["tags"])), int(stored["changed"]))
