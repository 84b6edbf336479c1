"""Conditioning of gradients and images, per row; gradient conditioning also as transforms that leave the picture alone.

A transform of this kind changes nothing on the way in and the gradient on the way back, so it says where: first in the
list it conditions the gradient by the picture. What reaches the picture beside the transforms, such as a penalty's
gradient, is not conditioned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from pellucid.draws import Draws
from pellucid.errors import RecipeError
from pellucid.transforms.pixelwise import blurred_by
from pellucid.transforms.transform import Chained

__all__ = ["NormalizeGradient", "SmoothGradient", "blur_images", "normalized", "smoothed"]

_EPSILON = 1e-12  # keeps a row without gradient at zero instead of NaN


def normalized(gradient: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
    """Each row's gradient at Euclidean length 1; a row of zeros stays.

    Source: Lucid's `transform.normalize_gradient`; DeepDream divides by the standard deviation instead.
    """
    lengths: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1).clamp(min=_EPSILON)
    return gradient / lengths.view(-1, *[1] * (gradient.ndim - 1))


def smoothed(gradient: Float[Tensor, "b c h w"], sigma: float | int) -> Float[Tensor, "b c h w"]:
    """A gradient by pixels, blurred with a Gaussian of `sigma` pixels: high frequencies grow more slowly.

    Source: Øygard, "Visualizing GoogLeNet Classes", 2015 (the idea); sums of several widths are Mordvintsev's.
    """
    return gradient if sigma == 0 else blurred_by(gradient, sigma)


def blur_images(
    images: Float[Tensor, "b c h w"], sigma: float | int | Sequence[float | int], *, width: int = 3
) -> Float[Tensor, "b c h w"]:
    """Each picture blurred with a Gaussian of its own `sigma` pixels, cut to `width` x `width`; edges are reflected.

    What is done to the picture after every step, with a sigma that falls over an octave. 0 leaves a picture alone.

    Raises:
        RecipeError: an even width, or a negative sigma.

    Source: "Feature Visualization I: Feature Maps" (torchvision's `gaussian_blur`, kernel 3, sigma from 2.4 to 0.8).
    """
    sigmas = [float(sigma)] * len(images) if isinstance(sigma, (int, float)) else [float(one) for one in sigma]
    if width % 2 == 0 or width < 1 or len(sigmas) != len(images) or not all(0 <= one < math.inf for one in sigmas):
        raise RecipeError(f"a blur of {width} px by {sigmas} is not possible. Give an odd width and sigmas from 0 up")
    steps = torch.arange(width, dtype=images.dtype, device=images.device) - width // 2
    widths = torch.tensor(sigmas, dtype=images.dtype, device=images.device)[:, None]
    kernels = torch.exp(-0.5 * (steps / widths.clamp(min=_EPSILON)) ** 2)
    kernels = kernels / kernels.sum(1, keepdim=True)
    framed = F.pad(images, [width // 2] * 4, mode="reflect")
    height, breadth = images.shape[2:]
    shares = kernels[:, :, None, None, None].unbind(1)
    rows = torch.stack([share * framed[:, :, k : k + height] for k, share in enumerate(shares)]).sum(0)
    return torch.stack([share * rows[..., k : k + breadth] for k, share in enumerate(shares)]).sum(0)


class _Normalized(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:
        return images.view_as(images)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return normalized(gradients[0])


class _Smoothed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, sigma: float | int) -> Tensor:
        ctx.sigma = sigma
        return images.view_as(images)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return smoothed(gradients[0], ctx.sigma), None


@dataclass(frozen=True)
class NormalizeGradient(Chained):
    """Leave each picture alone, and give its gradient length 1."""

    def __call__(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h w"]:
        """The very pictures."""
        passed: Tensor = _Normalized.apply(images)
        return passed


@dataclass(frozen=True)
class SmoothGradient(Chained):
    """Leave each picture alone, and blur its gradient by `sigma` pixels."""

    sigma: float | int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.sigma) and self.sigma >= 0):
            raise RecipeError(f"a gradient blurred by {self.sigma:g} px is not possible. Give 0 px or more")

    def __call__(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h w"]:
        """The very pictures."""
        passed: Tensor = _Smoothed.apply(images, self.sigma)
        return passed
