"""Noise on what is optimised: the ascent climbs the mean score around a picture instead of the score at it.

Behind ReLUs an optimum lies on kinks, where no gradient vanishes. The mean over a little noise is smooth: its optimum
is a place where the mean gradient vanishes, which is what an inversion reads (`pellucid.inverse`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from pellucid.draws import Draws

__all__ = ["View", "mean_view", "shifts"]

_PURPOSE = "parameter noise"


def shifts(
    draws: Draws, sd: float, num_draws: int, like: Float[Tensor, "b m"], step: int | Tensor = 0
) -> list[Float[Tensor, "b m"]]:
    """Normal noise of standard deviation `sd` for parameters, in antithetic pairs: e, -e, e', -e', …

    The same streams and step give the same noise: what a refinement holds on to, and an inversion can repeat.
    """
    pairs = draws.child(_PURPOSE).at(step).normal(num_draws // 2, like.shape[1]).to(like) * sd
    return [sign * shift for shift in pairs.unbind(1) for sign in (1, -1)]


@dataclass(frozen=True)
class View:
    """What a step saw: scores [b], gradients of minus the score by parameter, and whose objective is blocked [b]."""

    scores: Tensor
    gradients: list[Tensor]
    deaf: Tensor | None


def mean_view(views: Iterable[View]) -> View:
    """The mean of several views; blocked is who is blocked in all of them. One view stays as it is, to the bit."""
    total: View | None = None
    count = 0
    for count, view in enumerate(views, 1):  # noqa: B007  how many there were
        if total is None:
            total = view
            continue
        deaf = total.deaf & view.deaf if total.deaf is not None and view.deaf is not None else None
        gradients = [a + b for a, b in zip(total.gradients, view.gradients, strict=True)]
        total = View(total.scores + view.scores, gradients, deaf)
    assert total is not None
    if count == 1:
        return total
    return View(total.scores / count, [gradient / count for gradient in total.gradients], total.deaf)
