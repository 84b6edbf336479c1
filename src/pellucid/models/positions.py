"""Where in a layer to look: a cell, the centre, a rectangle, a mask, the first cells, the class or the patch tokens."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Literal, get_args

from pellucid.errors import TargetError

__all__ = ["Mask", "Position", "Span"]

Span = tuple[int, int | None]
"""First row (or column) and the one after the last; None: to the end."""

PositionKind = Literal["cell", "centre", "rectangle", "cls", "patch", "mask", "raster"]

_SPAN = r"(?:[0-9]{0,6}:[0-9]{0,6}|[0-9]{1,6})"
_POSITION = re.compile(rf"(cls|patch|c)(?!\w)|({_SPAN}),\s*({_SPAN})(?![0-9:,])|raster:([0-9]{{1,9}})(?!\w)", re.ASCII)
_MASK = "mask:"
_FILE = re.compile(r'[^\s"]\S*')
_NAMES: dict[str, PositionKind] = {"c": "centre", "cls": "cls", "patch": "patch"}
_ALL: Span = (0, None)


@dataclass(frozen=True)
class Mask:
    """Some cells of a map of `size` (rows, columns), by their row-major numbers, in rising order.

    Raises:
        TargetError: no cell, or one outside the map.
    """

    size: tuple[int, int]
    cells: tuple[int, ...]

    def __post_init__(self) -> None:
        rows, cols = self.size
        object.__setattr__(self, "cells", tuple(sorted(set(self.cells))))
        if not self.cells or self.cells[0] < 0 or self.cells[-1] >= rows * cols:
            raise TargetError(f"a mask of a {rows}x{cols} map holds some of its {rows * cols} cells, at least one.")


@dataclass(frozen=True, repr=False)
class Position:
    """A place in a layer's map, in rows and columns from 0 at the upper left.

    A `cell` or `rectangle` covers `rows` and `cols`, half-open as in Python; a rectangle of one cell is stored as a
    cell. In a token layer rows and columns are those of the patch grid; `cls` is the first prefix token, `patch` all
    tokens but the prefix. A `raster` is the first `count` cells, read like a page. A `mask` names the `file` that holds
    it, or is one.

    Raises:
        TargetError: an empty or negative span, a mask without file or cells, a raster of no cell.
    """

    kind: PositionKind
    rows: Span = _ALL
    cols: Span = _ALL
    file: str = ""
    mask: Mask | None = None
    count: int = 0

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
        if (bool(self.file) + (self.mask is not None)) != (self.kind == "mask"):
            raise TargetError("a position of kind 'mask' has a file or cells, and no other kind has.")
        if (self.count > 0) != (self.kind == "raster"):
            raise TargetError("a raster is the first cells of a map, at least one. Write e.g. raster:40.")

    @classmethod
    def cell(cls, row: int, col: int) -> Position:
        """The place at one row and column."""
        return cls("cell", (row, row + 1), (col, col + 1))

    @classmethod
    def read(cls, text: str, at: int = 0) -> tuple[Position | None, int]:
        """The position written at character `at` of a text and where it ends, or None where there is none."""
        if text.startswith(_MASK, at):
            return _read_mask(text, at + len(_MASK)) or (None, at)
        match = _POSITION.match(text, at)
        if not match:
            return None, at
        name, rows, cols, count = match.groups()
        if count is not None:
            return cls("raster", count=int(count)), match.end()
        return (cls(_NAMES[name]) if name else cls("rectangle", _span(rows), _span(cols))), match.end()

    @classmethod
    def split_suffix(cls, text: str) -> tuple[str, Position | None]:
        """A text and the position after its last `@`, or None where no position follows."""
        head, mark, tail = text.rpartition("@")
        position, end = cls.read(tail)
        return (head, position) if mark and position is not None and end == len(tail) else (text, None)

    def __repr__(self) -> str:
        # Enters the hash of an objective: what a kind does not have is left out.
        own = {"mask": f", mask={self.mask or self.file!r}", "raster": f", count={self.count}"}.get(self.kind, "")
        return f"Position(kind={self.kind!r}, rows={self.rows!r}, cols={self.cols!r}{own})"

    def __str__(self) -> str:
        if self.mask is not None:
            return f"{_MASK}<{len(self.mask.cells)} cells>"  # from an array: nothing that could be read again
        if self.file:
            return _MASK + (self.file if _FILE.fullmatch(self.file) else json.dumps(self.file, ensure_ascii=False))
        if self.kind == "raster":
            return f"raster:{self.count}"
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
        if self.kind in ("mask", "raster"):
            raise TargetError(f"@{self} is no rectangle; it has cells.")
        if self.kind in ("cls", "patch"):
            raise TargetError(f"@{self} names tokens, and this layer is a {height}x{width} map. Write @row,col or @c.")
        for (first, stop), size in ((self.rows, height), (self.cols, width)):
            if first >= size or (stop or 0) > size:
                raise TargetError(
                    f"@{self} lies outside the {height}x{width} map: rows 0 to {height - 1}, columns 0 to {width - 1}."
                )
        return slice(*self.rows), slice(*self.cols)

    def cells(self, height: int, width: int) -> tuple[int, ...]:
        """The row-major numbers of the cells of a mask or raster in a map of that size.

        Raises:
            TargetError: the mask is of another size or not read yet, the raster is longer than the map.
        """
        if self.kind == "raster":
            if self.count > height * width:
                raise TargetError(f"@{self} is more than the {height * width} cells of the {height}x{width} map.")
            return tuple(range(self.count))
        if self.mask is None:
            raise TargetError(f"the mask @{self} has not been read; masks.read_mask does.")
        if self.mask.size != (height, width):
            rows, cols = self.mask.size
            raise TargetError(f"a mask of {rows}x{cols} cells does not fit the {height}x{width} map.")
        return self.mask.cells

    def check(self, height: int, width: int) -> None:
        """Raise TargetError where this does not fit a map of that size."""
        if self.kind in ("mask", "raster"):
            self.cells(height, width)
        else:
            self.window(height, width)


def _read_mask(text: str, at: int) -> tuple[Position, int] | None:
    """The mask whose file is written at character `at`, plain or in quotes, and where it ends."""
    if text.startswith('"', at):
        try:
            file, end = json.JSONDecoder(strict=False).raw_decode(text, at)
        except json.JSONDecodeError:
            return None
        return (Position("mask", file=str(file)), end) if file else None
    match = _FILE.match(text, at)
    return (Position("mask", file=match[0]), match.end()) if match else None


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
