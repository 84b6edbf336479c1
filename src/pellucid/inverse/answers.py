"""From a picture's linearizations to its answer, with all that speaks for and against it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.errors import InversionError
from pellucid.inverse.critical_spaces import CriticalSpace
from pellucid.inverse.doubts import Doubt, doubts_of_answer
from pellucid.inverse.jacobians import Linearization
from pellucid.inverse.linear_algebra import gram, metric, orthonormal
from pellucid.inverse.solve import Solution, solved

__all__ = ["Answer", "Evidence", "answered", "certificate_deg"]

_DEAD = 1e-5  # a row of the Jacobian shorter than this share of the longest is zero
_SILENT, _HARDLY = 1e-4, 0.1  # of the largest response and the longest row: a unit below both is off
_ROUNDING = 1e-6  # of s_n: what float32 leaves undecided in a gradient


@dataclass(frozen=True)
class Evidence:
    """A linearization, reduced to what an answer needs, in float64: the response [n], G = J J^T [n, n] and the spread
    [n, n] of a mean Jacobian, None where it is not known.
    """

    response: Float[Tensor, " n"]
    gram: Float[Tensor, "n n"]
    bytes_on_disk: int
    is_float64: bool
    spread: Float[Tensor, "n n"] | None = None

    @classmethod
    def of(cls, linearization: Linearization) -> Evidence:
        """Its response and Gram matrix."""
        jacobian = linearization.jacobian
        is_float64 = jacobian.dtype == torch.float64
        return cls(
            linearization.response, gram(jacobian), linearization.bytes_on_disk, is_float64, linearization.spread
        )

    @property
    def dead(self) -> tuple[int, ...]:
        """Units whose row of the Jacobian is zero, or that are off but for a few places around the picture: what moves
        such a unit there says nothing about the picture.
        """
        lengths, size = self.gram.diagonal().clamp(min=0).sqrt(), self.response.abs()
        off = (size <= _SILENT * size.max()) & (lengths <= _HARDLY * lengths.max())
        return tuple((off | (lengths <= _DEAD * lengths.max())).nonzero()[:, 0].tolist())

    def check(self, name: str, layer: str) -> None:
        """Raises InversionError where nothing can be said."""
        if not bool(self.response.isfinite().all()) or not bool(self.gram.isfinite().all()):
            raise InversionError(f"{name}: the response of {layer} or its Jacobian is not finite")
        if not bool(self.response.any()):
            raise InversionError(f"{name}: the response of {layer} is zero, and the cosine with it undefined")
        if not bool(self.gram.any()):
            raise InversionError(f"{name}: the Jacobian of {layer} is zero: no gradient reaches the image")


@dataclass(frozen=True)
class Answer:
    """One picture's solution, its certificate, and the doubts."""

    solution: Solution
    evidence: Evidence
    dead: tuple[int, ...]
    certificate: float | None
    doubts: tuple[Doubt, ...]

    def left(self, objective: Float[Tensor, " n"], cosine_power: int) -> Float[Tensor, ""]:
        """|J^T M t|: the gradient that an objective leaves in the picture."""
        turned = metric(self.evidence.response, cosine_power) @ objective
        return (turned @ self.evidence.gram @ turned).clamp(min=0).sqrt()


def solution_of(
    evidence: Evidence, cosine_power: int, critical_space: CriticalSpace | None, *, nonnegative: bool
) -> Solution:
    """The answer of a linearization, sought among the units that are not dead; a dead one has weight 0."""
    n, dead = len(evidence.response), list(evidence.dead)
    known = torch.zeros(n, 0, dtype=torch.float64) if critical_space is None else critical_space.excluded
    excluded = orthonormal(torch.cat([known, torch.eye(n, dtype=torch.float64)[:, dead]], 1))
    if n - excluded.shape[1] < 1:
        raise InversionError(f"of {n} dimensions the critical space and dead units leave out all: nothing is searched")
    alive = [unit for unit in range(n) if unit not in dead]
    among = solved(
        evidence.gram[alive][:, alive],
        evidence.response[alive],
        cosine_power,
        orthonormal(known[alive]),
        spread=None if evidence.spread is None else evidence.spread[alive][:, alive],
        nonnegative=nonnegative,
    )
    return among.embedded(alive, excluded)


def certificate_deg(residual: float | None, values: Float[Tensor, " e"], *, rounding: float = 0.0) -> float | None:
    """The angle of the plain answer to the true objective is at most this, in degrees.

    sin^2 <= (delta^2 - s1^2) / (s2^2 - s1^2) with delta = |J^T M t_true|, the `residual`. None where delta is not known
    or the bound says nothing.
    """
    if residual is None or len(values) < 2 or not float(values[1]) > float(values[0]):
        return None
    first, second = float(values[0]), float(values[1])
    delta = residual + rounding * float(values[-1])
    sine = max(0.0, delta**2 - first**2) / (second**2 - first**2)
    return math.degrees(math.asin(math.sqrt(sine))) if sine <= 1 else None


def certified(evidence: Evidence, solution: Solution, residual: float | None) -> float | None:
    """The certificate of a single Jacobian's answer, where the whole space was searched."""
    if solution.excluded.shape[1]:
        return None
    return certificate_deg(residual, solution.values, rounding=0.0 if evidence.is_float64 else _ROUNDING)


def answered(
    evidence: Evidence,
    solution: Solution,
    single: Solution | None,
    *,
    certificate: float | None,
    num_free: int,
    known: Sequence[Doubt],
    critical_space: CriticalSpace | None,
    sign_is_open: bool,
) -> Answer:
    """All of one picture's answer; `single` is that of the Jacobian at the picture alone, where another was taken."""
    doubts = list(known)
    if critical_space is not None and critical_space.plateaus and not critical_space.is_clear:
        doubts.append(
            Doubt(
                "no clear critical space",
                "no threshold of the critical space holds over a factor of 3: it is no clear one",
            )
        )
    dead, n = evidence.dead, len(evidence.response)
    doubts += doubts_of_answer(solution, single=single, dead=dead, num_free=num_free, num_units=n)
    if sign_is_open:
        doubts.append(
            Doubt(
                "ambiguous sign",
                "with an odd cosine power t and -t explain the picture alike; weights that must be "
                "nonnegative would decide",
            )
        )
    if evidence.bytes_on_disk:
        size = evidence.bytes_on_disk / 2**30
        doubts.append(Doubt("on disk", f"the Jacobian of {size:.2g} GiB did not fit into memory: it lay in a file"))
    return Answer(solution, evidence, dead, certificate, tuple(doubts))
