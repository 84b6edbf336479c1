"""When to look at pictures on their way."""

from __future__ import annotations

import math

from pellucid.errors import RecipeError

__all__ = ["video_steps"]


def video_steps(steps: int, frames: int = 60) -> tuple[int, ...]:
    """The steps of a run after which to keep its pictures for a video: from 0 to `steps`, dense at the beginning.

    Frame i of n lies at steps (i / (n - 1))^2, and a step at least behind the one before: what a picture will be shows
    in the first steps, and the later ones only work it out. No more than `frames`, and each step of a shorter run.

    Raises:
        RecipeError: fewer than 1 step or 2 frames.
    """
    if steps < 1 or frames < 2:
        raise RecipeError(f"a video has at least 1 step and 2 frames, not {steps} and {frames}")
    last = min(frames - 1, steps)
    return tuple(max(frame, math.floor(steps * (frame / last) ** 2 + 0.5)) for frame in range(last + 1))
