"""All that a pass over a dataset remembers: of every unit a few numbers, however many pictures there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from pellucid.survey.extremes import Extremes
from pellucid.survey.histograms import Histograms
from pellucid.survey.sample import Sample
from pellucid.survey.summary import Shared, Summary

__all__ = ["Tally"]

_TOGETHER = 128  # pictures: of every unit, what is counted is fetched from memory once for all of them
_SHARED = ("means_of", "peaks_of")
_PARTS = ("highest", "lowest", "sample", "means", "peaks")


@dataclass
class Tally:
    """What is known of units after some pictures; grows with units and k, not with the pictures.

    `fired` counts the pictures on which a unit's peak was above zero; `sums` adds up its means; `seen` are all.
    What was added last counts only when it is settled, and units of several layers may share a column (`means_of`,
    `peaks_of`): call `by_unit` before any of these is read.
    """

    highest: Extremes
    lowest: Extremes
    sample: Sample
    means: Histograms
    peaks: Histograms
    fired: Int64[Tensor, " p"]
    sums: Float[Tensor, " m"]
    means_of: Shared
    peaks_of: Shared
    seen: int = 0
    _waiting: list[tuple[Summary, Tensor]] = field(default_factory=list)

    @classmethod
    def none_yet(cls, units: int, k: int, seed: int) -> Tally:
        """Before the first picture, when it is not known yet what units share."""
        return cls._for(Shared.nothing(units), Shared.nothing(units), k, seed)

    @classmethod
    def _for(cls, means_of: Shared, peaks_of: Shared, k: int, seed: int) -> Tally:
        return cls(
            highest=Extremes.none_yet(peaks_of.width, k, 1),
            lowest=Extremes.none_yet(peaks_of.width, k, -1),
            sample=Sample.none_yet(peaks_of.width, seed),
            means=Histograms.none_yet(means_of.width),
            peaks=Histograms.none_yet(peaks_of.width),
            fired=torch.zeros(peaks_of.width, dtype=torch.int64),
            sums=torch.zeros(means_of.width, dtype=torch.float64),
            means_of=means_of,
            peaks_of=peaks_of,
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
        summaries, pictures = zip(*self._waiting, strict=True)
        self._waiting = []
        self._count(self._alike(summaries), torch.cat(pictures))

    def _alike(self, summaries: Sequence[Summary]) -> Sequence[Summary]:
        """The summaries with the columns that this tally has, or both with columns for each unit.

        The first decides; one that differs from it is of a network that is wired anew from picture to picture.
        """
        first = summaries[0]
        if not self.seen:
            vars(self).update(vars(Tally._for(first.means_of, first.peaks_of, self.highest.k, self.sample.seed)))
        if all((one.means_of, one.peaks_of) == (self.means_of, self.peaks_of) for one in summaries):
            return summaries
        vars(self).update(vars(self._spread()))
        return [one.by_unit() for one in summaries]

    def _count(self, summaries: Sequence[Summary], pictures: Int64[Tensor, " b"]) -> None:
        means, peaks = (
            torch.cat([getattr(one, name) for one in summaries]).nan_to_num_(0.0, 0.0, 0.0)
            for name in ("means", "peaks")
        )
        places = torch.cat([one.places for one in summaries])
        self.sample.add(peaks, pictures, places)
        self.fired += (peaks > 0).sum(0)
        for row in means:  # one after another, so that the sum is the same however they came together
            self.sums += row
        by_column = peaks.T.contiguous()
        self.highest.add(by_column, pictures, places)
        self.lowest.add(by_column, pictures, places)
        self.peaks.add(by_column)
        self.means.add(means.T.contiguous())
        self.seen += len(pictures)

    def by_unit(self) -> Tally:
        """All that was added, with numbers for each unit."""
        self.settle()
        return self._spread()

    def _spread(self) -> Tally:
        means, peaks = self.means_of.columns(), self.peaks_of.columns()
        alone = Shared.nothing(len(means))
        return Tally(
            highest=self.highest.of(peaks),
            lowest=self.lowest.of(peaks),
            sample=self.sample.of(peaks),
            means=self.means.of(means),
            peaks=self.peaks.of(peaks),
            fired=self.fired[peaks],
            sums=self.sums[means],
            means_of=alone,
            peaks_of=alone,
            seen=self.seen,
        )

    def tensors(self) -> dict[str, Tensor]:
        """All of it as named tensors, for a checkpoint."""
        self.settle()
        found = {"fired": self.fired, "sums": self.sums, "seen": torch.tensor(self.seen)}
        found |= {name: torch.tensor(getattr(self, name).spans) for name in _SHARED}
        for part in _PARTS:
            own = getattr(self, part)
            found |= {f"{part}.{f.name}": v for f in fields(own) if isinstance(v := getattr(own, f.name), Tensor)}
        return {name: value.contiguous() for name, value in found.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave."""
        self.fired, self.sums, self.seen = tensors["fired"], tensors["sums"], int(tensors["seen"])
        for name in _SHARED:
            setattr(self, name, Shared(tuple((int(first), int(count)) for first, count in tensors[name])))
        for name, value in tensors.items():
            part, _, own = name.partition(".")
            if own:
                setattr(getattr(self, part), own, value)
