"""The image that a recipe asks for, on the device where it is optimised."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pellucid.ascent.jobs import ImageMaker
from pellucid.ascent.plan import Resolved
from pellucid.ascent.recipe import Recipe
from pellucid.errors import RecipeError
from pellucid.images.build import build_image
from pellucid.images.generator import Generator
from pellucid.images.image import Image, LinearImage
from pellucid.images.shared import SharedLowRes

__all__ = ["image_for", "with_prior"]


def image_for(
    recipe: Recipe, resolved: Resolved, channels: int, make_image: ImageMaker | None, num_images: int
) -> Image:
    """Images of a recipe, or of a maker of others, which then stands for the recipe's `image`.

    Raises:
        RecipeError: the recipe asks for something that this kind of image has not.
    """
    image = make_image(num_images, resolved.size) if make_image else _built(recipe, resolved, channels, num_images)
    image = image.to(resolved.device)
    if recipe.prior and not isinstance(image, Generator):
        raise RecipeError("prior is the weight of a generator's prior, and this image is made by no generator")
    if recipe.blur and not isinstance(image, LinearImage):
        raise RecipeError("blur goes from a picture back to what is optimised: image fourier, pixels or pyramid")
    if not recipe.shared_low_res:
        return image
    if not isinstance(image, LinearImage):
        raise RecipeError("shared_low_res adds to the images fourier, pixels and pyramid, and to no other")
    return SharedLowRes(image, [], sd=recipe.sd)


def _built(recipe: Recipe, resolved: Resolved, channels: int, num_images: int) -> Image:
    if recipe.alpha and channels != 3:
        raise RecipeError(f"alpha needs a network of 3 channels, and this one has {channels}")
    return build_image(
        recipe.image,
        num_images,
        resolved.size,
        channels=channels,
        decay=recipe.decay,
        sd=recipe.sd,
        squash=recipe.squash,
        color=recipe.color,
        alpha=recipe.alpha,
        dtype=torch.float64 if resolved.precision == "float64" else torch.float32,
    )


def with_prior(image: Image, weight: float, gradients: Sequence[Tensor]) -> Sequence[Tensor]:
    """Gradients of minus the score, and those of minus `weight` times the prior of what is optimised."""
    if not weight or not isinstance(image, Generator):
        return gradients
    pulls = torch.autograd.grad(-weight * image.prior().sum(), list(image.parameters()))
    return [gradient + pull for gradient, pull in zip(gradients, pulls, strict=True)]
