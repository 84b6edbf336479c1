"""Which critical space to search: the one that finds known objectives again, and leaves out no more than it must."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.errors import RecipeError
from pellucid.inverse.answers import Evidence, solution_of
from pellucid.inverse.critical_spaces import CriticalSpace
from pellucid.inverse.linear_algebra import angle_deg
from pellucid.inverse.solve import modulo

__all__ = ["Choice", "choose_critical_space", "median_angle_deg"]

_AS_GOOD = 1.5  # times the best median is as good
_LEAST_DIMENSION = 2  # of W: in one dimension there is nothing to find


@dataclass(frozen=True)
class Choice:
    """The space chosen, and how each one did: (directions left out, median angle in degrees), fewest first."""

    space: CriticalSpace
    medians_deg: tuple[tuple[int, float], ...]


def choose_critical_space(
    space: CriticalSpace, evidence: Sequence[Evidence], objectives: Float[Tensor, "b n"], cosine_power: int
) -> Choice:
    """Choose among a critical space's plateaus by pictures whose objectives are known, and were not used to find it.

    Leaving nothing out is a choice too. Of those whose median angle is within 1.5 times the best, the one that leaves
    out the fewest directions is taken; W keeps two dimensions or more.

    Raises:
        RecipeError: there are not as many objectives as pictures, or none.
    """
    if not evidence or len(evidence) != len(objectives):
        raise RecipeError(
            f"a critical space is chosen by pictures with known objectives, and there are {len(evidence)} pictures and "
            f"{len(objectives)} objectives"
        )
    candidates = {0: CriticalSpace.whole(space.num_units)}
    for plateau in space.plateaus:
        if plateau.dimension not in candidates and plateau.dimension <= space.num_units - _LEAST_DIMENSION:
            candidates[plateau.dimension] = space.without(plateau.dimension)
    medians = {
        size: median_angle_deg(evidence, objectives, cosine_power, candidate) for size, candidate in candidates.items()
    }
    best = min(medians.values())
    chosen = min(size for size, median in medians.items() if median <= _AS_GOOD * best)
    excluded = candidates[chosen].excluded
    return Choice(CriticalSpace(excluded, space.plateaus, space.num_samples), tuple(sorted(medians.items())))


def median_angle_deg(
    evidence: Sequence[Evidence], objectives: Float[Tensor, "b n"], cosine_power: int, space: CriticalSpace
) -> float:
    """How far plain answers are from known objectives, modulo what this space leaves out: the median."""
    angles = []
    for one, t in zip(evidence, objectives, strict=True):
        found = solution_of(one, cosine_power, space, nonnegative=False)
        both = modulo(torch.stack([found.plain, t.double()]), one.response, cosine_power, found.excluded)
        angles.append(angle_deg(both[0], both[1]))
    return float(torch.stack(angles).median())
