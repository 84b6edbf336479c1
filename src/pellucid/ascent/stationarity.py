"""How far a finished picture is from stationary, for objectives that an inversion can take back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pellucid.ascent.jobs import Slot
from pellucid.ascent.scoring import Sight
from pellucid.images.image import Image
from pellucid.objectives.objective import PerImage
from pellucid.objectives.response_direction import ResponseDirection, family_of

__all__ = ["residuals"]


def residuals(
    sight: Sight, new_image: Callable[[int], Image], flat: Tensor, slots: Sequence[Slot]
) -> list[float | None]:
    """How far pictures at parameters `flat` [b, m] are from stationary, where that can be said.

    |gradient| / cos(r, t)^k bounds, at inversion, the angle between the objective and what is found.
    """
    recipe = sight.recipe
    known = [
        recipe.transforms == "none"
        and not recipe.parameter_noise
        and slot.job.group < 0
        and not slot.job.beside.terms
        and family_of(slot.job.objective) is not None
        for slot in slots
    ]
    if not any(known):
        return [None] * len(slots)
    with torch.enable_grad():
        leaf = flat.detach().requires_grad_()
        objective = PerImage([slot.job.objective for slot in slots])
        activations = sight.exact(new_image(len(flat)).at(leaf), objective.taps)
        (gradient,) = torch.autograd.grad(objective(activations).sum(), leaf, allow_unused=True, materialize_grads=True)
    lengths = torch.linalg.vector_norm(gradient, dim=1)
    found: list[float | None] = []
    for row, (slot, is_known) in enumerate(zip(slots, known, strict=True)):
        leaf_objective = slot.job.objective.terms[0][1] if is_known else None
        slope = 1.0
        if isinstance(leaf_objective, ResponseDirection):
            slope = float(ResponseDirection.slopes(activations, torch.tensor([row]), [leaf_objective]).detach().abs())
        found.append(float(lengths[row]) / slope if is_known and slope else None)
    return found
