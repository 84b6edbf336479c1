"""Decorrelated colour: optimise along the directions in which the colours of photos vary."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.errors import ImageError, RecipeError, did_you_mean

__all__ = ["COLOR_MAPS", "ColorMap", "color_covariance", "color_factor", "color_map", "fit_color"]

COLOR_MAPS = ("tiny-imagenet", "lucid", "none")
"""The names that `color_map` knows."""

# Published in Lucid's `optvis/param/color.py`: a square root of the covariance of ImageNet's colours, and their mean.
_LUCID_ROOT = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
_LUCID_MEAN = (0.48, 0.46, 0.41)


@dataclass(frozen=True, eq=False)
class ColorMap:
    """A linear map from independent colour coordinates to the channels of a picture.

    `matrix` [c, c] takes coordinates to channels; `mean` [c] is the colour, in [0, 1], of an image whose coordinates
    are all 0. Both are kept in float64.

    Raises:
        ImageError: the shapes do not fit each other, or the matrix has no inverse (photos could not be encoded).
    """

    matrix: Float[Tensor, "c c"]
    mean: Float[Tensor, " c"]

    def __post_init__(self) -> None:
        channels = len(self.mean)
        if tuple(self.matrix.shape) != (channels, channels):
            raise ImageError(
                f"a colour map of {channels} channels needs a matrix [{channels}, {channels}], "
                f"not {list(self.matrix.shape)}"
            )
        object.__setattr__(self, "matrix", self.matrix.double())
        object.__setattr__(self, "mean", self.mean.double())
        if not torch.isfinite(self.matrix).all() or torch.linalg.cond(self.matrix) > 1e6:
            raise ImageError("the colour matrix has no usable inverse; give one whose columns are independent")

    @property
    def channels(self) -> int:
        """The number of channels that it maps."""
        return len(self.mean)


def color_factor(covariance: Float[Tensor, "c c"]) -> Float[Tensor, "c c"]:
    """The matrix that gives white noise the colours of a covariance, scaled so that its longest column is 1.

    Cholesky factor L (L L^T = covariance) divided by its largest column norm: the scale of the learning rate then
    does not depend on how much the pictures vary.

    Raises:
        ImageError: the covariance is not positive definite (a channel is constant or a mixture of others).

    Source: Olah et al., "Feature Visualization", Distill 2017; Lucid divides by the same norm.
    """
    factor, failed = torch.linalg.cholesky_ex(covariance.double())
    if int(failed):
        raise ImageError("the colour covariance is not positive definite; give pictures whose channels all vary")
    normalised: Tensor = factor / factor.norm(dim=0).max()
    return normalised


def color_covariance(
    images: Iterable[Float[Tensor, "... _ _ _"]],
) -> tuple[Float[Tensor, " c"], Float[Tensor, "c c"]]:
    """Measure how the colours of pictures vary: their mean [c] and covariance [c, c] over all pixels.

    Takes pictures [c, h, w] or batches [b, c, h, w], of any sizes, and sums in float64 about the first one's mean, so
    that a hundred million pixels lose nothing. The covariance is the population's (divided by the number of pixels).

    Raises:
        ImageError: there are no pictures, or they differ in their number of channels.
    """
    count = 0
    shift = total = squares = torch.zeros(0, dtype=torch.float64)
    for image in images:
        pixels = image.movedim(-3, 0).flatten(1).double()
        if count == 0:
            shift = pixels.mean(1, keepdim=True)
            total, squares = torch.zeros_like(shift[:, 0]), pixels.new_zeros(len(pixels), len(pixels))
        if len(pixels) != len(shift):
            raise ImageError(f"pictures of {len(shift)} and of {len(pixels)} channels have no common colour covariance")
        centred = pixels - shift
        total, squares = total + centred.sum(1), squares + centred @ centred.T
        count += centred.shape[1]
    if count == 0:
        raise ImageError("no pictures to measure colours of; give at least one")
    offset = total / count
    return shift[:, 0] + offset, squares / count - torch.outer(offset, offset)


def fit_color(images: Iterable[Float[Tensor, "... _ _ _"]]) -> ColorMap:
    """The colour map of any set of pictures [c, h, w] or batches [b, c, h, w] in [0, 1]: what `training/color.py` does.

    Raises:
        ImageError: there are no pictures, they differ in their number of channels or hold NaN, or their channels do
            not all vary by themselves.
    """
    mean, covariance = color_covariance(images)
    if not torch.isfinite(covariance).all():
        raise ImageError("a picture to measure colours of holds NaN or infinite values")
    return ColorMap(color_factor(covariance), mean)


@cache
def color_map(name: str) -> ColorMap | None:
    """The colour map of a name: "tiny-imagenet" (measured by this project), "lucid" (as published), "none".

    "none" is None: every channel on its own.

    Raises:
        RecipeError: no colour map has this name.

    Source: Olah et al., "Feature Visualization", Distill 2017, for the idea and Lucid's numbers;
    `training/color.py` for the project's.
    """
    if name == "none":
        return None
    if name == "lucid":
        root = torch.tensor(_LUCID_ROOT, dtype=torch.float64)
        return ColorMap(root / root.norm(dim=0).max(), torch.tensor(_LUCID_MEAN, dtype=torch.float64))
    if name == "tiny-imagenet":
        text = resources.files("pellucid").joinpath("assets/color.json").read_text(encoding="utf-8")
        stored = json.loads(text)
        return ColorMap(
            torch.tensor(stored["factor"], dtype=torch.float64), torch.tensor(stored["mean"], dtype=torch.float64)
        )
    raise RecipeError(f"no colour map {name!r}; there are {', '.join(COLOR_MAPS)}.{did_you_mean(name, COLOR_MAPS)}")
