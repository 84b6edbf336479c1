"""Random objectives whose sparseness is spread evenly: from one unit alone to all units alike."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.draws import Draws
from pellucid.errors import RecipeError

__all__ = ["sparse_objectives", "sparseness", "with_sparseness"]


def sparseness(vectors: Float[Tensor, "*b n"]) -> Float[Tensor, "*b"]:
    """Hoyer's sparseness of each vector: 1 for a single unit, 0 where all are alike.

    (sqrt n - |x|_1 / |x|_2) / (sqrt n - 1)

    Source: Hoyer, "Non-negative Matrix Factorization with Sparseness Constraints", JMLR 2004.
    """
    root = math.sqrt(vectors.shape[-1])
    ratio: Tensor = vectors.abs().sum(-1) / torch.linalg.vector_norm(vectors, dim=-1)
    return (root - ratio) / (root - 1)


def with_sparseness(vector: Float[Tensor, " n"], wanted: float) -> Float[Tensor, " n"]:
    """The nonnegative vector of length 1 and this sparseness that lies next to a vector: Hoyer's projection.

    Source: Hoyer, "Non-negative Matrix Factorization with Sparseness Constraints", JMLR 2004.
    """
    n = len(vector)
    total = math.sqrt(n) - wanted * (math.sqrt(n) - 1)  # the sum of a vector of length 1 and this sparseness
    free = torch.ones(n, dtype=torch.bool)
    found: Tensor = vector.double() + (total - float(vector.sum())) / n
    while True:
        middle = torch.where(free, total / float(free.sum()), 0.0).double()
        way = found - middle
        found = middle + way * _to_sphere(middle, way)
        if bool((found >= 0).all()):
            length: Tensor = torch.linalg.vector_norm(found)
            return found / length
        free &= found > 0
        found = torch.where(free, found, 0.0)
        found = torch.where(free, found - (float(found.sum()) - total) / float(free.sum()), 0.0)


def _to_sphere(middle: Tensor, way: Tensor) -> float:
    """How far along `way` from `middle` the length is 1."""
    a, b, c = (float(x) for x in (way @ way, 2 * middle @ way, middle @ middle - 1))
    return (-b + math.sqrt(max(0.0, b * b - 4 * a * c))) / (2 * a) if a > 0 else 0.0


def sparse_objectives(num_objectives: int, num_units: int, *, seed: int = 0) -> Float[Tensor, "b n"]:
    """Random objectives [b, n], float64: nonnegative, of length 1, their sparseness uniform between 0 and 1.

    Equal seeds give equal objectives, however many are asked for.

    Raises:
        RecipeError: fewer than two units, for which sparseness means nothing.

    Source: Reinbold & Westermann 2020, who sample so; Hoyer, JMLR 2004.
    """
    if num_units < 2:
        raise RecipeError(f"sparse objectives mix at least 2 units, not {num_units}")
    draws = Draws.from_keys([f"sparse objective {number} seed {seed}" for number in range(num_objectives)])
    wanted = draws.child("sparseness").uniform(1)[:, 0].tolist()
    starts = draws.child("start").normal(num_units).abs()
    return torch.stack([with_sparseness(start, one) for start, one in zip(starts, wanted, strict=True)])
