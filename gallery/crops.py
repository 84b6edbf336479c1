"""Pieces of the photos that may be redistributed: what stands for a dataset's examples on the page."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

import pellucid as pl
from gallery.hall import PHOTOS, Hall
from pellucid.objectives.response import Response

__all__ = ["Crops", "crops_of", "responses"]

# Photos enlarged to so many times the network's side, and the step from one piece to the next in sides.
_SCALES = ((4, 3 / 8), (2, 1 / 4), (1, 1))


@dataclass(frozen=True)
class Crops:
    """Square pieces [n, 3, side, side] in [0, 1], each with the name of its photo."""

    pictures: Float[Tensor, "n 3 side side"]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)


def crops_of(hall: Hall) -> Crops:
    """A few hundred overlapping pieces of all photos, at three scales."""
    side = min(hall.model.size)
    pictures, names = [], []
    for name in PHOTOS:
        for times, step in _SCALES:
            photo = hall.photo(name, times * side)
            places = range(0, (times - 1) * side + 1, round(step * side))
            found = [photo[:, top : top + side, left : left + side] for top in places for left in places]
            pictures += found
            names += [name] * len(found)
    return Crops(torch.stack(pictures), tuple(names))


@torch.no_grad()
def responses(
    model: pl.Model, pictures: Float[Tensor, "b c h w"], layer: str, *, pre: bool = False
) -> Float[Tensor, "b n"]:
    """The mean of every channel of a layer for pictures in [0, 1]; with `pre`, before the layer's rectifiers."""
    low, high = model.value_range
    response = Response(layer, pre=pre)
    parts = (model.tap(low + (high - low) * part, [response.tap]) for part in pictures.split(32))
    return torch.cat([response(part) for part in parts])
