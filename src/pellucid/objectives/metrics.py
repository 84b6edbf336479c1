"""Objectives on the distance of a unit to a constant: far above it (metrics), or the level it is driven to."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, SupportsFloat, SupportsIndex, cast

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.errors import TargetError
from pellucid.models.positions import Position
from pellucid.models.taps import Activations, Tap
from pellucid.objectives.objective import Leaf, Objective
from pellucid.objectives.response import REDUCTIONS, Reduction, places, reduced
from pellucid.objectives.units import check_channels

__all__ = ["METRICS", "ConstantReached", "Metric", "level", "metric"]

Metric = Literal["l1", "l2", "linf", "max"]

# From C - z [m, h, w] to a distance [m].
_DISTANCES: dict[str, Callable[[Tensor], Tensor]] = {
    "l1": lambda gap: gap.sum((1, 2)),
    "l2": lambda gap: 5 * torch.linalg.vector_norm(gap, dim=(1, 2)),
    "linf": lambda gap: gap.abs().sum(2).amax(1),
    "max": lambda gap: gap.abs().amax((1, 2)),
}
METRICS = tuple(_DISTANCES)


class ConstantReached(UserWarning):
    """A unit is as active as the constant that it should stay under; from there the metric pushes it down."""


@dataclass(frozen=True)
class Distance(Leaf):
    """Minus the distance of one channel's map to a constant."""

    layer: str
    channel: int
    metric: Metric
    constant: float
    position: Position | None = None
    pre: bool = False

    @property
    def taps(self) -> tuple[Tap, ...]:
        """The layer."""
        return (Tap(self.layer, self.pre),)

    @property
    def family(self) -> Hashable:
        """Channels of one layer, by one metric to one constant at one place."""
        return self.layer, self.metric, self.constant, self.position, self.pre

    def before_rectifier(self) -> Distance:
        """The distance of the channel's pre-activation."""
        return replace(self, pre=True)

    @classmethod
    def score(cls, activations: Activations, rows: Tensor, leaves: Sequence[Leaf]) -> Float[Tensor, " m"]:
        """Pick each image's channel, then measure."""
        first = cast(Distance, leaves[0])
        gap = first.constant - _maps(activations, rows, first, [cast(Distance, leaf).channel for leaf in leaves])
        if first.metric != "l1" and bool((gap <= 0).any()):
            warnings.warn(
                f"{first.layer} reaches {first.constant:g}, and from there the metric {first.metric!r} pushes it down. "
                "Give a larger constant",
                ConstantReached,
                stacklevel=2,
            )
        return -_DISTANCES[first.metric](gap)


@dataclass(frozen=True)
class Level(Leaf):
    """Minus the squared distance of one channel's response to a value."""

    layer: str
    channel: int
    value: float
    position: Position | None = None
    reduction: Reduction = "mean"
    pre: bool = False

    @property
    def taps(self) -> tuple[Tap, ...]:
        """The layer."""
        return (Tap(self.layer, self.pre),)

    @property
    def family(self) -> Hashable:
        """Channels of one layer, seen at the same place in the same way, whatever their value."""
        return self.layer, self.position, self.reduction, self.pre

    @classmethod
    def score(cls, activations: Activations, rows: Tensor, leaves: Sequence[Leaf]) -> Float[Tensor, " m"]:
        """Pick each image's channel, reduce, compare with its value."""
        levels = cast("Sequence[Level]", leaves)
        first = levels[0]
        responses = reduced(_maps(activations, rows, first, [leaf.channel for leaf in levels]), first.reduction)
        values = torch.tensor([leaf.value for leaf in levels], dtype=responses.dtype, device=responses.device)
        return -(responses - values).square()


def _maps(
    activations: Activations, rows: Tensor, leaf: Distance | Level, channels: Sequence[int]
) -> Float[Tensor, "m h w"]:
    maps = places(activations[leaf.taps[0]], activations.layers[leaf.layer], leaf.position)
    check_channels(leaf.layer, channels, maps.shape[1])
    picked = maps[rows, torch.tensor(channels, device=rows.device)]
    return picked.to(torch.promote_types(picked.dtype, torch.float32))


def metric(
    layer: str,
    channel: SupportsIndex,
    metric: Metric = "l1",
    *,
    constant: SupportsFloat = 200.0,
    position: Position | None = None,
) -> Objective:
    """Score each image by minus the distance of a channel's map z to a large constant C.

    "l1" is the signed sum(C - z): the channel's sum up to a constant. "l2" is 5 sqrt(sum (C - z)^2), which weighs weak
    places more. "linf" is the norm of a matrix, its largest row sum of |C - z|: the weakest row; "max" is the largest
    |C - z|: the weakest place. All are at most 0 under C; where z reaches it, all but "l1" would push it down and warn
    (`ConstantReached`).

    Raises:
        TargetError: an unknown metric, or a constant that is no finite number.

    Source: "Feature Visualization I: Feature Maps" (C = 200, the factor 5 and its `linalg.norm(·, ord=inf)`).
    """
    if metric not in METRICS:
        raise TargetError(f"no metric {metric!r}. There are: {', '.join(METRICS)}.")
    return Objective(((1.0, Distance(layer, int(channel), metric, _finite(constant), position)),))


def level(
    layer: str,
    channel: SupportsIndex,
    value: SupportsFloat,
    *,
    position: Position | None = None,
    reduction: Reduction = "mean",
) -> Objective:
    """Score each image by -(z_c - v)^2: the channel's response is driven to the value v, from above and below.

    Raises:
        TargetError: an unknown reduction, or a value that is no finite number.
    """
    if reduction not in REDUCTIONS:
        raise TargetError(f"no reduction {reduction!r}. There are: {', '.join(REDUCTIONS)}.")
    return Objective(((1.0, Level(layer, int(channel), _finite(value), position, reduction)),))


def _finite(value: SupportsFloat) -> float:
    number = float(value)
    if not abs(number) < float("inf"):
        raise TargetError(f"a level of activation is a finite number, not {number}")
    return number
