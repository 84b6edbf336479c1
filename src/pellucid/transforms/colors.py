"""Transforms of colour: brightness, contrast, saturation and hue, drawn for every picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.draws import Draws
from pellucid.errors import RecipeError
from pellucid.transforms.transform import Chained, Range, Spread, at_least, spread

__all__ = ["Brightness", "Contrast", "Hue", "Saturation"]

# Red, green and blue to luma and the two axes of chroma (NTSC 1953). Lucid's last column, -0.321 and 0.311, would give
# grey a tint.
_YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))


def _factors(factor: float | int | Sequence[float | int] | Spread, name: str) -> Spread:
    """A range or list of factors; a plain number s means from 1/s to s."""
    if isinstance(factor, (int, float)):
        at_least(factor, 1, name, "times (or a range such as 0.9..1)")
        factor = Range(1 / factor, factor)
    result = spread(factor)
    if result.limits[0] < 0:
        raise RecipeError(f"{name} by {result.limits[0]:g} is not possible. Give factors of 0 or more")
    return result


def _per_image(values: Float[Tensor, " b"], images: Tensor) -> Float[Tensor, "b 1 1 1"]:
    return values.to(images.device, images.dtype)[:, None, None, None]


@dataclass(frozen=True)
class Brightness(Chained):
    """Multiply each picture by a factor: a range or a list; a plain number s means from 1/s to s."""

    factor: Spread

    def __init__(self, factor: float | int | Sequence[float | int] | Spread) -> None:
        object.__setattr__(self, "factor", _factors(factor, "brightness"))

    def __call__(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h w"]:
        """Each image by its own draw; values may leave their range."""
        return images * _per_image(self.factor.draw(draws), images)


@dataclass(frozen=True)
class Contrast(Chained):
    """Multiply each picture's distance to its own mean, channel by channel; a plain number s means from 1/s to s.

    Source: Lucid's `color.contrast` (0.8 to 1.2 there).
    """

    factor: Spread

    def __init__(self, factor: float | int | Sequence[float | int] | Spread) -> None:
        object.__setattr__(self, "factor", _factors(factor, "contrast"))

    def __call__(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h w"]:
        """Each image by its own draw."""
        mean = images.mean((2, 3), keepdim=True)
        return mean + (images - mean) * _per_image(self.factor.draw(draws), images)


@dataclass(frozen=True)
class Saturation(Chained):
    """Multiply each pixel's distance to its own grey (luma); 0 is grey, a plain number s means from 1/s to s.

    Source: Lucid's `color.saturation`, which scales one axis of chroma only; here it is both.
    """

    factor: Spread

    def __init__(self, factor: float | int | Sequence[float | int] | Spread) -> None:
        object.__setattr__(self, "factor", _factors(factor, "saturation"))

    def __call__(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h w"]:
        """Each image by its own draw.

        Raises:
            RecipeError: the pictures are not red, green and blue.
        """
        _check_color(images, "saturation")
        grey = _mixed(images, torch.tensor(_YIQ[:1]).expand(len(images), 1, 3))
        return grey + (images - grey) * _per_image(self.factor.draw(draws), images)


@dataclass(frozen=True)
class Hue(Chained):
    """Turn each picture's colours by an angle in degrees about the grey axis; luma stays.

    `deg` is a range or a list; a plain number means up to that angle either way.

    Source: Lucid's `color.hue` (a turn of chroma in YIQ).
    """

    deg: Spread

    def __init__(self, deg: float | int | Sequence[float | int] | Spread) -> None:
        if isinstance(deg, (int, float)):
            at_least(deg, 0, "hue", "degrees")
            deg = Range(-deg, deg)
        object.__setattr__(self, "deg", spread(deg))

    def __call__(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h w"]:
        """Each image by its own draw.

        Raises:
            RecipeError: the pictures are not red, green and blue.
        """
        _check_color(images, "hue")
        angle = torch.deg2rad(self.deg.draw(draws).double().cpu())
        cos, sin, zero = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle)
        turn = torch.stack([zero + 1, zero, zero, zero, cos, -sin, zero, sin, cos], 1).view(-1, 3, 3)
        to_yiq = torch.tensor(_YIQ, dtype=torch.float64)
        return _mixed(images, torch.linalg.inv(to_yiq) @ turn @ to_yiq)


def _mixed(images: Float[Tensor, "b 3 h w"], matrices: Float[Tensor, "b k 3"]) -> Float[Tensor, "b k h w"]:
    """Each picture's channels mixed by its own matrix."""
    # Not a matmul: its rounding may depend on the batch size, and an image must not depend on its neighbours.
    weights = matrices.to(images.device, images.dtype)[:, :, :, None, None]
    return (
        images[:, None, 0] * weights[:, :, 0]
        + images[:, None, 1] * weights[:, :, 1]
        + images[:, None, 2] * weights[:, :, 2]
    )


def _check_color(images: Tensor, name: str) -> None:
    if images.shape[1] != 3:
        raise RecipeError(f"{name} needs pictures of red, green and blue, and these have {images.shape[1]} channels")
