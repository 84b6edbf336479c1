"""Critical spaces: what of an objective a network's gradients can tell at all, and what they never can.

Some directions change no gradient in any picture: a shift of all logits, a unit that is dead. They would be the answer
for every picture. Their span, W-perp, is found from the Jacobians of sampled pictures; an inversion searches W.

Source: Reinbold & Westermann 2020, section 2.2 and Algorithm 1.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.errors import ImageError, RecipeError
from pellucid.images.sidecars import read_sidecar, write_sidecar
from pellucid.inverse.linear_algebra import gram
from pellucid.inverse.subspaces import merged_all

__all__ = ["CriticalSpace", "Plateau", "critical_space"]

LEAST_EPSILON, MOST_EPSILON = 1e-6, 0.9
_NEAR = 1.05  # ends of an interval of eps within this factor are not split further
_CLEAR = 3.0  # a plateau of eps that spans this factor or more is clear


@dataclass(frozen=True)
class Plateau:
    """A range of thresholds eps, `low` to `high`, that all give W-perp the same dimension, and its `basis` [n, d]."""

    low: float
    high: float
    basis: Float[Tensor, "n d"] = field(repr=False)

    @property
    def dimension(self) -> int:
        """Of W-perp: how many directions are left out."""
        return self.basis.shape[1]

    @property
    def width(self) -> float:
        """By what factor eps can change."""
        return self.high / self.low


@dataclass(frozen=True)
class CriticalSpace:
    """The critical space W, by an orthonormal `excluded` basis [n, d] of W-perp, and the choices there were.

    `plateaus` are all that the samples gave, widest first; `num_samples` Jacobians, merged in the order given.
    """

    excluded: Float[Tensor, "n d"]
    plateaus: tuple[Plateau, ...] = ()
    num_samples: int = 0

    @property
    def num_units(self) -> int:
        """Of the layer."""
        return self.excluded.shape[0]

    @property
    def dimension(self) -> int:
        """Of W."""
        return self.excluded.shape[0] - self.excluded.shape[1]

    @property
    def is_clear(self) -> bool:
        """Whether some plateau that leaves anything out is wide: eps may change threefold."""
        return any(plateau.width >= _CLEAR for plateau in self.plateaus if plateau.dimension)

    @classmethod
    def whole(cls, num_units: int) -> CriticalSpace:
        """All of R^n: nothing left out."""
        return cls(torch.zeros(num_units, 0, dtype=torch.float64))

    def without(self, num_excluded: int) -> CriticalSpace:
        """The same with so many directions left out, as the widest plateau of that dimension says.

        Raises:
            RecipeError: no plateau has this dimension.
        """
        for plateau in self.plateaus:
            if plateau.dimension == num_excluded:
                return CriticalSpace(plateau.basis, self.plateaus, self.num_samples)
        there = sorted({plateau.dimension for plateau in self.plateaus})
        raise RecipeError(f"no critical space leaves out {num_excluded} directions; there are some that leave {there}")

    def save(self, path: str | Path) -> Path:
        """Write it as a safetensors file.

        Raises:
            ImageError: the file cannot be written there.
        """
        path = Path(path)
        tensors = {"excluded": self.excluded.clone()}  # a plateau's too: a file holds each tensor once
        tensors |= {f"plateau.{number}": plateau.basis for number, plateau in enumerate(self.plateaus)}
        ranges = [(plateau.low, plateau.high) for plateau in self.plateaus]
        about = {"pellucid": "critical space", "num_samples": self.num_samples, "ranges": ranges}
        write_sidecar(path, tensors, {"pellucid": json.dumps(about)})
        return path

    @classmethod
    def load(cls, path: str | Path) -> CriticalSpace:
        """What `save` wrote.

        Raises:
            ImageError: there is no such file, or it holds no critical space.
        """
        tensors, texts = read_sidecar(path)
        try:
            about = json.loads(texts["pellucid"])
            if about["pellucid"] != "critical space":
                raise ValueError(f"it holds a {about['pellucid']}")
            plateaus = tuple(
                Plateau(low, high, tensors[f"plateau.{number}"]) for number, (low, high) in enumerate(about["ranges"])
            )
            return cls(tensors["excluded"], plateaus, about["num_samples"])
        except (KeyError, TypeError, ValueError) as error:
            raise ImageError(f"'{path}' holds no critical space: {error}") from None


def critical_space(jacobians: Sequence[Float[Tensor, "_ _"]], *, are_grams: bool = False) -> CriticalSpace:
    """Find what no sampled picture's gradient can tell: what the left kernels of their Jacobians have in common.

    `jacobians` [n, m] of pictures that were rendered for known, random objectives (32 are enough for ten logits); with
    `are_grams`, their J J^T instead. For each threshold eps, the left-singular vectors below eps times the largest
    value span a sample's kernel, and kernels are merged in a balanced tree, in the order given. Thresholds from 1e-6 to
    0.9 are searched by nested intervals for every dimension that is stable. The widest plateau that leaves something
    out is taken, all of R^n where there is none; `choose_critical_space` picks by known objectives,
    `CriticalSpace.without` by dimension.

    Raises:
        RecipeError: no Jacobians, or of different numbers of units, or one that is zero or not finite.

    Source: Reinbold & Westermann 2020, Algorithm 1; the plateaus are its "nested intervals technique".
    """
    if not jacobians:
        raise RecipeError("a critical space is found from the Jacobians of sampled pictures, and there are none")
    if len(units := {len(one) for one in jacobians}) > 1:
        raise RecipeError(f"the Jacobians are of one layer, with as many rows as it has units, not of {sorted(units)}")
    kernels = [_spectrum(one if are_grams else gram(one)) for one in jacobians]
    plateaus = _plateaus(kernels)
    (num_units,) = units
    useful = [plateau for plateau in plateaus if 0 < plateau.dimension <= num_units - 2]
    basis = useful[0].basis if useful else torch.zeros(num_units, 0, dtype=torch.float64)
    return CriticalSpace(basis, tuple(plateaus), len(jacobians))


def _spectrum(gram_matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Singular values relative to the largest, rising, and the left-singular vectors."""
    if not bool(gram_matrix.isfinite().all()) or not bool(gram_matrix.any()):
        raise RecipeError("a sampled Jacobian is zero or not finite: its picture shows nothing of the layer")
    values, vectors = torch.linalg.eigh(gram_matrix.double())
    relative = values.clamp(min=0).sqrt()
    return relative / relative[-1], vectors


