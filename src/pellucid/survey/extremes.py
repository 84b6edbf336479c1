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

    @classmethod
    def none_yet(cls, units: int, k: int, sign: int) -> Extremes:
        """Nothing seen so far."""
        nowhere = torch.full((units, k), -1)
        return cls(sign, torch.full((units, k), -torch.inf * sign), nowhere, nowhere.int())

    def add(self, values: Float[Tensor, "b n"], pictures: Int64[Tensor, " b"], places: Int32[Tensor, "b n"]) -> None:
        """Take in the values of some more pictures."""
        better = (values > self.values[:, -1]) if self.sign > 0 else (values < self.values[:, -1])
        units = better.any(0).nonzero()[:, 0]  # soon few of all: what is no better than the last costs nothing
        if not len(units):
            return
        k = self.values.shape[1]
        seen = torch.cat([self.values[units], values[:, units].T], 1)
        order = seen.sort(dim=1, descending=self.sign > 0, stable=True).indices[:, :k]
        new = pictures.expand(len(units), -1)
        self.values[units] = seen.gather(1, order)
        self.pictures[units] = torch.cat([self.pictures[units], new], 1).gather(1, order)
        self.places[units] = torch.cat([self.places[units], places[:, units].T], 1).gather(1, order)
