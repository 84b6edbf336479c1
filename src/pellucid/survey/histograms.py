"""Histograms of many units at once, whose bins widen by themselves and end the same in whatever order values come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor

__all__ = ["BINS", "Histograms"]

BINS = 128
"""Of each unit: at least half of them lie between its lowest and highest value."""
_NEAR = 1024  # units that are counted together, so that what is computed for them stays in a cache
_FINEST = 20  # binary digits that are told apart: half of those that float32 has are noise of the network


@dataclass
class Histograms:
    """Counts of values in equal bins, for n units, each with bins of its own width.

    Bin i of a unit holds the values from (first + i) * 2^exponent to that of the next. The exponent is the smallest at
    which all values so far fit into `BINS` bins, so that it depends on the lowest and highest value only; when it
    grows, two bins become one, and nothing is lost by it.
    """

    lowest: Float[Tensor, " n"]
    highest: Float[Tensor, " n"]
    exponent: Int64[Tensor, " n"]
    first: Int64[Tensor, " n"]
    counts: Int32[Tensor, "n bins"]

    @classmethod
    def none_yet(cls, units: int) -> Histograms:
        """Nothing seen so far."""
        zeros = torch.zeros(units, dtype=torch.int64)
        infinite = torch.full((units,), torch.inf, dtype=torch.float64)
        return cls(infinite, -infinite, zeros, zeros.clone(), torch.zeros(units, BINS, dtype=torch.int32))

    def of(self, columns: Int64[Tensor, " m"]) -> Histograms:
        """Those of some units."""
        return Histograms(*(getattr(self, part.name)[columns] for part in fields(self)))

    def add(self, values: Float[Tensor, "n b"]) -> None:
        """Count some more values; they are finite."""
        if not values.shape[1]:
            return
        low = torch.minimum(self.lowest, values.amin(1).double())
        high = torch.maximum(self.highest, values.amax(1).double())
        grown = ((low < self.lowest) | (high > self.highest)).nonzero()[:, 0]
        self.lowest, self.highest = low, high
        if len(grown):
            self._widen(grown)
        for part in torch.arange(len(values)).split(_NEAR):
            own = slice(int(part[0]), int(part[-1]) + 1)
            # Exact in float32: the factor is a power of two, and bins lie within `_FINEST` digits.
            bins = (values[own] * _power_of_two(-self.exponent[own])[:, None]).floor_().long()
            bins += (part * BINS - self.first[own])[:, None]
            self.counts.view(-1).scatter_add_(0, bins.flatten(), torch.ones(bins.numel(), dtype=torch.int32))

    def quantiles(self, shares: Sequence[float]) -> Float[Tensor, "n q"]:
        """Values below which these shares of all lie; between the edges of a bin, evenly."""
        total = self.counts.sum(1, keepdim=True).double().clamp(min=1)
        below = torch.cat([torch.zeros(len(total), 1), self.counts.double().cumsum(1)], 1) / total
        wanted = torch.tensor(shares, dtype=torch.float64).expand(len(total), -1).contiguous()
        at = (torch.searchsorted(below[:, 1:].contiguous(), wanted)).clamp(max=BINS - 1)
        inside = (wanted - below.gather(1, at)) / (below.gather(1, at + 1) - below.gather(1, at)).clamp(min=1e-300)
        found = torch.ldexp(self.first[:, None] + at + inside.clamp(0, 1), self.exponent[:, None])
        return found.clamp(self.lowest[:, None], self.highest[:, None])

    def _widen(self, units: Int64[Tensor, " m"]) -> None:
        """Bins for the range that these units have now; what was counted goes into them."""
        low, high = self.lowest[units], self.highest[units]
        exponent = _exponent(low, high)
        first = torch.ldexp(low, -exponent).floor().long()
        old = self.first[units, None] + torch.arange(BINS)
        coarser = (exponent - self.exponent[units]).clamp(0, 62)[:, None]
        moved = (old >> coarser) - first[:, None]
        counts = torch.zeros(len(units), BINS, dtype=torch.int32)
        counts.scatter_add_(1, moved.clamp(0, BINS - 1), self.counts[units])
        self.exponent[units], self.first[units], self.counts[units] = exponent, first, counts


def _power_of_two(exponent: Int64[Tensor, " n"]) -> Float[Tensor, " n"]:
    return torch.ldexp(torch.ones(len(exponent)), exponent)


def _exponent(low: Float[Tensor, " m"], high: Float[Tensor, " m"]) -> Int64[Tensor, " m"]:
    """The smallest exponent at which all from low to high lie in `BINS` bins."""
    largest = torch.maximum(low.abs(), high.abs()).clamp(min=1e-30)
    finest = torch.frexp(largest).exponent.long() - _FINEST
    span = torch.frexp((high - low).clamp(min=1e-300)).exponent.long() - (BINS.bit_length() - 1)
    exponent = torch.maximum(finest, span)
    for _ in range(3):  # the span may straddle one bin more than its length says
        too_many = torch.ldexp(high, -exponent).floor() - torch.ldexp(low, -exponent).floor() >= BINS
        exponent = exponent + too_many
    return exponent
