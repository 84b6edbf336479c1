"""From what an image gives to what a network takes, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["into_range", "out_of_range"]


def into_range(
    images: Float[Tensor, "b c h w"], ranges: Sequence[tuple[float, float]], value_range: tuple[float, float]
) -> Float[Tensor, "b c h w"]:
    """Pictures in [0, 1] mapped to a network's value range.

    `ranges` are those of the picture's channels: what is not in [0, 1] by itself, such as angles and depths, is meant
    as it is.
    """
    low, high = value_range
    return images if (low, high) == (0.0, 1.0) else _changed(images, low + images * (high - low), ranges)


def out_of_range(
    images: Float[Tensor, "b c h w"], ranges: Sequence[tuple[float, float]], value_range: tuple[float, float]
) -> Float[Tensor, "b c h w"]:
    """The way back: pictures in a network's value range in [0, 1]."""
    low, high = value_range
    return images if (low, high) == (0.0, 1.0) else _changed(images, (images - low) / (high - low), ranges)


def _changed(images: Tensor, mapped: Tensor, ranges: Sequence[tuple[float, float]]) -> Tensor:
    """Mapped pictures, but for channels that are meant as they are."""
    as_it_is = [not (least == 0 and most == 1) and math.isfinite(most - least) for least, most in ranges]
    if not any(as_it_is[: images.shape[1]]):
        return mapped
    kept = torch.tensor(as_it_is[: images.shape[1]], device=images.device)
    return torch.where(kept[:, None, None], images, mapped)
