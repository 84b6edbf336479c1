"""From pictures as people have them to what a network was declared to take."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from pellucid.errors import ModelError

__all__ = ["in_range", "numbers_of_channels"]


def in_range(pictures: Float[Tensor, "*shape"], value_range: tuple[float, float]) -> Float[Tensor, "*shape"]:
    """Pictures in [0, 1], of any shape, in a network's `value_range` (low, high)."""
    low, high = value_range
    return pictures if (low, high) == (0.0, 1.0) else low + pictures * (high - low)


def numbers_of_channels(label: str, values: Any) -> tuple[float, ...]:
    """One number for each channel, as a mean or a deviation is declared; none where nothing is.

    Raises:
        ModelError: these are no numbers.
    """
    try:
        return tuple(float(value) for value in values) if values is not None else ()
    except (TypeError, ValueError):
        raise ModelError(f"{label} is one number for each channel, as (0.5, 0.5, 0.5), and not {values!r}") from None
