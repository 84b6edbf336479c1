"""Reading pictures that another network made: the objective is sought among the units that a picture excites.

In a picture made elsewhere most units of a layer hardly fire, and a unit that hardly fires has next to no gradient: to
an inversion, which seeks the objective that leaves the least of it, each of them looks like an answer. But what a
picture is the picture of, it excites.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pellucid.inverse.answers import Evidence
from pellucid.inverse.linear_algebra import metric
from pellucid.inverse.nonnegative import nonnegative_minimum
from pellucid.inverse.solve import uncertainty

__all__ = ["EXCITED", "excited", "objective_among"]

EXCITED = 0.25
"""A unit counts as excited when it rises by this share of what the most excited unit rises, each on its own scale."""


def excited(responses: Float[Tensor, "u m"], usual: Float[Tensor, " m"]) -> Bool[Tensor, "u m"]:
    """Which units a picture excites, [u, m]: those whose response is well above their `usual` one.

    Where nothing rises, the unit that falls least counts.
    """
    rise = responses - usual
    most = rise.amax(1, keepdim=True)
    return (rise >= EXCITED * most.clamp(min=0)) & (rise > 0) | (rise == most)


def objective_among(evidence: Evidence, cosine_power: int, among: Bool[Tensor, " m"]) -> Float[Tensor, " m"]:
    """The objective of length 1, nonnegative and of these units alone, that leaves the smallest gradient |J^T M t|, in
    relation to how uncertain that is.
    """
    response = evidence.response
    turned = metric(response, cosine_power)
    matrix = (turned @ evidence.gram @ turned)[among][:, among]
    off = (turned @ uncertainty(evidence.gram, evidence.spread) @ turned)[among][:, among]
    objective = torch.zeros(len(response), dtype=torch.float64)
    if len(matrix) == 1:
        objective[among] = 1.0
        return objective
    _, vectors = torch.linalg.eigh(matrix)
    first, second = vectors[:, 0], vectors[:, 1]
    fires = response.double()[among]
    starts = [first, -first, fires, second, -second]
    objective[among] = nonnegative_minimum(matrix, off, starts, fires)
    return objective
