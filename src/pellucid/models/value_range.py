"""From pictures as people have them to what a network was declared to take."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

__all__ = ["in_range"]


def in_range(pictures: Float[Tensor, "*shape"], value_range: tuple[float, float]) -> Float[Tensor, "*shape"]:
    """Pictures in [0, 1], of any shape, in a network's `value_range` (low, high)."""
    low, high = value_range
    return pictures if (low, high) == (0.0, 1.0) else low + pictures * (high - low)
