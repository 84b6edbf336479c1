"""Transforms that leave every pixel in its place: blur and noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.draws import Draws
from pellucid.errors import RecipeError
from pellucid.transforms.transform import Chained, filling

__all__ = ["Blur", "Noise", "UniformNoise", "blurred_by"]

REACH_SD = 3  # a Gaussian is cut off after so many standard deviations; 0.3 % of it lies beyond


@dataclass(frozen=True)
class Blur(Chained):
    """Blur each picture with a Gaussian whose standard deviation is `sigma` pixels; outside lies `fill`."""

    sigma: float | int
    fill: float | int | tuple[float | int, ...] = 0.5

    def __post_init__(self) -> None:
        if not (math.isfinite(self.sigma) and self.sigma >= 0):
            raise RecipeError(f"blur of {self.sigma:g} px is not possible. Give 0 px or more")

    def __call__(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h w"]:
        """The same blur for every image: nothing is drawn."""
        if self.sigma == 0:
            return images
        outside = filling(self.fill, images)
        blurred: Tensor = _Gaussian.apply(images - outside, self.sigma)
        return blurred + outside


class _Gaussian(torch.autograd.Function):
    """Convolution with a symmetric kernel and zeros outside: its own adjoint, so backward is forward."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, sigma: float | int) -> Tensor:
        ctx.sigma = sigma
        return blurred_by(images, sigma)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Gaussian.apply(gradient, ctx.sigma), None


def blurred_by(images: Float[Tensor, "b c h w"], sigma: float | int) -> Float[Tensor, "b c h w"]:
    """Pictures blurred with a Gaussian of `sigma` pixels, above 0; zeros lie outside."""
    return _along(_along(images, sigma, 2), sigma, 3)


def _along(images: Tensor, sigma: float | int, axis: int) -> Tensor:
    """Blur along one axis as a sum of shifted pictures: a depthwise convolution takes five times as long on the CPU."""
    side = images.shape[axis]
    reach = max(1, math.ceil(REACH_SD * sigma))
    weights = [math.exp(-0.5 * (k / sigma) ** 2) for k in range(reach + 1)]
    total = weights[0] + 2 * sum(weights[1:])
    blurred = images * (weights[0] / total)
    for k in range(1, min(reach, side - 1) + 1):
        share = weights[k] / total
        blurred.narrow(axis, k, side - k).add_(images.narrow(axis, 0, side - k), alpha=share)
        blurred.narrow(axis, 0, side - k).add_(images.narrow(axis, k, side - k), alpha=share)
    return blurred


@dataclass(frozen=True)
class Noise(Chained):
    """Add normal noise of standard deviation `sd` to every value, in the picture's own units ([0, 1] for colour)."""

    sd: float | int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.sd) and self.sd >= 0):
            raise RecipeError(f"noise of standard deviation {self.sd:g} is not possible. Give 0 or more")

    def __call__(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h w"]:
        """Each image gets its own noise."""
        if self.sd == 0:
            return images
        # A generator seeded by the image's key, on the CPU whatever the device: the same noise everywhere, and twenty
        # times as fast as hashing a counter for every pixel.
        noise = [
            torch.randn(images.shape[1:], generator=torch.Generator().manual_seed(key)) for key in draws.keys.tolist()
        ]
        return torch.add(images, torch.stack(noise).to(images), alpha=self.sd)


@dataclass(frozen=True)
class UniformNoise(Chained):
    """Add noise between -`reach` and `reach`, all equally likely, to every value (MACO: 0.1)."""

    reach: float | int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.reach) and self.reach >= 0):
            raise RecipeError(f"noise up to {self.reach:g} is not possible. Give 0 or more")

    def __call__(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h w"]:
        """Each image gets its own noise."""
        noise = [
            torch.rand(images.shape[1:], generator=torch.Generator().manual_seed(key)) for key in draws.keys.tolist()
        ]
        return torch.add(images, 2 * torch.stack(noise).to(images) - 1, alpha=self.reach)
