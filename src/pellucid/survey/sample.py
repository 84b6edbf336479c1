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

    def add(self, values: Float[Tensor, "b n"], pictures: Int64[Tensor, " b"], places: Int32[Tensor, "b n"]) -> None:
        """Take in some more pictures: those that the draw falls on."""
        keys = Draws.from_keys([f"survey {self.seed} {picture}" for picture in pictures.tolist()]).keys
        is_full = len(self.keys) >= SAMPLE
        drawn = (keys < self.keys[-1]).nonzero()[:, 0] if is_full else torch.arange(len(keys))
        if not len(drawn):
            return
        all_keys = torch.cat([self.keys, keys[drawn]])
        order = all_keys.sort(dim=0, stable=True).indices[:SAMPLE]
        self.keys = all_keys[order]
        self.pictures = torch.cat([self.pictures, pictures[drawn]])[order]
        self.values = torch.cat([self.values, values[drawn]])[order]
        self.places = torch.cat([self.places, places[drawn]])[order]

    def between(self, low: float, high: float, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Of every unit, up to k drawn pictures whose peak lies between two quantiles of the drawn: evenly over them.

        Values, pictures and places, each [n, k'], highest first.
        """
        count = len(self.pictures)
        first, last = int(low * count), max(int(low * count) + 1, int(high * count))
        order = self.values.sort(dim=0, stable=True).indices[first : min(last, count)]
        evenly = torch.linspace(len(order) - 1, 0, min(k, len(order))).round().long()
        chosen = order[evenly]
        return self.values.gather(0, chosen).T, self.pictures[chosen].T, self.places.gather(0, chosen).T
