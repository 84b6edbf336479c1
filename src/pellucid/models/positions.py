"""Where in a layer to look: a cell, the centre, a rectangle, the class token or the patch tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from pellucid.errors import TargetError

__all__ = ["Position", "Span"]

Span = tuple[int, int | None]
"""First row (or column) and the one after the last; None: to the end."""

PositionKind = Literal["cell", "centre", "rectangle", "cls", "patch"]

_SPAN = r"(?:[0-9]{0,6}:[0-9]{0,6}|[0-9]{1,6})"
_POSITION = re.compile(rf"(cls|patch|c)(?!\w)|({_SPAN}),\s*({_SPAN})(?![0-9:,])", re.ASCII)
_NAMES: dict[str, PositionKind] = {"c": "centre", "cls": "cls", "patch": "patch"}
_ALL: Span = (0, None)


@dataclass(frozen=True)
class Position:
    """A place in a layer's map, in rows and columns from 0 at the upper left.

    A `cell` or `rectangle` covers `rows` and `cols`, half-open as in Python; a rectangle of one cell is stored as a
    cell. In a token layer rows and columns are those of the patch grid; `cls` is the first prefix token, `patch` all
    tokens but the prefix.

    Raises:
        TargetError: an empty or negative span.
    """

    kind: PositionKind
    rows: Span = _ALL
    cols: Span = _ALL

    def __post_init__(self) -> None:
        if self.kind not in get_args(PositionKind):
            raise TargetError(f"no kind of position {self.kind!r}. There are: {', '.join(get_args(PositionKind))}.")
        for first, stop in (self.rows, self.cols):
            if first < 0 or (stop is not None and stop <= first):
                raise TargetError(f"the position {first}:{stop} holds no rows or columns. Write e.g. 2:5, with 2 < 5.")
        if self.kind in ("cell", "rectangle"):
            is_cell = all(stop == first + 1 for first, stop in (self.rows, self.cols))
            object.__setattr__(self, "kind", "cell" if is_cell else "rectangle")
        elif (self.rows, self.cols) != (_ALL, _ALL):
            raise TargetError(f"a position of kind {self.kind!r} has no rows and columns of its own.")

    @classmethod
    def cell(cls, row: int, col: int) -> Position:
        """The place at one row and column."""
        return cls("cell", (row, row + 1), (col, col + 1))

    @classmethod
    def read(cls, text: str, at: int = 0) -> tuple[Position | None, int]:
        """The position written at character `at` of a text and where it ends, or None where there is none."""
        match = _POSITION.match(text, at)
        if not match:
            return None, at
        name, rows, cols = match.groups()
        return (cls(_NAMES[name]) if name else cls("rectangle", _span(rows), _span(cols))), match.end()

    @classmethod
    def split_suffix(cls, text: str) -> tuple[str, Position | None]:
        """A text and the position after its last `@`, or None where no position follows."""
        head, mark, tail = text.rpartition("@")
        position, end = cls.read(tail)
        return (head, position) if mark and position is not None and end == len(tail) else (text, None)

    def __str__(self) -> str:
        for name, kind in _NAMES.items():
            if kind == self.kind:
                return name
        return f"{_span_text(self.rows)},{_span_text(self.cols)}"

    def window(self, height: int, width: int) -> tuple[slice, slice]:
        """The rows and columns that this covers in a map of that size; the centre is `height // 2, width // 2`.

        Raises:
            TargetError: the position lies outside the map, or is a token and no place.
        """
        if self.kind == "centre":
            return slice(height // 2, height // 2 + 1), slice(width // 2, width // 2 + 1)
        if self.kind in ("cls", "patch"):
            raise TargetError(f"@{self} names tokens, and this layer is a {height}x{width} map. Write @row,col or @c.")
        for (first, stop), size in ((self.rows, height), (self.cols, width)):
            if first >= size or (stop or 0) > size:
                raise TargetError(
                    f"@{self} lies outside the {height}x{width} map: rows 0 to {height - 1}, columns 0 to {width - 1}."
                )
        return slice(*self.rows), slice(*self.cols)


def _span(text: str) -> Span:
    if ":" not in text:
        return int(text), int(text) + 1
    first, stop = text.split(":")
    return int(first or 0), int(stop) if stop else None


def _span_text(span: Span) -> str:
    first, stop = span
    if stop == first + 1:
        return str(first)
    return f"{first or ''}:{'' if stop is None else stop}"
