"""How fast an image moves at a step, and whether it still gets anywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pellucid.ascent.recipe import Recipe

__all__ = ["is_on_plateau", "rate_at"]


def rate_at(recipe: Recipe, done: float) -> float:
    """The learning rate when a share of the steps is done."""
    factor = {"constant": 1.0, "linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}[recipe.curve]
    return recipe.final_rate + (recipe.rate - recipe.final_rate) * factor


def is_on_plateau(history: Sequence[float], span: int, gain: float) -> bool:
    """Whether the last `span` scores are hardly better, on average, than those before them (relative `gain`)."""
    if not span or len(history) < 2 * span:
        return False
    now, before = (sum(part) / span for part in (history[-span:], history[-2 * span : -span]))
    return now - before <= gain * abs(before)
