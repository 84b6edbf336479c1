"""Octaves: pictures that grow, a few steps at each size, so that large shapes come first.

What a recipe says of them, in a text. This module imports no torch.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from pellucid.errors import RecipeError

__all__ = ["OCTAVES", "Octave", "parse_octaves"]

OCTAVES = {"feature-maps": "299:100:0.4..0.3:2.4..0.8 340:100:0.3..0.2:1.5..0.4 380:100:0.2..0.1:1.1..0.3"}
"""Octaves by name. `feature-maps`: those of "Feature Visualization I: Feature Maps"."""

_FORM = "SIZE:STEPS, SIZE:STEPS:RATE..RATE or SIZE:STEPS:RATE..RATE:SIGMA..SIGMA, such as 299:100:0.4..0.3:2.4..0.8"


@dataclass(frozen=True)
class Octave:
    """Some steps at one size (px, a square): rates of the optimiser and sigmas (px) of the blur, from and to.

    None: the recipe's own rate, no blur.
    """

    size: int
    steps: int
    rates: tuple[float, float] | None = None
    sigmas: tuple[float, float] | None = None


def parse_octaves(text: str) -> tuple[Octave, ...]:
    """The octaves that a text means, or the name of some.

    Raises:
        RecipeError: it cannot be read, or a number is out of range.
    """
    words = OCTAVES.get(text, text).split()
    if not words:
        raise RecipeError(f"no octave in octaves {text!r}; each is {_FORM}")
    return tuple(_octave(word) for word in words)


def _octave(word: str) -> Octave:
    parts = word.split(":")
    if not 2 <= len(parts) <= 4 or not all(re.fullmatch(r"\d+", part) for part in parts[:2]):
        raise RecipeError(f"cannot read the octave {word!r}: it is {_FORM}, or one of {', '.join(OCTAVES)}")
    size, steps = int(parts[0]), int(parts[1])
    rates, sigmas = (_range(word, part) for part in [*parts[2:], "", ""][:2])
    if size < 1 or steps < 1 or (rates is not None and not min(rates) > 0):
        raise RecipeError(f"octave {word!r} needs a size and steps of at least 1, and rates above 0")
    return Octave(size, steps, rates, sigmas)


def _range(word: str, text: str) -> tuple[float, float] | None:
    """`0.4..0.3`, or one number for both ends."""
    if not text:
        return None
    first, _, last = text.partition("..")
    try:
        ends = float(first), float(last or first)
    except ValueError:
        ends = (math.nan, math.nan)
    if not all(0 <= end < math.inf for end in ends):
        raise RecipeError(f"cannot read {text!r} in the octave {word!r}: it is {_FORM}")
    return ends
