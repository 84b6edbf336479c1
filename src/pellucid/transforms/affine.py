"""Moves of the picture plane (jitter, rotate, scale, shear, flip) and the one warp that carries out a row of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from pellucid.draws import Draws
from pellucid.errors import RecipeError
from pellucid.transforms.transform import Chained, Length, Range, Spread, at_least, filling, length, spread

__all__ = ["Affine", "Flip", "Jitter", "Rotate", "Scale", "Shear", "composed", "shift", "warp"]

GREY = 0.5  # what lies outside a picture in [0, 1]


class Affine(Chained):
    """A move of the picture plane, written as the matrix that says where each output pixel is read.

    Coordinates are pixels (x right, y down) from the centre of the picture, so that one matrix fits pictures and
    canvases of any size and shape.
    """

    @abstractmethod
    def sources(self, draws: Draws, size: tuple[int, int]) -> Float[Tensor, "b 3 3"]:
        """The matrix from output to input of each image: the inverse of the move that the eye sees."""

    def result_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size of what comes out, for pictures of `size`: the same, unless the move says otherwise."""
        return size

    def __call__(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h w"]:
        """Move each image by its own draw; mid-grey comes in from outside."""
        size = (images.shape[2], images.shape[3])
        return warp(images, self.sources(draws, size), size, fill=GREY)


@dataclass(frozen=True)
class Jitter(Affine):
    """Shift each picture by whole pixels, separately down and across.

    `px` is the width of the range: shifts run from -(px // 2) to px - px // 2, all equally likely.

    Source: Lucid's `jitter(d)` crops d pixels off at a random place, which is this shift of the crop's centre.
    """

    px: Length

    def __init__(self, px: int | Length) -> None:
        object.__setattr__(self, "px", length(px))

    def shifts(self, draws: Draws, size: tuple[int, int]) -> Int64[Tensor, "b 2"]:
        """How far each image moves (down, right), in pixels.

        Raises:
            RecipeError: the shift could move a picture of `size` out of sight.
        """
        px = self.px.on(size)
        if px - px // 2 >= min(size):
            raise RecipeError(
                f"jitter of {px} px can move a picture of {size[0]} x {size[1]} px out of sight. "
                f"Give {2 * (min(size) - 1)} px or less"
            )
        return (draws.uniform(2) * (px + 1)).long().clamp(max=px) - px // 2

    def sources(self, draws: Draws, size: tuple[int, int]) -> Float[Tensor, "b 3 3"]:
        down, right = self.shifts(draws, size).to(torch.float32).unbind(1)
        one, zero = torch.ones_like(down), torch.zeros_like(down)
        return _matrix(one, zero, -right, zero, one, -down)


@dataclass(frozen=True)
class Rotate(Affine):
    """Turn each picture about its centre, counter-clockwise, by an angle in degrees.

    `deg` is a range or a list; a plain number means up to that angle either way.
    """

    deg: Spread

    def __init__(self, deg: float | int | Sequence[float | int] | Spread) -> None:
        if isinstance(deg, (int, float)):
            at_least(deg, 0, "rotate", "degrees")
            deg = Range(-deg, deg)
        object.__setattr__(self, "deg", spread(deg))

    def sources(self, draws: Draws, size: tuple[int, int]) -> Float[Tensor, "b 3 3"]:
        angle = torch.deg2rad(self.deg.draw(draws))
        cos, sin, zero = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle)
        return _matrix(cos, -sin, zero, sin, cos, zero)


@dataclass(frozen=True)
class Scale(Affine):
    """Enlarge (above 1) or shrink (below 1) each picture about its centre.

    `factor` is a range or a list; a plain number s means from 1/s to s.
    """

    factor: Spread

    def __init__(self, factor: float | int | Sequence[float | int] | Spread) -> None:
        if isinstance(factor, (int, float)):
            at_least(factor, 1, "scale", "times (or a range such as 0.9..1)")
            factor = Range(1 / factor, factor)
        object.__setattr__(self, "factor", spread(factor))
        if self.factor.limits[0] <= 0:
            raise RecipeError(f"scale by {self.factor.limits[0]:g} leaves nothing. Give factors above 0")

    def sources(self, draws: Draws, size: tuple[int, int]) -> Float[Tensor, "b 3 3"]:
        inverse = 1 / self.factor.draw(draws)
        zero = torch.zeros_like(inverse)
        return _matrix(inverse, zero, zero, zero, inverse, zero)


