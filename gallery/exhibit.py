"""What an item of the gallery hands over: claims with their numbers, pictures with their sentences, tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

__all__ = ["Cell", "Claim", "Exhibit", "Picture", "Table"]

Cell = str | int | float


@dataclass(frozen=True)
class Claim:
    """A sentence that numbers can contradict.

    `test` says, before anything is measured, which numbers would bear it out; `numbers` are those measured, in words.
    """

    text: str
    test: str
    numbers: str
    holds: bool

    @property
    def verdict(self) -> str:
        """Borne out or not, with the numbers."""
        return f"**borne out**: {self.numbers}" if self.holds else f"**not borne out**: {self.numbers}"


@dataclass(frozen=True)
class Picture:
    """A picture with what it shows (`caption`) and what a person saw in it and found wrong with it (`seen`).

    `seen` was written before the embedded network's picture, and is shown beside that one only. `private` pictures are
    made by networks whose pictures the project does not carry; they go to another folder.
    """

    name: str
    image: Image.Image
    caption: str
    seen: str
    private: bool = False


@dataclass(frozen=True)
class Table:
    """Numbers beside the pictures, written as `KEY-NAME.csv`."""

    name: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Exhibit:
    """One item of the gallery. `source` names the document; `text` says what was done, in a sentence or two."""

    title: str
    source: str
    text: str
    claims: Sequence[Claim]
    pictures: Sequence[Picture]
    tables: Sequence[Table]
    notes: Sequence[str] = ()
