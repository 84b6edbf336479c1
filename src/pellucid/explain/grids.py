"""Spatial activation grids: what a layer sees at each position of a photo, drawn there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from pellucid.ascent.recipe import Recipe
from pellucid.ascent.render import render
from pellucid.errors import TargetError
from pellucid.explain.contributions import photo_for
from pellucid.images.sheets import picture
from pellucid.models.model import Model
from pellucid.objectives.response import places
from pellucid.objectives.units import direction

__all__ = ["ActivationGrid", "activation_grid"]

_MOST_CELLS = 14  # along a side: as many as a page shows, and some minutes render


@dataclass(frozen=True)
class ActivationGrid:
    """A picture for each cell of a photo: of the direction of all units' activations there.

    `pictures` [rows, cols, c, h, w] in [0, 1]; `strength` [rows, cols], the length of the activations there over the
    longest.
    """

    layer: str
    pictures: Float[Tensor, "rows cols c h w"]
    strength: Float[Tensor, "rows cols"]

    def mosaic(self, cell_px: int = 64) -> Image.Image:
        """The cells as one picture; each is as large in its cell as the activations there are strong."""
        rows, cols, channels = self.pictures.shape[:3]
        sheet = torch.full((channels, rows * cell_px, cols * cell_px), 0.5)
        for row in range(rows):
            for col in range(cols):
                side = max(4, round(cell_px * float(self.strength[row, col]) ** 0.5))
                one = F.interpolate(self.pictures[row, col][None], (side, side), mode="bilinear", antialias=True)[0]
                top, left = row * cell_px + (cell_px - side) // 2, col * cell_px + (cell_px - side) // 2
                sheet[:, top : top + side, left : left + side] = one
        return picture(sheet)


def activation_grid(
    model: Model,
    photo: str | Path | Tensor,
    layer: str,
    *,
    most_cells: int = _MOST_CELLS,
    recipe: Recipe | Mapping[str, Any] | None = None,
    **settings: Any,
) -> ActivationGrid:
    """Draw what a layer sees at each position of a photo, which is a file or a tensor [c, h, w] in [0, 1].

    Each cell is a render of the direction <z, z0> of its own activations z0; a map larger than `most_cells` along a
    side is averaged down to it. `recipe` and `settings` are those of `render`.

    Raises:
        TargetError: an unknown layer, one without positions, or a photo that it is silent on.
        RecipeError: as `render`.

    Source: Olah et al., "The Building Blocks of Interpretability", Distill 2018.
    """
    found = model.layer(layer)
    if max(found.map_size) < 2:
        raise TargetError(f"{layer} has no positions to draw a grid of; take an earlier layer")
    with torch.no_grad():
        maps = places(model.tap(photo_for(model, photo, model.size), [layer])[layer], found).float().cpu()
    rows, cols = (min(side, most_cells) for side in maps.shape[-2:])
    cells = F.adaptive_avg_pool2d(maps, (rows, cols))[0].flatten(1).T
    lengths = torch.linalg.vector_norm(cells, dim=1)
    loud = [cell for cell in range(len(cells)) if lengths[cell] > 0]
    if not loud:
        raise TargetError(f"{layer} is silent on this photo: there is nothing to draw")
    made = render(model, [direction(layer, cells[cell] / lengths[cell]) for cell in loud], recipe=recipe, **settings)
    pictures = torch.full((len(cells), *made.pictures.shape[1:]), 0.5)
    pictures[loud] = made.pictures
    return ActivationGrid(layer, pictures.unflatten(0, (rows, cols)), (lengths / lengths.max()).view(rows, cols))
