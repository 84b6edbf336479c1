"""A look at pictures while they are being made."""

from __future__ import annotations

import torch
from PIL import Image as PIL

from pellucid.ascent.recipe import Recipe
from pellucid.images.build import build_image
from pellucid.images.image import Image
from pellucid.images.sheets import picture
from pellucid.models.model import Model

__all__ = ["Glass"]


class Glass:
    """Makes the images that a recipe asks for, as the ascent would, and keeps hold of them to look at."""

    def __init__(self, recipe: Recipe, model: Model) -> None:
        self._recipe, self._model = recipe, model
        self._image: Image | None = None

    def maker(self, num_images: int, size: tuple[int, int]) -> Image:
        """The images to optimise, for `render(make_image=…)`."""
        recipe = self._recipe
        self._image = build_image(
            recipe.image,
            num_images,
            size,
            channels=self._model.channels,
            decay=recipe.decay,
            sd=recipe.sd,
            squash=recipe.squash,
            color=recipe.color,
            alpha=recipe.alpha,
            dtype=torch.float64 if recipe.precision == "float64" else torch.float32,
        )
        return self._image

    def look(self) -> list[PIL.Image]:
        """The pictures as they are now; none before they are made."""
        if self._image is None:
            return []
        with torch.no_grad():
            images = self._image().detach().float().cpu()
        low, high = self._model.value_range
        shown = ((images - low) / (high - low)).clamp(0, 1)
        return [picture(one, alpha=self._recipe.alpha) for one in shown]
