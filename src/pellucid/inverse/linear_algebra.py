"""The mathematics of an inversion, in float64: the gradient's matrix, its Gram matrix, angles, orthonormal bases.

For f_t(r) = <r, t> cos(r, t)^k and J = dr/dp, grad_p f = s J^T M t with s = cos(r, t)^k and
M = (k + 1) I - k r^ r^^T, r^ = r / |r|. It is linear in t, so a picture's objective is the t that makes it smallest.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["angle_deg", "complement", "gram", "metric", "metric_inverse", "orthonormal", "projected"]

_SLAB = 1 << 14  # columns that are in float64 at once: 64 MB for 512 units
_RANK = 1e-12  # of the largest singular value: below it a direction is none


def metric(response: Float[Tensor, " n"], cosine_power: int) -> Float[Tensor, "n n"]:
    """M = (k + 1) I - k r^ r^^T, what the cosine term does to an objective in the gradient."""
    unit = response.double() / torch.linalg.vector_norm(response.double())
    identity = torch.eye(len(unit), dtype=torch.float64)
    return (cosine_power + 1) * identity - cosine_power * torch.outer(unit, unit)


def metric_inverse(response: Float[Tensor, " n"], cosine_power: int) -> Float[Tensor, "n n"]:
    """M^-1 = (I + k r^ r^^T) / (k + 1)."""
    unit = response.double() / torch.linalg.vector_norm(response.double())
    identity = torch.eye(len(unit), dtype=torch.float64)
    return (identity + cosine_power * torch.outer(unit, unit)) / (cosine_power + 1)


def gram(jacobian: Float[Tensor, "n m"]) -> Float[Tensor, "n n"]:
    """J J^T in float64, slab of columns by slab: the Jacobian itself may lie in a file."""
    n, m = jacobian.shape
    total = torch.zeros(n, n, dtype=torch.float64)
    for first in range(0, m, _SLAB):
        slab = jacobian[:, first : first + _SLAB].to("cpu", torch.float64)
        total.addmm_(slab, slab.T)
    return total


def orthonormal(vectors: Float[Tensor, "n d"]) -> Float[Tensor, "n e"]:
    """An orthonormal basis of what the columns span; directions that rounding alone gives are left out."""
    if not vectors.shape[1]:
        return vectors.double()
    left, values, _ = torch.linalg.svd(vectors.double(), full_matrices=False)
    kept: Tensor = left[:, values > _RANK * values[0].clamp(min=1e-300) * max(vectors.shape)]
    return kept


def complement(basis: Float[Tensor, "n d"]) -> Float[Tensor, "n e"]:
    """An orthonormal basis of all that is perpendicular to the columns of an orthonormal basis."""
    n, d = basis.shape
    if not d:
        return torch.eye(n, dtype=torch.float64)
    full: Tensor = torch.linalg.qr(basis.double(), mode="complete")[0]
    return full[:, d:]


def projected(vectors: Float[Tensor, "*b n"], basis: Float[Tensor, "n d"]) -> Float[Tensor, "*b n"]:
    """Rows without their part along an orthonormal basis."""
    return vectors - (vectors @ basis) @ basis.T


def angle_deg(first: Float[Tensor, "*b n"], second: Float[Tensor, "*b n"]) -> Float[Tensor, "*b"]:
    """The angle between vectors in degrees: 2 atan2(|a - b|, |a + b|), exact also for the smallest angles."""
    a = first.double() / torch.linalg.vector_norm(first.double(), dim=-1, keepdim=True)
    b = second.double() / torch.linalg.vector_norm(second.double(), dim=-1, keepdim=True)
    apart, along = torch.linalg.vector_norm(a - b, dim=-1), torch.linalg.vector_norm(a + b, dim=-1)
    return 2 * torch.atan2(apart, along) * (180 / math.pi)
