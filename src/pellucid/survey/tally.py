"""All that a pass over a dataset remembers: of every unit a few numbers, however many pictures there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from pellucid.survey.extremes import Extremes
from pellucid.survey.histograms import Histograms
from pellucid.survey.sample import Sample
from pellucid.survey.summary import Summary

__all__ = ["Tally"]

_PARTS = ("highest", "lowest", "sample", "means", "peaks")


@dataclass
class Tally:
    """What is known of n units after some pictures; grows with n and k, not with the pictures.

    `fired` counts the pictures on which a unit's peak was above zero; `sums` adds up its means; `seen` are all.
    """

    highest: Extremes
    lowest: Extremes
    sample: Sample
    means: Histograms
    peaks: Histograms
    fired: Int64[Tensor, " n"]
    sums: Float[Tensor, " n"]
    seen: int = 0

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
        """Take in what a batch's pictures did; values that are not finite count as zero."""
        means, peaks = (torch.nan_to_num(v, 0.0, 0.0, 0.0) for v in (summary.means, summary.peaks))
        self.highest.add(peaks, pictures, summary.places)
        self.lowest.add(peaks, pictures, summary.places)
        self.sample.add(peaks, pictures, summary.places)
        self.means.add(means)
        self.peaks.add(peaks)
        self.fired += (peaks > 0).sum(0)
        self.sums += means.double().sum(0)
        self.seen += len(pictures)

    def tensors(self) -> dict[str, Tensor]:
        """All of it as named tensors, for a checkpoint."""
        found = {"fired": self.fired, "sums": self.sums, "seen": torch.tensor(self.seen)}
        for part in _PARTS:
            own = getattr(self, part)
            found |= {f"{part}.{f.name}": v for f in fields(own) if isinstance(v := getattr(own, f.name), Tensor)}
        return {name: value.contiguous() for name, value in found.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave."""
        self.fired, self.sums, self.seen = tensors["fired"], tensors["sums"], int(tensors["seen"])
        for name, value in tensors.items():
            part, _, field = name.partition(".")
            if field:
                setattr(getattr(self, part), field, value)
