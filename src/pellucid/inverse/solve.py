"""One picture's objective from its response and the Gram matrix of its gradient: plain, and nonnegative."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.inverse.linear_algebra import complement, metric, metric_inverse, orthonormal
from pellucid.inverse.nonnegative import nonnegative_minimum

__all__ = ["Solution", "modulo", "solved", "uncertainty"]


_LEAST_SPREAD = 1e-3  # of |J_i|^2: a picture's ascent ends near its optimum, not in it, however certain the Jacobian is


@dataclass(frozen=True)
class Solution:
    """What one picture's gradient says: vectors [n] of length 1, with <r, t> >= 0.

    `values` s_1 <= s_2 <= … are the singular values of the gradient's matrix in the space that was searched; `second`
    is the vector of s_2. `excluded` [n, d] is the orthonormal basis of what M t was kept out of.
    """

    plain: Float[Tensor, " n"]
    second: Float[Tensor, " n"]
    nonnegative: Float[Tensor, " n"] | None
    values: Float[Tensor, " e"]
    vectors: Float[Tensor, "n e"]
    excluded: Float[Tensor, "n d"]

    def embedded(self, among: Sequence[int], excluded: Float[Tensor, "m d"]) -> Solution:
        """The same as vectors [m] of more units, of which these are some; the others have weight 0."""

        def placed(vectors: Tensor) -> Tensor:
            wide = torch.zeros(len(excluded), *vectors.shape[1:], dtype=vectors.dtype)
            wide[list(among)] = vectors
            return wide

        found = None if self.nonnegative is None else placed(self.nonnegative)
        return Solution(placed(self.plain), placed(self.second), found, self.values, placed(self.vectors), excluded)


def solved(
    gram: Float[Tensor, "n n"],
    response: Float[Tensor, " n"],
    cosine_power: int,
    excluded: Float[Tensor, "n d"],
    *,
    nonnegative: bool,
    spread: Float[Tensor, "n n"] | None = None,
) -> Solution:
    """The objectives t of length 1 that make the gradient J^T M t smallest, from `gram` = J J^T.

    `excluded` is an orthonormal basis of W-perp: M t is kept perpendicular to it. The plain answer makes the gradient
    itself smallest. The nonnegative one makes it smallest in relation to how uncertain it is, (M t)^T S (M t) with the
    `spread` S of the mean Jacobian (total least squares: Golub & Van Loan, "An Analysis of the Total Least Squares
    Problem", 1980). Where S is not known, in relation to what the same weights would leave if the units' gradients did
    not cancel, sum_i (M t)_i^2 |J_i|^2. Either way, a unit that hardly moves anything is not the answer for every
    picture, though it leaves little gradient in all.
    """
    m = metric(response, cosine_power)
    space = complement(orthonormal(m @ excluded))
    values, vectors = torch.linalg.eigh(space.T @ m @ gram @ m @ space)
    lifted = space @ vectors
    plain, second = (_towards(response, lifted[:, place]) for place in (0, min(1, lifted.shape[1] - 1)))
    found = None
    if nonnegative:
        starts = [plain, -plain, second, -second]
        found = _nonnegative(gram, uncertainty(gram, spread), m, excluded, response, starts)
    return Solution(plain, second, found, values.clamp(min=0).sqrt(), lifted, excluded)


def uncertainty(gram: Float[Tensor, "n n"], spread: Float[Tensor, "n n"] | None) -> Float[Tensor, "n n"]:
    """What J^T v is expected to be off by: the matrix S of v^T S v. Without a `spread`, each row's own length."""
    alone = torch.diag(gram.diagonal())
    return alone if spread is None else spread + _LEAST_SPREAD * alone


def _nonnegative(
    gram: Tensor, uncertain: Tensor, m: Tensor, excluded: Tensor, response: Tensor, starts: list[Tensor]
) -> Tensor:
    # With a space left out, z alone would slide into it: what counts is z modulo that space, P_W M z.
    kept = (torch.eye(len(m), dtype=torch.float64) - excluded @ excluded.T) @ m
    side = response.double() @ torch.linalg.inv(m) @ kept
    return nonnegative_minimum(kept.T @ gram @ kept, kept.T @ uncertain @ kept, [*starts, response.double()], side)


def _towards(response: Tensor, vector: Tensor) -> Tensor:
    return -vector if float(response.double() @ vector) < 0 else vector


def modulo(
    objectives: Float[Tensor, "*b n"], response: Float[Tensor, " n"], cosine_power: int, excluded: Float[Tensor, "n d"]
) -> Float[Tensor, "*b n"]:
    """u(t) = M^-1 P_W M t at length 1: what of an objective can be known when a space W-perp is left out.

    Compare objectives by it, on both sides, and the response as a prediction too.
    """
    m, inverse = metric(response, cosine_power), metric_inverse(response, cosine_power)
    keep = torch.eye(len(m), dtype=torch.float64) - excluded @ excluded.T
    kept = objectives.double() @ (inverse @ keep @ m).T
    length: Tensor = torch.linalg.vector_norm(kept, dim=-1, keepdim=True)
    return kept / length
