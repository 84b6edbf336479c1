"""Penalties on the picture itself, before any transform: how far it is from grey, rough, or from a photo.

All are at least 0 and meant to be subtracted, as in `channel("mixed4a", 12) - 0.05 * l1()`. They are sums over the
picture, as in Lucid, so that published weights carry over: a picture of twice the side has four times the penalty.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, SupportsFloat

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from pellucid.errors import RecipeError, TargetError, did_you_mean
from pellucid.models.taps import Activations, Tap
from pellucid.objectives.frozen import FrozenTensor
from pellucid.objectives.objective import Leaf, Objective

__all__ = [
    "blur_penalty",
    "boundary_complexity",
    "input_difference",
    "isotropic_variation",
    "l1",
    "l2",
    "opacity",
    "parse_penalties",
    "total_variation",
]

GREY = 0.5
_EPSILON = 1e-6  # under the root of L2, as in Lucid: its gradient at grey is zero, not NaN
_PULL_TO_GREY = 0.8  # of `boundary_complexity`, as in Lucid


@dataclass(frozen=True)
class Penalty(Leaf):
    """A function of the untransformed picture."""

    @property
    def taps(self) -> tuple[Tap, ...]:
        """No layer."""
        return ()

    @property
    def family(self) -> Hashable:
        """The same penalty."""
        return self

    @staticmethod
    def seen(activations: Activations) -> Tensor:
        """What of the picture this looks at: its colours."""
        return activations.image

    @abstractmethod
    def of(self, images: Float[Tensor, "m c h w"]) -> Float[Tensor, " m"]:
        """The penalty of each picture."""

    @classmethod
    def score(cls, activations: Activations, rows: Tensor, leaves: Sequence[Leaf]) -> Float[Tensor, " m"]:
        """The penalty of each of these images."""
        first = leaves[0]
        assert isinstance(first, Penalty)
        images = first.seen(activations)[rows]
        return first.of(images.to(torch.promote_types(images.dtype, torch.float32)))


@dataclass(frozen=True)
class L1(Penalty):
    """sum |x - constant|."""

    constant: float = GREY

    def of(self, images: Tensor) -> Tensor:
        return (images - self.constant).abs().sum((1, 2, 3))


@dataclass(frozen=True)
class L2(Penalty):
    """sqrt(sum (x - constant)^2)."""

    constant: float = GREY

    def of(self, images: Tensor) -> Tensor:
        return ((images - self.constant).square().sum((1, 2, 3)) + _EPSILON).sqrt()


@dataclass(frozen=True)
class TotalVariation(Penalty):
    """sum |dx| + |dy|: differences to the next pixel below and beside."""

    def of(self, images: Tensor) -> Tensor:
        return sum((step.abs().sum((1, 2, 3)) for step in _steps(images)), torch.zeros_like(images[:, 0, 0, 0]))


@dataclass(frozen=True)
class IsotropicVariation(Penalty):
    """sum sqrt(dx^2 + dy^2), the same for edges of every slant; the last row and column have one neighbour."""

    def of(self, images: Tensor) -> Tensor:
        down, right = _steps(images)
        both = torch.stack([F.pad(down, (0, 0, 0, 1)), F.pad(right, (0, 1))])
        lengths: Tensor = torch.linalg.vector_norm(both, dim=0)  # its gradient at zero is zero, not NaN
        return lengths.sum((1, 2, 3))


@dataclass(frozen=True)
class BlurPenalty(Penalty):
    """1/2 sum (x - blur(x))^2, with the blurred picture held fixed."""

    def of(self, images: Tensor) -> Tensor:
        return 0.5 * (images - _blurred(images, 3).detach()).square().sum((1, 2, 3))


@dataclass(frozen=True)
class BoundaryComplexity(Penalty):
    """sum over the boundary of (x - blur(x))^2 + 0.8 (x - constant)^2."""

    width_px: int = 20
    constant: float = GREY
    mask: FrozenTensor | None = None

    def of(self, images: Tensor) -> Tensor:
        rough = (_blurred(images, 5) - images).square() + _PULL_TO_GREY * (images - self.constant).square()
        return (rough * self._mask(images)).sum((1, 2, 3))

    def _mask(self, images: Tensor) -> Tensor:
        if self.mask is None:
            mask = torch.ones_like(images[0, 0])
            mask[self.width_px : -self.width_px, self.width_px : -self.width_px] = 0
            return mask
        mask = self.mask.like(images)
        if mask.shape != images.shape[2:]:
            raise TargetError(f"a mask of {list(mask.shape)} px does not fit pictures of {list(images.shape[2:])} px")
        return mask


@dataclass(frozen=True)
class InputDifference(Penalty):
    """sqrt(mean (x - photo)^2)."""

    photo: FrozenTensor

    def of(self, images: Tensor) -> Tensor:
        photo = self.photo.like(images)
        if photo.shape != images.shape[1:]:
            raise TargetError(f"a photo of {list(photo.shape)} cannot be compared with pictures {list(images.shape)}")
        # Nothing under the root: vector_norm's gradient at zero is zero, not NaN.
        distance: Tensor = torch.linalg.vector_norm(images - photo, dim=(1, 2, 3))
        return distance / math.sqrt(photo.numel())


@dataclass(frozen=True)
class Opacity(Penalty):
    """mean alpha."""

    @staticmethod
    def seen(activations: Activations) -> Tensor:
        """The opacity."""
        if activations.alpha is None:
            raise RecipeError("the penalty alpha is a price for opacity, and the image has none: set alpha")
        return activations.alpha

    def of(self, images: Tensor) -> Tensor:
        return images.mean((1, 2, 3))


def _steps(images: Tensor) -> tuple[Tensor, Tensor]:
    """Differences to the next pixel: down [b, c, h-1, w] and right [b, c, h, w-1]."""
    return images[:, :, 1:] - images[:, :, :-1], images[:, :, :, 1:] - images[:, :, :, :-1]


def _blurred(images: Tensor, width: int) -> Tensor:
    """Lucid's blur: ones, and halves at the kernel's rim; at the picture's edge over what there is of it."""
    kernel = images.new_full((width, width), 0.5)
    kernel[1:-1, 1:-1] = 1
    pixels = images.flatten(0, 1)[:, None]
    kernel = kernel[None, None]
    there = F.conv2d(torch.ones_like(pixels[:1]), kernel, padding=width // 2)
    return (F.conv2d(pixels, kernel, padding=width // 2) / there).view_as(images)


def l1(*, constant: SupportsFloat = GREY) -> Objective:
    """sum |x - constant|: how far every value is from mid-grey.

    Source: Lucid's `L1` (its own default constant is 0; its examples give 0.5).
    """
    return _penalty(L1(float(constant)))


def l2(*, constant: SupportsFloat = GREY) -> Objective:
    """sqrt(1e-6 + sum (x - constant)^2): how far the picture is from mid-grey.

    Source: Lucid's `L2` (its own default constant is 0).
    """
    return _penalty(L2(float(constant)))


def total_variation() -> Objective:
    """sum |dx| + |dy|: how rough the picture is. Anisotropic: a slanted edge costs up to 1.4 times a straight one.

    Source: Lucid's `total_variation`, which is TensorFlow's.
    """
    return _penalty(TotalVariation())


def isotropic_variation() -> Objective:
    """sum sqrt(dx^2 + dy^2): how rough the picture is, the same for edges of every slant.

    Source: Rudin, Osher & Fatemi 1992; Mahendran & Vedaldi 2015 (with a power of their own).
    """
    return _penalty(IsotropicVariation())


def blur_penalty() -> Objective:
    """1/2 sum (x - stopgrad blur(x))^2: subtracting k times this moves a picture of pixels k of the way to its blur.

    `blur` averages 3 x 3 pixels, those around the middle at half its weight.

    Source: Lucid's `blur_input_each_step`; Nguyen et al. 2015.
    """
    return _penalty(BlurPenalty())


def boundary_complexity(width_px: int = 20, *, constant: SupportsFloat = GREY, mask: Tensor | None = None) -> Objective:
    """sum over a frame of (x - blur(x))^2 + 0.8 (x - constant)^2: how much goes on at the edge of the picture.

    The frame is `width_px` wide; `mask` [h, w] says instead how much each pixel counts. `blur` averages 5 x 5 pixels,
    the outer ones at half weight.

    Raises:
        TargetError: a frame of no width.

    Source: Lucid's `penalize_boundary_complexity`, which is minus this.
    """
    if width_px < 1:
        raise TargetError(f"a frame of {width_px} px holds nothing. Give 1 px or more")
    return _penalty(BoundaryComplexity(width_px, float(constant), None if mask is None else FrozenTensor.of(mask)))


def input_difference(photo: Float[Tensor, "c h w"]) -> Objective:
    """sqrt(mean (x - photo)^2): how far the picture is from a photo, in the picture's units. A mean, as in Lucid.

    Source: Lucid's `input_diff`.
    """
    return _penalty(InputDifference(FrozenTensor.of(photo)))


def opacity() -> Objective:
    """mean alpha, 0 to 1: a price for what is not transparent, in the objective's own units.

    Source: Mordvintsev et al., "Differentiable Image Parameterizations", Distill 2018 (multiplies by 1 - mean alpha).
    """
    return _penalty(Opacity())


def _penalty(leaf: Penalty) -> Objective:
    return Objective(((1.0, leaf),))


_NAMED: dict[str, Callable[..., Objective]] = {
    "l1": l1,
    "l2": l2,
    "tv": total_variation,
    "isotropic-tv": isotropic_variation,
    "blur": blur_penalty,
    "boundary": boundary_complexity,
    "alpha": opacity,
}


def parse_penalties(text: str) -> Objective:
    """What to add to an objective, from text: `l1:0.05 tv:0.25 blur:0.1` is -0.05 l1 - 0.25 tv - 0.1 blur.

    Raises:
        RecipeError: an unknown penalty, or a weight that is no number of 0 or more.
    """
    total = Objective(())
    for word in text.split():
        name, _, weight = word.partition(":")
        if name not in _NAMED:
            raise RecipeError(f"no penalty {name!r}.{did_you_mean(name, _NAMED)} Possible: {', '.join(_NAMED)}")
        total = total - _weight(word, weight) * _NAMED[name]()
    return total


def _weight(word: str, weight: Any) -> float:
    try:
        number = float(weight)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise RecipeError(f"penalty {word!r} needs a weight of 0 or more, as in l1:0.05")
    return number
