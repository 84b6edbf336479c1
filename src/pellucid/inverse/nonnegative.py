"""The nonnegative objective that leaves the smallest gradient: nonnegative inverse iteration.

Minimises z^T A z / z^T B z over z >= 0 for A, B symmetric and positive semidefinite. Each step holds the norm's linear
part fixed and solves the quadratic problem that is left, min z^T A z / 2 - z_old^T B z over z >= 0, exactly (Lawson &
Hanson's active sets). No step makes the quotient larger, and it converges as fast as inverse iteration does, where
projected gradient steps take thousands.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import nnls
from torch import Tensor

__all__ = ["nonnegative_minimum", "quotient"]

_RIDGE = 1e-10  # of the mean of A's diagonal: makes the factor exist where A is singular
_STEPS = 100
_ENOUGH = 1e-12  # relative fall of the quotient in a step


def quotient(z: Float[Tensor, " n"], a: Float[Tensor, "n n"], b: Float[Tensor, "n n"]) -> float:
    """z^T A z / z^T B z; infinite where the norm is zero."""
    norm = float(z @ b @ z)
    return float(z @ a @ z) / norm if norm > 0 else float("inf")


def nonnegative_minimum(
    a: Float[Tensor, "n n"], b: Float[Tensor, "n n"], starts: Sequence[Float[Tensor, " n"]], side: Float[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """The z >= 0 of length 1 with the lowest quotient that is reached from any of the starts, on the `side` z > 0.

    Where nothing on that side is reached, the lowest of all.
    """
    scale = float(a.diagonal().mean()) or 1.0
    ridge = _RIDGE * scale * torch.eye(len(a), dtype=torch.float64)
    factor = cholesky((a + ridge).numpy(), lower=False, check_finite=False)
    best, lowest = None, (True, float("inf"))
    for start in starts:
        first = start.clamp(min=0)
        if not float(first.max()) > 0:
            first = torch.ones_like(start)
        found = _descended(first / torch.linalg.vector_norm(first), a, b, factor)
        # Modulo what is left out, z and -z may both be nonnegative: then z >= 0 leaves the sign open; this does not.
        if (value := (not float(side @ found) > 0, quotient(found, a, b))) < lowest or best is None:
            best, lowest = found, value
    assert best is not None
    return best


def _descended(z: Tensor, a: Tensor, b: Tensor, factor: np.ndarray) -> Tensor:
    value = quotient(z, a, b)
    for _ in range(_STEPS):
        pull = solve_triangular(factor, (b @ z).numpy(), trans="T", check_finite=False)
        length = np.linalg.norm(pull)
        if not length > 0:
            return z
        solution, _ = nnls(factor, pull / length, maxiter=30 * len(z))
        if not solution.any():
            return z
        new = torch.from_numpy(solution / np.linalg.norm(solution))
        now = quotient(new, a, b)
        if not now < value * (1 - _ENOUGH):
            return new if now < value else z
        z, value = new, now
    return z