@dataclass(frozen=True)
class Shear(Affine):
    """Slant each picture sideways by an angle in degrees: rows above the centre go right when it is positive.

    `deg` is a range or a list; a plain number means up to that angle either way.
    """

    deg: Spread

    def __init__(self, deg: float | int | Sequence[float | int] | Spread) -> None:
        if isinstance(deg, (int, float)):
            at_least(deg, 0, "shear", "degrees")
            deg = Range(-deg, deg)
        object.__setattr__(self, "deg", spread(deg))
        if max(map(abs, self.deg.limits)) >= 90:
            raise RecipeError(f"shear by {max(map(abs, self.deg.limits)):g} degrees is flat. Give angles within 90")

    def sources(self, draws: Draws, size: tuple[int, int]) -> Float[Tensor, "b 3 3"]:
        slant = torch.tan(torch.deg2rad(self.deg.draw(draws)))
        one, zero = torch.ones_like(slant), torch.zeros_like(slant)
        return _matrix(one, slant, zero, zero, one, zero)


@dataclass(frozen=True)
class Flip(Affine):
    """Mirror a picture left to right, with this probability."""

    probability: float | int = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise RecipeError(f"flip with probability {self.probability:g}. Give a number from 0 to 1")

    def sources(self, draws: Draws, size: tuple[int, int]) -> Float[Tensor, "b 3 3"]:
        sign = 1 - 2 * (draws.uniform(1)[:, 0] < self.probability).to(torch.float32)
        one, zero = torch.ones_like(sign), torch.zeros_like(sign)
        return _matrix(sign, zero, zero, zero, one, zero)


def composed(first: Float[Tensor, "b 3 3"], second: Float[Tensor, "b 3 3"]) -> Float[Tensor, "b 3 3"]:
    """The sources of doing `first`, then `second`: an output pixel is looked up in `second`, then in `first`."""
    # Not a matmul: its rounding may depend on the batch size, and an image must not depend on its neighbours.
    terms = [first[:, :, k : k + 1] * second[:, k : k + 1, :] for k in range(3)]
    return terms[0] + terms[1] + terms[2]


def warp(
    images: Float[Tensor, "b c h w"],
    sources: Float[Tensor, "b 3 3"],
    size: tuple[int, int],
    *,
    fill: float | int | tuple[float | int, ...],
) -> Float[Tensor, "b c h2 w2"]:
    """Read every pixel of a picture of `size` from where `sources` says, bilinearly; outside lies `fill`.

    Both pictures have their centre at the origin. Half precision is sampled in float32 and returned as it came.
    """
    # float32 at least: an 8-bit mantissa cannot tell pixels apart, and sampling bfloat16 on the CPU can crash the
    # process (torch 2.15, see docs/design/fused-warp.md).
    work = torch.promote_types(images.dtype, torch.float32)
    outside = filling(fill, images)
    height, width = images.shape[2:]
    matrix = sources.to(images.device, work)
    # From pixels off the centre to [-1, 1] across the input: height and width each by their own length.
    matrix = torch.stack([matrix[:, 0] * (2 / width), matrix[:, 1] * (2 / height)], 1)
    x = torch.arange(size[1], dtype=work, device=images.device) - (size[1] - 1) / 2
    y = torch.arange(size[0], dtype=work, device=images.device) - (size[0] - 1) / 2
    # What affine_grid computes, plane by plane [b, 2, h, w]: a sixteenth of its time on the CPU, and sampled as fast.
    rows = matrix[:, :, 1, None] * y + matrix[:, :, 2, None]
    grid = (matrix[:, :, 0, None, None] * x + rows[..., None]).permute(0, 2, 3, 1)
    sampled = F.grid_sample(
        (images - outside).to(work), grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return (sampled + outside).to(images.dtype)


def shift(
    images: Float[Tensor, "b c h w"],
    shifts: Int64[Tensor, "b 2"],
    size: tuple[int, int],
    *,
    fill: float | int | tuple[float | int, ...],
) -> Float[Tensor, "b c h2 w2"]:
    """Move each picture by whole pixels (down, right) and cut `size` out of the middle: nothing is interpolated."""
    outside = filling(fill, images)
    above, left = (size[0] - images.shape[2]) // 2, (size[1] - images.shape[3]) // 2
    below, beside = size[0] - images.shape[2] - above, size[1] - images.shape[3] - left
    moved = [
        F.pad(image, [left + right, beside - right, above + down, below - down])  # a negative pad crops
        for image, (down, right) in zip(images - outside, shifts.tolist(), strict=True)
    ]
    return torch.stack(moved) + outside


def _matrix(a: Tensor, b: Tensor, c: Tensor, d: Tensor, e: Tensor, f: Tensor) -> Float[Tensor, "b 3 3"]:
    """Affine matrices from their entries [b], row by row; the last row is 0 0 1."""
    zero, one = torch.zeros_like(a), torch.ones_like(a)
    return torch.stack([a, b, c, d, e, f, zero, zero, one], 1).view(-1, 3, 3)
