"""All that a pass over a dataset remembers: of every unit a few numbers, however many pictures there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from pellucid.survey.extremes import Extremes
from pellucid.survey.histograms import Histograms
from pellucid.survey.sample import Sample
from pellucid.survey.summary import Summary

__all__ = ["Tally"]

_TOGETHER = 128  # pictures: of every unit, what is counted is fetched from memory once for all of them
_PARTS = ("highest", "lowest", "sample", "means", "peaks")


@dataclass
class Tally:
    """What is known of n units after some pictures; grows with n and k, not with the pictures.

    `fired` counts the pictures on which a unit's peak was above zero; `sums` adds up its means; `seen` are all.
    What was added last counts only when it is settled: call `settle` before any of these is read.
    """

    highest: Extremes
    lowest: Extremes
    sample: Sample
    means: Histograms
    peaks: Histograms
    fired: Int64[Tensor, " n"]
    sums: Float[Tensor, " n"]
    seen: int = 0
    _waiting: list[tuple[Summary, Tensor]] = field(default_factory=list)

    @classmethod
    def none_yet(cls, units: int, k: int, seed: int) -> Tally:
        """Before the first picture."""
        return cls(
            highest=Extremes.none_yet(units, k, 1),
            lowest=Extremes.none_yet(units, k, -1),
            sample=Sample.none_yet(units, seed),
            means=Histograms.none_yet(units),
            peaks=Histograms.none_yet(units),
            fired=torch.zeros(units, dtype=torch.int64),
            sums=torch.zeros(units, dtype=torch.float64),
        )

    def add(self, summary: Summary, pictures: Int64[Tensor, " b"]) -> None:
        """Take in what a batch's pictures did: at once or, with the batches that follow, when `settle` does."""
        self._waiting.append((summary, pictures))
        if sum(len(some) for _, some in self._waiting) >= _TOGETHER:
            self.settle()

    def settle(self) -> None:
        """Count what waits; values that are not finite count as zero. It does not matter how often this happens."""
        if not self._waiting:
            return
        summaries, pictures = (list(some) for some in zip(*self._waiting, strict=True))
        self._waiting = []
        numbers = torch.cat(pictures)
        means, peaks = (
            torch.cat([getattr(one, name) for one in summaries]).nan_to_num_(0.0, 0.0, 0.0)
            for name in ("means", "peaks")
        )
        places = torch.cat([one.places for one in summaries])
        self.sample.add(peaks, numbers, places)
        self.fired += (peaks > 0).sum(0)
        for row in means:  # one after another, so that the sum is the same however they came together
            self.sums += row
        by_unit = peaks.T.contiguous()
        self.highest.add(by_unit, numbers, places)
        self.lowest.add(by_unit, numbers, places)
        self.peaks.add(by_unit)
        self.means.add(means.T.contiguous())
        self.seen += len(numbers)

    def tensors(self) -> dict[str, Tensor]:
        """All of it as named tensors, for a checkpoint."""
        self.settle()
        found = {"fired": self.fired, "sums": self.sums, "seen": torch.tensor(self.seen)}
        for part in _PARTS:
            own = getattr(self, part)
            found |= {f"{part}.{f.name}": v for f in fields(own) if isinstance(v := getattr(own, f.name), Tensor)}
        return {name: value.contiguous() for name, value in found.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave."""
        self.fired, self.sums, self.seen = tensors["fired"], tensors["sums"], int(tensors["seen"])
        for name, value in tensors.items():
            part, _, own = name.partition(".")
            if own:
                setattr(getattr(self, part), own, value)