def _at(kernels: Sequence[tuple[Tensor, Tensor]], epsilon: float) -> Tensor:
    return merged_all([vectors[:, values <= epsilon] for values, vectors in kernels])


def _plateaus(kernels: Sequence[tuple[Tensor, Tensor]]) -> list[Plateau]:
    """Every range of eps over which the dimension stays, widest first; each one's basis is that of its middle."""
    seen: dict[float, int] = {}

    def dimension(epsilon: float) -> int:
        if epsilon not in seen:
            seen[epsilon] = _at(kernels, epsilon).shape[1]
        return seen[epsilon]

    intervals = [(LEAST_EPSILON, MOST_EPSILON)]
    while intervals:
        low, high = intervals.pop()
        if dimension(low) == dimension(high) or high / low <= _NEAR:
            continue
        middle = math.sqrt(low * high)
        intervals += [(low, middle), (middle, high)]
    places = sorted(seen)
    plateaus: list[Plateau] = []
    first = 0
    for place in range(1, len(places) + 1):
        if place < len(places) and seen[places[place]] == seen[places[first]]:
            continue
        low, high = places[first], places[place - 1]
        plateaus.append(Plateau(low, high, _at(kernels, math.sqrt(low * high))))
        first = place
    return sorted(plateaus, key=lambda plateau: (-plateau.width, plateau.dimension))
