"""From a rendering back to what was optimised: its parameters as a function that gives its pictures."""

from __future__ import annotations

from dataclasses import replace

from pellucid.ascent.image_for import image_for
from pellucid.ascent.jobs import ImageMaker
from pellucid.ascent.rendering import Rendering
from pellucid.errors import ImageError
from pellucid.images.image import Image

__all__ = ["empty_parameterization", "parameterization_of"]


def parameterization_of(rendering: Rendering, make_image: ImageMaker | None = None) -> Image:
    """The image that a rendering was made with, filled with its parameters.

    `make_image` made it, where it was no image of a recipe.

    Raises:
        ImageError: the rendering was made by a maker of images that is not given, or its parameters do not fit.
    """
    image = empty_parameterization(rendering, len(rendering), make_image)
    image.unflat(rendering.parameters)
    return image


def empty_parameterization(rendering: Rendering, num_images: int, make_image: ImageMaker | None = None) -> Image:
    """The same kind of image for so many pictures, not filled: to be read at parameters of one's own.

    Raises:
        ImageError: as `parameterization_of`.
    """
    if make_image is None and any(one.is_custom for one in rendering.realizations):
        raise ImageError(
            "this rendering was optimised by an image of its caller's: give the same make_image to rebuild it"
        )
    resolved = replace(rendering.resolved, device="cpu")
    channels = rendering.images.shape[1] - rendering.alpha
    return image_for(rendering.recipe, resolved, channels, make_image, num_images).to(rendering.parameters.dtype)
