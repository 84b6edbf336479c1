"""A picture cut into equal tiles and put together again, so that a network sees a large one piece by piece."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from pellucid.errors import ModelError
from pellucid.models.model import Model

__all__ = ["MARGIN_PX", "Tiles", "find_tiles"]

Place = tuple[int, int]

# The largest tile that is chosen, unless the network was made for more. Larger ones have fewer seams and cost memory.
_MOST_PX = 256
_STEP_PX = 32  # sides of tiles are multiples of it where the picture allows: of most networks' strides, too
MARGIN_PX = 64  # how far seams wander: as far as they are seen


@dataclass(frozen=True)
class Tiles:
    """Tiles of one size that cover a picture, which is moved about behind them.

    `size` and `tile` are (height, width) in px. The picture lies in a frame that is `margin` px higher and wider and
    mirrors it; the shift (row, col), each 0 to `margin`, is its upper left corner there. What remains at an edge of
    the frame is covered by letting tiles overlap.
    """

    size: tuple[int, int]
    tile: tuple[int, int]
    margin: int

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """The upper left corner (row, col) of each tile in the frame, in reading order."""
        rows, cols = (_starts(side + self.margin, tile) for side, tile in zip(self.size, self.tile, strict=True))
        return tuple((row, col) for row in rows for col in cols)

    def __len__(self) -> int:
        return len(self.places)

    def framed(self, picture: Float[Tensor, "c h w"], shift: Place) -> Float[Tensor, "c h2 w2"]:
        """The picture in its frame."""
        above, left = shift
        frame = (left, self.margin - left, above, self.margin - above)
        return F.pad(picture[None], frame, mode="reflect")[0]

    def unframed(self, frame: Float[Tensor, "c h2 w2"], shift: Place) -> Float[Tensor, "c h w"]:
        """What lies in the frame where the picture is."""
        return frame[:, shift[0] : shift[0] + self.size[0], shift[1] : shift[1] + self.size[1]]

    def cut(self, frame: Float[Tensor, "c h2 w2"], places: Sequence[Place]) -> Float[Tensor, "b c th tw"]:
        """The tiles at some places, as a batch."""
        height, width = self.tile
        return torch.stack([frame[:, row : row + height, col : col + width] for row, col in places])

    def add(self, frame: Float[Tensor, "c h2 w2"], tiles: Float[Tensor, "b c th tw"], places: Sequence[Place]) -> None:
        """Add tiles to a frame, each with its share of the pixels that it has in common with others.

        All tiles of a frame, cut and added to zeros, give the frame again. In an overlap a tile's share falls towards
        its edge, where it knows least of what is around.
        """
        height, width = self.tile
        of_rows, of_cols = self._shares
        for tile, (row, col) in zip(tiles, places, strict=True):
            shares = (of_rows[row][:, None] * of_cols[col]).to(tile)
            frame[:, row : row + height, col : col + width] += tile * shares

    @cached_property
    def _shares(self) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """By rows and by columns: start of a tile -> what part of each of its lines is its own."""
        by_rows, by_cols = (_shares(side + self.margin, tile) for side, tile in zip(self.size, self.tile, strict=True))
        return by_rows, by_cols


def _starts(side: int, tile: int) -> list[int]:
    """Where tiles begin along one side: as few as cover it, evenly spread, the last one ending at its end."""
    gaps = -(-side // tile) - 1
    return [round(i * (side - tile) / max(1, gaps)) for i in range(gaps + 1)]


def _shares(side: int, tile: int) -> dict[int, Tensor]:
    """Start of a tile -> its share of each of its lines; the shares of a line add up to 1."""
    starts = _starts(side, tile)
    lines = torch.arange(tile, dtype=torch.float64)
    hill = torch.minimum(lines, tile - 1 - lines) + 1
    total = torch.zeros(side, dtype=torch.float64)
    for start in starts:
        total[start : start + tile] += hill
    return {start: hill / total[start : start + tile] for start in starts}


def find_tiles(model: Model, size: tuple[int, int], wanted: int | None) -> Tiles | None:
    """Tiles for a picture of `size` that the network can run on: squares of `wanted` px, cut to the frame; by default
    what covers the frame without much overlap, or, where the network runs at its own size only, that.

    None when no such tile fits into the frame.
    """
    margin = min(MARGIN_PX, min(size) - 1)
    height, width = size[0] + margin, size[1] + margin
    if wanted:
        options = [(min(wanted, height), min(wanted, width))]
    else:
        options = [(_balanced(height, model.size[0]), _balanced(width, model.size[1])), model.size]
    for tile in options:
        if tile[0] <= height and tile[1] <= width and _runs(model, tile):
            return Tiles(size, tile, margin)
    return None


def _balanced(side: int, own: int) -> int:
    """A tile's side of which a whole number covers `side` with little left over."""
    most = max(own, _MOST_PX)
    even = -(-side // -(-side // most))
    return min(side, most, -(-even // _STEP_PX) * _STEP_PX)


def _runs(model: Model, size: tuple[int, int]) -> bool:
    try:
        model.layers_at(size)
    except ModelError:
        return False
    return True
