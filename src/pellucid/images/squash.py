"""From unbounded numbers to pixel values, and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.errors import RecipeError, did_you_mean
from pellucid.quick_calls import signature_known

__all__ = ["SQUASHES", "Squash", "sigmoid", "squash"]

# A photo's black and white become this far from 0 and 1, at most one 8-bit level: logits stay within +-5.5, where the
# sigmoid still has a gradient.
_PHOTO_MARGIN = 1 / 256


@dataclass(frozen=True)
class Squash:
    """How a latent (any real number) becomes a pixel value.

    `to_pixels` is differentiable; `to_latents` is its inverse on [0, 1] (the sigmoid's, up to one 8-bit level at black
    and white). `projects` says that parameters must be brought back into range after each optimiser step.
    """

    name: str
    to_pixels: Callable[[Tensor], Tensor]
    to_latents: Callable[[Tensor], Tensor]
    projects: bool = False


@signature_known
class _Clamp(torch.autograd.Function):
    """Clamp to [0, 1] with the gradient of the identity.

    After a projection only rounding is left to clamp; the true gradient would be 0 for a pixel that rounding put
    outside by 1e-7, and that pixel could never come back.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(latents: Tensor) -> Tensor:
        return latents.clamp(0, 1)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing to keep."""

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        return tangents[0].clone()


def _clamped(latents: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    clamped: Tensor = _Clamp.apply(latents)
    return clamped


@signature_known
class _Sigmoid(torch.autograd.Function):
    """The sigmoid, image by image on a CPU, where torch (2.15) computes the last few numbers of a tensor, and of each
    thread's share of it, by another formula: whole, a picture's bits would depend on its row."""

    generate_vmap_rule = True

    @staticmethod
    def forward(latents: Tensor) -> Tensor:
        if latents.device.type != "cpu":
            return torch.sigmoid(latents)
        pixels = torch.empty_like(latents)
        for row, result in zip(latents, pixels, strict=True):
            torch.sigmoid(row, out=result)
        return pixels

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        """The result says all about the slope."""
        ctx.save_for_backward(output)
        ctx.save_for_forward(output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (pixels,) = ctx.saved_tensors
        passed: Tensor = torch.ops.aten.sigmoid_backward(gradients[0], pixels)  # one pass over memory, not three
        return passed

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        (pixels,) = ctx.saved_tensors
        slope: Tensor = pixels * (1 - pixels)
        return tangents[0] * slope


def sigmoid(latents: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
    """The sigmoid; the bits of a picture do not depend on its row."""
    pixels: Tensor = _Sigmoid.apply(latents)
    return pixels


def _logit(pixels: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    return torch.logit(pixels, eps=_PHOTO_MARGIN)


def _same(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    return values


SQUASHES = {
    "sigmoid": Squash("sigmoid", sigmoid, _logit),
    "clip": Squash("clip", _clamped, _same, projects=True),
    "unbounded": Squash("unbounded", _same, _same),
}
"""Every `Squash` by its name."""


def squash(name: str) -> Squash:
    """The squash of a name: "sigmoid", "clip" (projected after each step) or "unbounded" (pixels leave [0, 1]).

    Raises:
        RecipeError: no squash has this name.
    """
    if name not in SQUASHES:
        raise RecipeError(f"no squash {name!r}; there are {', '.join(SQUASHES)}.{did_you_mean(name, SQUASHES)}")
    return SQUASHES[name]
