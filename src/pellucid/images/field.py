"""Images that are no photos: channels with ranges of their own, and surfaces as normals, depth and mask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from pellucid.draws import Draws
from pellucid.errors import ImageError, RecipeError, did_you_mean
from pellucid.images.image import Image, LinearImage
from pellucid.images.squash import sigmoid

__all__ = ["Between", "Field", "Fixed", "Normals", "Part", "geometry"]

# How near to the end of its range a value can start, as a share of the range: where the sigmoid still has a gradient.
_MARGIN = 1 / 256


@runtime_checkable
class Part(Protocol):
    """Some channels of a field, made from latents that may be any real numbers."""

    @property
    def num_latents(self) -> int:
        """How many numbers a pixel is made from."""

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """Between which values each channel lies; one for each channel."""

    def decoded(self, latents: Float[Tensor, "n l h w"]) -> Float[Tensor, "n c h w"]:
        """The channels that latents give."""

    def encoded(self, channels: Float[Tensor, "n c h w"]) -> Float[Tensor, "n l h w"]:
        """Latents that give these channels, or the nearest that there are."""


@dataclass(frozen=True)
class Between:
    """One channel between two values: low + (high - low) sigmoid(latent); its ends are never quite reached."""

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ImageError(f"a channel lies between a low and a higher value, not {self.low} and {self.high}")

    @property
    def num_latents(self) -> int:
        """One."""
        return 1

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """The two values."""
        return ((self.low, self.high),)

    def decoded(self, latents: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 1 h w"]:
        """The channel."""
        return self.low + (self.high - self.low) * sigmoid(latents)

    def encoded(self, channels: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 1 h w"]:
        """Its latents; values beyond the range, or nearer to its ends than 1 / 256, are taken for nearest within."""
        return torch.logit((channels - self.low) / (self.high - self.low), eps=_MARGIN)


@dataclass(frozen=True)
class Fixed:
    """One channel that always has the same value and is not optimised, such as a mask of 1."""

    value: float = 1.0

    @property
    def num_latents(self) -> int:
        """None."""
        return 0

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """The one value."""
        return ((self.value, self.value),)

    def decoded(self, latents: Float[Tensor, "n 0 h w"]) -> Float[Tensor, "n 1 h w"]:
        """The channel."""
        return latents.new_full((len(latents), 1, *latents.shape[2:]), self.value)

    def encoded(self, channels: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 0 h w"]:
        """Nothing."""
        return channels[:, :0]


@dataclass(frozen=True)
class Normals:
    """Three channels (x, y, z): the unit normal of a surface that faces the viewer, z > 0.

    From latents (a, phi): theta = (pi / 2) sigmoid(a), n = (sin theta cos phi, sin theta sin phi, cos theta). phi is in
    radians and free, so that turning on past 2 pi meets no border where a gradient would wrap.

    Source: "Inverting the Feature Visualization Process for Feedforward Neural Networks", 2020, for the geometry images
    that Weiss et al. (TVCG 2019) upscale.
    """

    @property
    def num_latents(self) -> int:
        """Two angles."""
        return 2

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """Those of a unit vector that faces the viewer."""
        return ((-1.0, 1.0), (-1.0, 1.0), (0.0, 1.0))

    def decoded(self, latents: Float[Tensor, "n 2 h w"]) -> Float[Tensor, "n 3 h w"]:
        """The normals."""
        theta, phi = sigmoid(latents[:, 0]) * (math.pi / 2), latents[:, 1]
        across = theta.sin()
        return torch.stack([across * phi.cos(), across * phi.sin(), theta.cos()], 1)

    def encoded(self, channels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 2 h w"]:
        """Their angles, phi in -pi to pi; normals of any length, those that face away bent to the edge."""
        x, y, z = F.normalize(channels, dim=1).unbind(1)
        theta = torch.atan2(torch.hypot(x, y), z)
        return torch.stack([torch.logit(theta / (math.pi / 2), eps=_MARGIN), torch.atan2(y, x)], 1)


def geometry(
    order: Sequence[str] = ("normals", "depth", "mask"),
    *,
    depth: Part = Between(0.0, 1.0),
    mask: Part = Between(0.0, 1.0),
) -> tuple[Part, ...]:
    """The parts of a geometry image in the order of its channels: normals (3), depth (1), mask (1).

    `mask` is continuous in (0, 1); `Fixed(1.0)` where every pixel is to be surface. A part may be left out.

    Raises:
        RecipeError: `order` names an unknown part, or one twice.
    """
    parts: dict[str, Part] = {"normals": Normals(), "depth": depth, "mask": mask}
    for name in order:
        if name not in parts:
            raise RecipeError(
                f"no part {name!r} in a geometry image; there are {', '.join(parts)}.{did_you_mean(name, parts)}"
            )
    if len(set(order)) < len(order) or not order:
        raise RecipeError(f"the order of a geometry image names each of its parts once, not {list(order)}")
    return tuple(parts[name] for name in order)


class Field(Image):
    """Pictures of any meaning: the channels of `parts`, one part after the other, each in its own range.

    `base` says how latents are stored (pixels, waves, a pyramid): an image with as many channels as the parts have
    latents, no colour map and the squash "sigmoid". Its latents are read before its squash, so that 0 is the middle.

    From a picture of the field's channels, values beyond a part's range start at the nearest within.

    Raises:
        ImageError: the parts hold nothing to optimise, or the base has other channels, a colour map or another squash.
    """

    def __init__(self, base: LinearImage, parts: Sequence[Part]) -> None:
        num_latents = sum(part.num_latents for part in parts)
        if not num_latents:
            raise ImageError("a field of fixed channels has nothing to optimise; give it a part with latents")
        if base.channels != num_latents or base.color is not None or base.squash.name != "sigmoid":
            raise ImageError(
                f"these parts are made from a sigmoid image of {num_latents} channels without a colour map, not from a "
                f"{base.squash.name} one of {base.channels}{'' if base.color is None else ' with one'}"
            )
        self.parts = tuple(parts)
        super().__init__(base.num_images, base.size, len(self.ranges))
        self.base = base

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        return tuple(one for part in self.parts for one in part.ranges)

    def forward(self) -> Float[Tensor, "b c h w"]:
        pieces = self.base.latents().split([part.num_latents for part in self.parts], 1)
        return torch.cat([part.decoded(piece) for part, piece in zip(self.parts, pieces, strict=True)], 1)

    def reset_rows(self, rows: Sequence[int], draws: Draws) -> None:
        self.base.reset_rows(rows, draws)

    @torch.no_grad()
    def set_rows(self, rows: Sequence[int], images: Float[Tensor, "n c h2 w2"]) -> None:
        self._checked_rows(rows)
        pieces = self._checked_pictures(rows, images).split([len(part.ranges) for part in self.parts], 1)
        latents = [part.encoded(piece) for part, piece in zip(self.parts, pieces, strict=True)]
        self.base.set_latents(rows, torch.cat(latents, 1))

    @torch.no_grad()
    def resized(self, size: tuple[int, int]) -> Field:
        new = Field(self.base.resized(size), self.parts)
        # What is interpolated are channels, not latents: between phi = 0.1 and 2 pi lie normals of every direction.
        pictures = F.interpolate(self(), size=size, mode="bicubic", antialias=True, align_corners=False)
        new.set_rows(range(self.num_images), pictures)
        return new
