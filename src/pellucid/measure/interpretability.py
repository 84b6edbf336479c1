"""Machine interpretability: could one tell, from a unit's pictures, which natural image excites it?

Source: Zimmermann, Klindt & Brendel, "Measuring Mechanistic Interpretability at Scale Without Humans", NeurIPS 2024,
after the task that Borowski et al. 2021 set people: two sets of explanations, two queries, which is the unit's?
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["DREAMSIM_SCALE", "Interpretability", "differences", "fitted_scale", "machine_interpretability"]

DREAMSIM_SCALE = 1 / 0.16
"""The published constant 0.16, for DreamSim's cosine. It is read as a temperature: as a factor, no similarities from -1
to 1 could give a probability above 0.66, and the published scores lie far above that."""

_WIDEST, _HALVINGS = 1e4, 60


@dataclass(frozen=True)
class Interpretability:
    """`score`: the mean probability of a right choice, 0.5 by chance; `accuracy`: the share of right choices."""

    score: float
    accuracy: float


def differences(
    likeness_plus: Float[Tensor, "n k"],
    likeness_minus: Float[Tensor, "n l"],
    other_plus: Float[Tensor, "n k"],
    other_minus: Float[Tensor, "n l"],
) -> Float[Tensor, " n"]:
    """D(q+) - D(q-) of each task, with D(q) = mean sim(q, E+) - mean sim(q, E-).

    Likenesses of n queries q+ (which excite the unit) to its explanations E+ and E-, and of n queries q- (which do not)
    to the same. Here E+ are pictures of the unit and E- of its opposite; published: nine natural images each.
    """
    return (likeness_plus.mean(1) - likeness_minus.mean(1)) - (other_plus.mean(1) - other_minus.mean(1))


def machine_interpretability(found: Float[Tensor, " n"], scale: float = DREAMSIM_SCALE) -> Interpretability:
    """The mean over tasks of p = sigmoid(scale (D(q+) - D(q-))), from their `differences`.

    The published scale is DreamSim's; for another similarity use `fitted_scale`, and say so.
    """
    right = (found > 0).double() + 0.5 * (found == 0).double()
    return Interpretability(float(torch.sigmoid(scale * found.double()).mean()), float(right.mean()))


def fitted_scale(found: Float[Tensor, " n"]) -> float:
    """The scale at which the mean probability of a right choice is the share of right choices, over all units' tasks.

    It makes the scores of another similarity probabilities again: calibrated as a whole, without people's answers.
    Where all choices are right, or no more than half, nothing can be fitted: infinite, or 0.
    """
    values = found.double()
    accuracy = machine_interpretability(found, 1.0).accuracy
    if accuracy <= 0.5:
        return 0.0
    low, high = 0.0, _WIDEST / float(values.abs().mean().clamp(min=1e-12))
    # The mean need not rise all the way, but it starts at a half and ends at the accuracy, from below or above.
    if float(torch.sigmoid(high * values).mean()) < accuracy - 1e-3 or bool((values > 0).all()):
        return math.inf
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if float(torch.sigmoid(middle * values).mean()) < accuracy - 1e-3 else (low, middle)
    return high
