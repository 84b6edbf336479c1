"""Objectives that ask for a mixture of a layer's units: how far the response goes along a direction, and how straight.

They are what an inversion takes back: from a picture that maximises one, `pellucid.inverse` finds its direction.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.errors import TargetError, did_you_mean
from pellucid.models.positions import Position
from pellucid.models.taps import Activations, Tap
from pellucid.objectives.frozen import FrozenTensor
from pellucid.objectives.objective import Leaf, Objective
from pellucid.objectives.response import Response
from pellucid.objectives.units import Unit

__all__ = [
    "AGGREGATIONS",
    "Aggregation",
    "Family",
    "ResponseDirection",
    "aggregated",
    "family_of",
    "response_direction",
]

Aggregation = Literal["pooled", "mean", "centre"]
AGGREGATIONS: tuple[Aggregation, ...] = get_args(Aggregation)
"""How a unit's map becomes one number: the mean of 2x2 maxima, the mean, or the position in the middle."""


def aggregated(layer: str, aggregation: str, *, pre: bool = False) -> Response:
    """The response of every unit of a layer, `Activations -> [b, n]`, by the name of its aggregation.

    Raises:
        TargetError: no aggregation has this name.
    """
    if aggregation not in AGGREGATIONS:
        hint = did_you_mean(aggregation, AGGREGATIONS) or f" There are: {', '.join(AGGREGATIONS)}."
        raise TargetError(f"no aggregation {aggregation!r}.{hint}")
    if aggregation == "centre":
        return Response(layer, "mean", Position("centre"), pre)
    return Response(layer, "pooled" if aggregation == "pooled" else "mean", None, pre)


@dataclass(frozen=True)
class Family:
    """Which objectives a picture can have been made for: <r, t> cos(r, t)^k on one layer, whatever t.

    `units` counts the layer's first units that r and t are about; None: all.
    """

    layer: str
    cosine_power: int
    aggregation: Aggregation
    units: int | None = None


@dataclass(frozen=True)
class ResponseDirection(Leaf):
    """<r, t> cos(r, t)^k for the response r of a whole layer and a direction t of length 1."""

    kind: Family
    vector: FrozenTensor
    pre: bool = False

    @property
    def taps(self) -> tuple[Tap, ...]:
        """The layer."""
        return (Tap(self.kind.layer, self.pre),)

    @property
    def family(self) -> Hashable:
        """Directions of one layer, aggregation and cosine power."""
        return self.kind, self.vector.shape, self.pre

    def before_rectifier(self) -> ResponseDirection:
        """The same direction among the pre-activations."""
        return replace(self, pre=True)

    @classmethod
    def score(cls, activations: Activations, rows: Tensor, leaves: Sequence[Leaf]) -> Float[Tensor, " m"]:
        """<r, t> cos(r, t)^k; where r points away from t, <r, t> alone, which leads out of there."""
        along, cosines = _along(activations, rows, leaves)
        power = cast(ResponseDirection, leaves[0]).kind.cosine_power
        # Past a right angle the powers have saddles and, for odd k, a second maximum at -t: a start there would stay.
        return torch.where(along > 0, along * cosines.clamp(min=0) ** power, along) if power else along

    @classmethod
    def slopes(cls, activations: Activations, rows: Tensor, leaves: Sequence[Leaf]) -> Float[Tensor, " m"]:
        """The factor cos(r, t)^k of the gradient that says nothing about t."""
        _, cosines = _along(activations, rows, leaves)
        return cosines ** cast(ResponseDirection, leaves[0]).kind.cosine_power


def _along(activations: Activations, rows: Tensor, leaves: Sequence[Leaf]) -> tuple[Tensor, Tensor]:
    """<r, t> and cos(r, t) of image `rows[i]` and direction i."""
    directions = cast("Sequence[ResponseDirection]", leaves)
    first = directions[0].kind
    response = aggregated(first.layer, first.aggregation, pre=directions[0].pre)(activations)[:, : first.units]
    (wanted,) = directions[0].vector.shape
    if wanted != response.shape[1]:
        raise TargetError(f"a direction in {first.layer} has {response.shape[1]} numbers, not {wanted}")
    r = response[rows]
    t = torch.stack([leaf.vector.like(r) for leaf in directions])
    along = (r * t).sum(1)
    length = (r.square().sum(1) + torch.finfo(r.dtype).tiny).sqrt()  # a finite gradient where nothing fires
    return along, along / length


def response_direction(
    layer: str,
    vector: Sequence[float] | Tensor,
    *,
    cosine_power: int = 2,
    aggregation: Aggregation = "pooled",
    units: int | None = None,
) -> Objective:
    """Score each image by how far a layer's response goes along a direction, and how straight it points there.

    <r, t> cos(r, t)^k: r [n] has one number for each unit (`aggregation` of its map: "pooled" is the mean of 2x2
    maxima), t is `vector` [n] at length 1, k the `cosine_power`. k = 0 lets other units fire as they like. Where r
    points away from t, the score is <r, t>: the powers would trap a start there. With `units`, r and t are about so
    many of the layer's first units only.

    Unlike `units.direction`, which compares position by position, this compares the layer as a whole.

    Raises:
        TargetError: the vector is not one-dimensional, not finite, or zero; k is no whole number; an unknown
            aggregation.

    Source: Reinbold & Westermann, "Inverting the Feature Visualization Process for Feedforward Neural Networks", 2020.
    """
    values = torch.as_tensor(vector).detach().to("cpu", torch.float64)
    if values.ndim != 1 or not values.isfinite().all() or not values.any():
        raise TargetError(f"a direction is one finite number per unit, not all zero; got shape {tuple(values.shape)}")
    if type(cosine_power) is not int or cosine_power < 0:
        raise TargetError(f"cosine_power is a whole number from 0, not {cosine_power!r}")
    aggregated(layer, aggregation)
    unit = values / torch.linalg.vector_norm(values)
    family = Family(layer, cosine_power, aggregation, units)
    return Objective(((1.0, ResponseDirection(family, FrozenTensor.of(unit))),))


def family_of(objective: Objective) -> Family | None:
    """The family that an objective belongs to; None where no inversion can take it back.

    A single channel counts, averaged over its map or over 2x2 maxima: t is then that channel, and k is 0.
    """
    if len(objective.terms) != 1 or not objective.terms[0][0] > 0 or math.isinf(objective.terms[0][0]):
        return None
    leaf = objective.terms[0][1]
    if isinstance(leaf, ResponseDirection):
        return leaf.kind
    if not isinstance(leaf, Unit):
        return None
    places = {None: leaf.reduction, Position("centre"): "centre"}
    aggregation = places.get(leaf.position)
    return Family(leaf.layer, 0, aggregation) if aggregation in AGGREGATIONS else None
