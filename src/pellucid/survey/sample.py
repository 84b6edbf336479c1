"""A random draw of the pictures of a stream, always the same, of which every unit's peaks are remembered."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor

from pellucid.draws import Draws

__all__ = ["SAMPLE", "Sample"]

SAMPLE = 256
"""Pictures drawn: some 25 of them lie between the quantiles 0.5 and 0.6 of a unit."""


@dataclass
class Sample:
    """Up to `SAMPLE` pictures, drawn evenly from all seen so far, and the peaks of n units on them.

    Every picture has a random key of its own, from seed and number; those with the smallest keys are kept, so that the
    draw depends neither on the order nor on where a pass was cut.
    """

    seed: int
    keys: Int64[Tensor, " m"]
    pictures: Int64[Tensor, " m"]
    values: Float[Tensor, "m n"]
    places: Int32[Tensor, "m n"]

    @classmethod
    def none_yet(cls, units: int, seed: int) -> Sample:
        """Nothing drawn so far."""
        nothing = torch.zeros(0, dtype=torch.int64)
        return cls(seed, nothing, nothing, torch.zeros(0, units), torch.zeros(0, units, dtype=torch.int32))

    def of(self, columns: Int64[Tensor, " k"]) -> Sample:
        """The same draw of some units."""
        return Sample(self.seed, self.keys, self.pictures, self.values[:, columns], self.places[:, columns])

    def add(self, values: Float[Tensor, "b n"], pictures: Int64[Tensor, " b"], places: Int32[Tensor, "b n"]) -> None:
        """Take in some more pictures: those that the draw falls on."""
        keys = Draws.from_keys([f"survey {self.seed} {picture}" for picture in pictures.tolist()]).keys
        room = SAMPLE - len(self.keys)
        if room > 0:
            self.keys = torch.cat([self.keys, keys[:room]])
            self.pictures = torch.cat([self.pictures, pictures[:room]])
            self.values = torch.cat([self.values, values[:room]])
            self.places = torch.cat([self.places, places[:room]])
        for new in range(max(0, room), len(keys)):
            largest = int(self.keys.argmax())
            if keys[new] < self.keys[largest]:
                self.keys[largest], self.pictures[largest] = keys[new], pictures[new]
                self.values[largest], self.places[largest] = values[new], places[new]

    def between(self, low: float, high: float, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Of every unit, up to k drawn pictures whose peak lies between two quantiles of the drawn: evenly over them.

        Values, pictures and places, each [n, k'], highest first.
        """
        by_key = self.keys.argsort(stable=True)  # of equal values, the one that was drawn first
        pictures, values, places = self.pictures[by_key], self.values[by_key], self.places[by_key]
        count = len(pictures)
        first, last = int(low * count), max(int(low * count) + 1, int(high * count))
        order = values.sort(dim=0, stable=True).indices[first : min(last, count)]
        evenly = torch.linspace(len(order) - 1, 0, min(k, len(order))).round().long()
        chosen = order[evenly]
        return values.gather(0, chosen).T, pictures[chosen].T, places.gather(0, chosen).T
