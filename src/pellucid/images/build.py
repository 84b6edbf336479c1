"""From a recipe's words to an image: the one place where they meet."""

from __future__ import annotations

import torch

from pellucid.errors import RecipeError, did_you_mean
from pellucid.images.color import color_map
from pellucid.images.fourier import Fourier
from pellucid.images.image import LinearImage
from pellucid.images.pixels import Pixels

__all__ = ["IMAGE_KINDS", "build_image"]

IMAGE_KINDS = ("fourier", "pixels")
"""The names that `build_image` knows."""


def build_image(
    kind: str,
    num_images: int,
    size: tuple[int, int],
    *,
    channels: int = 3,
    decay: float = 1.0,
    sd: float = 0.01,
    squash: str = "sigmoid",
    color: str = "tiny-imagenet",
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> LinearImage:
    """Make the image that a recipe asks for, on its device; its rows are flat colour until they are filled.

    `size` is (height, width) in pixels; `decay` belongs to "fourier" only. A colour map belongs to 3 channels: with
    any other number every channel stands on its own. Parameters are float32 or float64 whatever the network's
    precision, for half precision would lose the small steps of an optimiser and has no Fourier transform on CPUs.

    Raises:
        RecipeError: kind, squash, colour map or dtype is unknown.
        ImageError: the size, the number of channels or the spread is out of range.
    """
    if kind not in IMAGE_KINDS:
        raise RecipeError(f"no image {kind!r}; there are {', '.join(IMAGE_KINDS)}.{did_you_mean(kind, IMAGE_KINDS)}")
    if dtype not in (torch.float32, torch.float64):
        raise RecipeError(f"image parameters are torch.float32 or torch.float64, not {dtype}")
    colors = color_map(color)
    if channels != 3:
        colors = None
    image: LinearImage
    if kind == "fourier":
        image = Fourier(
            num_images, size, channels=channels, decay=decay, sd=sd, squash=squash, color=colors, dtype=dtype
        )
    else:
        image = Pixels(num_images, size, channels=channels, sd=sd, squash=squash, color=colors, dtype=dtype)
    return image.to(device)
