"""Objectives on units: channel, neuron, region, layer, direction."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import SupportsIndex, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.errors import TargetError
from pellucid.models.positions import Position
from pellucid.models.taps import Activations, Tap
from pellucid.objectives.objective import Leaf, Objective
from pellucid.objectives.response import REDUCTIONS, Reduction, places, reduced

__all__ = ["channel", "check_channels", "direction", "layer", "neuron", "region"]

_EPSILON = 1e-12  # under a square root: keeps the cosine's gradient finite where the activation is zero


@dataclass(frozen=True)
class Unit(Leaf):
    """One channel of one layer, reduced over a position (all of them by default)."""

    layer: str
    channel: int
    position: Position | None = None
    reduction: Reduction = "mean"
    pre: bool = False

    @property
    def taps(self) -> tuple[Tap, ...]:
        """The layer."""
        return (Tap(self.layer, self.pre),)

    @property
    def family(self) -> Hashable:
        """Channels of one layer, seen at the same place in the same way."""
        return self.layer, self.position, self.reduction, self.pre

    def before_rectifier(self) -> Unit:
        """The channel's pre-activation."""
        return replace(self, pre=True)

    @classmethod
    def score(cls, activations: Activations, rows: Tensor, leaves: Sequence[Leaf]) -> Float[Tensor, " m"]:
        """Pick each image's channel, then reduce."""
        units = cast("Sequence[Unit]", leaves)
        first = units[0]
        maps = places(activations[first.taps[0]], activations.layers[first.layer], first.position)
        check_channels(first.layer, [unit.channel for unit in units], maps.shape[1])
        channels = torch.tensor([unit.channel for unit in units], device=rows.device)
        return reduced(maps[rows, channels], first.reduction)


@dataclass(frozen=True)
class WholeLayer(Leaf):
    """The mean square of everything a layer says."""

    layer: str
    position: Position | None = None

    @property
    def taps(self) -> tuple[Tap, ...]:
        """The layer."""
        return (Tap(self.layer),)

    @property
    def family(self) -> Hashable:
        """One layer at one place."""
        return self.layer, self.position

    @property
    def can_rest(self) -> bool:
        """Squares grow whichever way a layer answers, also by more of what it says of flat grey."""
        return True

    @classmethod
    def score(cls, activations: Activations, rows: Tensor, leaves: Sequence[Leaf]) -> Float[Tensor, " m"]:
        """Mean of squares over channels and positions."""
        first = cast(WholeLayer, leaves[0])
        maps = places(activations[first.taps[0]], activations.layers[first.layer], first.position)[rows]
        return maps.to(torch.promote_types(maps.dtype, torch.float32)).square().mean((1, 2, 3))


@dataclass(frozen=True)
class Direction(Leaf):
    """A direction in a layer's activation space; `vector` is float32 bytes, so that it can be hashed and compared."""

    layer: str
    vector: bytes
    cosine_power: float = 0.0
    position: Position | None = None
    pre: bool = False

    @property
    def taps(self) -> tuple[Tap, ...]:
        """The layer."""
        return (Tap(self.layer, self.pre),)

    @property
    def family(self) -> Hashable:
        """Directions of one layer, place and cosine power."""
        return self.layer, self.cosine_power, self.position, self.pre

    def before_rectifier(self) -> Direction:
        """The same direction among the pre-activations."""
        return replace(self, pre=True)

    @classmethod
    def score(cls, activations: Activations, rows: Tensor, leaves: Sequence[Leaf]) -> Float[Tensor, " m"]:
        """Mean over positions of <z, d> max(0.1, cos(z, d))^p."""
        directions = cast("Sequence[Direction]", leaves)
        first = directions[0]
        maps = places(activations[first.taps[0]], activations.layers[first.layer], first.position)[rows]
        maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
        vectors = [np.frombuffer(leaf.vector, np.float32) for leaf in directions]
        if wrong := {len(vector) for vector in vectors} - {maps.shape[1]}:
            raise TargetError(f"a direction in {first.layer} has {maps.shape[1]} numbers, not {min(wrong)}")
        d = torch.from_numpy(np.stack(vectors)).to(maps)[:, :, None, None]
        dot = (maps * d).sum(1)
        if first.cosine_power:
            lengths = (maps.square().sum(1) + _EPSILON).sqrt() * torch.linalg.vector_norm(d, dim=1)
            dot = dot * (dot / lengths).clamp(min=0.1) ** first.cosine_power
        return dot.mean((1, 2))


def check_channels(layer: str, channels: Sequence[int], count: int) -> None:
    """Raises TargetError for an index that would pick nothing, or count from the end."""
    for channel in channels:
        if not 0 <= channel < count:
            raise TargetError(f"channel {channel} is out of range: {layer} has {count} channels, 0 to {count - 1}")


def channel(layer: str, channel: SupportsIndex, *, reduction: Reduction = "mean") -> Objective:
    """Score each image by one channel of a layer, over all its positions.

    Activations -> scores [b], in the layer's own units (unbounded). `reduction`: "mean" (default), "sum", "norm",
    "max", or "pooled" (mean of 2x2 maxima).

    Source: Olah et al., "Feature Visualization", Distill 2017; the sum is the forum's and Boost's form.
    """
    return region(layer, channel, None, reduction=reduction)


def neuron(layer: str, channel: SupportsIndex, row: int | None = None, col: int | None = None) -> Objective:
    """Score each image by one channel at one position, the centre by default.

    Source: Erhan et al. 2009; Olah et al., "Feature Visualization", Distill 2017.
    """
    if (row is None) != (col is None):
        raise TargetError("a neuron has a row and a column, or neither (the centre)")
    return region(layer, channel, Position("centre") if row is None or col is None else Position.cell(row, col))


def region(
    layer: str, channel: SupportsIndex, position: Position | None, *, reduction: Reduction = "mean"
) -> Objective:
    """Score each image by one channel over part of its map: a row, a rectangle, a token."""
    if reduction not in REDUCTIONS:
        raise TargetError(f"no reduction {reduction!r}. There are: {', '.join(REDUCTIONS)}.")
    return Objective(((1.0, Unit(layer, int(channel), position, reduction)),))


def layer(layer: str, position: Position | None = None) -> Objective:
    """Score each image by all that a layer finds interesting: the mean square of its activations (DeepDream).

    Source: Mordvintsev et al., "Inceptionism", 2015; Lucid's `deepdream` (mean, not sum).
    """
    return Objective(((1.0, WholeLayer(layer, position)),))


def direction(
    layer: str, vector: Sequence[float] | Tensor, *, cosine_power: float = 0.0, position: Position | None = None
) -> Objective:
    """Score each image by how far its activations go along a direction, and how well they point there.

    Mean over positions of <z, d> max(0.1, cos(z, d))^p with p = `cosine_power`; 0 is the plain dot product.
    `vector` has one finite value per channel, not all zero.

    Raises:
        TargetError: the vector is not one-dimensional, not finite, or zero.

    Source: Lucid's `direction_cossim`; Carter et al., "Activation Atlas", Distill 2019 (power 4 there).
    """
    values = torch.as_tensor(vector, dtype=torch.float32).detach().cpu().numpy()
    if values.ndim != 1 or not np.isfinite(values).all() or not values.any():
        raise TargetError(f"a direction is one finite number per channel, not all zero; got shape {values.shape}")
    return Objective(((1.0, Direction(layer, values.tobytes(), float(cosine_power), position)),))
