"""The k highest or lowest values of every unit over all pictures, and where they were, while pictures stream by."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor

__all__ = ["Extremes"]


@dataclass
class Extremes:
    """The k best values of n units so far, best first, with their picture (-1: none yet) and place in the map.

    The highest where `sign` is 1, the lowest where it is -1. Of equal values, the earlier picture's comes first.
    """

    sign: int
    values: Float[Tensor, "n k"]
    pictures: Int64[Tensor, "n k"]
    places: Int32[Tensor, "n k"]

    @property
    def k(self) -> int:
        """How many of each unit are kept."""
        return self.values.shape[1]

    @classmethod
    def none_yet(cls, units: int, k: int, sign: int) -> Extremes:
        """Nothing seen so far."""
        nowhere = torch.full((units, k), -1)
        return cls(sign, torch.full((units, k), -torch.inf * sign), nowhere, nowhere.int())

    def of(self, columns: Int64[Tensor, " m"]) -> Extremes:
        """Those of some units."""
        return Extremes(self.sign, self.values[columns], self.pictures[columns], self.places[columns])

    def add(self, values: Float[Tensor, "n b"], pictures: Int64[Tensor, " b"], places: Int32[Tensor, "b n"]) -> None:
        """Take in the values of some more pictures; what is no better than the last of the k costs next to nothing."""
        last = self.values[:, -1:]
        unit, new = ((values > last) if self.sign > 0 else (values < last)).nonzero().T
        if not len(unit):
            return
        units, rows, counts = unit.unique_consecutive(return_inverse=True, return_counts=True)
        column = torch.arange(len(unit)) - (counts.cumsum(0) - counts)[rows]
        k, shape = self.k, (len(units), int(counts.max()))

        def beside(known: Tensor, found: Tensor, nothing: float | int) -> Tensor:
            """The k known of those units, and to their right what may be better, in order."""
            right = torch.full(shape, nothing, dtype=known.dtype)
            right[rows, column] = found
            return torch.cat([known[units], right], 1)

        ordered, order = beside(self.values, values[unit, new], -torch.inf * self.sign).sort(
            dim=1, descending=self.sign > 0, stable=True
        )
        self.values[units] = ordered[:, :k]
        best = order[:, :k]
        self.pictures[units] = beside(self.pictures, pictures[new], -1).gather(1, best)
        self.places[units] = beside(self.places, places[new, unit], -1).gather(1, best)
