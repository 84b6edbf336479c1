"""Subspaces that are nearly the same, merged into one: principal angles, and the way from one principal vector to its
partner.

Source: Knyazev & Argentati, "Principal Angles between Subspaces in an A-Based Scalar Product", SIAM J. Sci. Comput.
2002; the merging is Algorithm 1 of Reinbold & Westermann 2020.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.inverse.linear_algebra import orthonormal

__all__ = ["MOST_APART_DEG", "merged", "merged_all", "principal", "subspace_angle_deg"]

MOST_APART_DEG = 45.0
"""Principal vectors as far apart as this are no common direction."""

Counted = tuple[Tensor, int]
"""An orthonormal basis [n, d], and how many samples it was merged from."""


def principal(
    first: Float[Tensor, "n d"], second: Float[Tensor, "n e"]
) -> tuple[Float[Tensor, " f"], Float[Tensor, "n f"], Float[Tensor, "n f"]]:
    """Principal angles (radians, rising) and vectors of two spaces given by orthonormal bases.

    By atan2 of the parts apart and together: the cosine alone loses small angles to rounding.
    """
    left, _, right = torch.linalg.svd(first.T @ second, full_matrices=False)
    ours, theirs = first @ left, second @ right.T
    apart, together = torch.linalg.vector_norm(ours - theirs, dim=0), torch.linalg.vector_norm(ours + theirs, dim=0)
    return 2 * torch.atan2(apart, together), ours, theirs


def subspace_angle_deg(first: Float[Tensor, "n d"], second: Float[Tensor, "n d"]) -> float:
    """The largest principal angle between two spaces of equal dimension, in degrees."""
    angles, _, _ = principal(first, second)
    return float(torch.rad2deg(angles.max())) if len(angles) else 0.0


def merged(first: Counted, second: Counted, most_apart_deg: float = MOST_APART_DEG) -> Counted:
    """What two spaces have in common, roughly: each pair of principal vectors met on the way between them.

    The more samples a space stands for, the nearer to it. Pairs `most_apart_deg` apart or more are dropped; an empty
    space leaves nothing.
    """
    (ours, c1), (theirs, c2) = first, second
    total = c1 + c2
    if not ours.shape[1] or not theirs.shape[1]:
        return ours[:, :0], total
    angles, left, right = principal(ours, theirs)
    near = angles < torch.deg2rad(torch.tensor(most_apart_deg, dtype=torch.float64))
    angles, left, right = angles[near], left[:, near], right[:, near]
    share = c2 / total
    # SLERP: sin((1 - share) a) / sin(a) and sin(share a) / sin(a); where both are one, a straight mean.
    small = angles < 1e-8
    sine = torch.where(small, 1.0, angles.sin())
    from_left = torch.where(small, 1 - share, ((1 - share) * angles).sin() / sine)
    from_right = torch.where(small, share, (share * angles).sin() / sine)
    return orthonormal(left * from_left + right * from_right), total


def merged_all(bases: Sequence[Float[Tensor, "n _"]], most_apart_deg: float = MOST_APART_DEG) -> Float[Tensor, "n e"]:
    """What all spaces have in common, neighbours merged first, in a balanced tree: the order is part of the result."""
    counted: list[Counted] = [(basis, 1) for basis in bases]
    while len(counted) > 1:
        pairs = [merged(a, b, most_apart_deg) for a, b in zip(counted[::2], counted[1::2], strict=False)]
        counted = [*pairs, *counted[len(pairs) * 2 :]]
    return counted[0][0]
