"""What a pass keeps of every unit's map on one picture: its mean, its peak before the rectifier, and where that is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor

from pellucid.models.model import Model
from pellucid.models.watching import watch
from pellucid.survey.looks import Looks, Overwritten, Peaks

__all__ = ["Shared", "Summary", "summarise"]


@dataclass(frozen=True)
class Shared:
    """Which columns are whose: units of several layers share one where they are the same thing.

    `spans` (first column, how many) of all units, side by side: of a layer one, or several where it concatenates.
    """

    spans: tuple[tuple[int, int], ...]

    @classmethod
    def nothing(cls, units: int) -> Shared:
        """Each unit has a column of its own."""
        return cls(((0, units),))

    def columns(self) -> Int64[Tensor, " n"]:
        """The column of every unit."""
        return torch.cat([torch.arange(first, first + count) for first, count in self.spans])

    @property
    def width(self) -> int:
        """How many columns there are."""
        return max(first + count for first, count in self.spans)


@dataclass(frozen=True)
class Summary:
    """Of every unit (all layers side by side) on every picture of a batch, float32, a column for what units share.

    `means` are those over positions of what the layer returns. `peaks` are the highest values over positions, before
    the rectifier where one ends the layer, so that units that are off differ, too; a unit fires where its peak is above
    zero. `places` say where the peak is, as row * columns + column of the layer's map (the token grid's).
    """

    means: Float[Tensor, "b m"]
    peaks: Float[Tensor, "b p"]
    places: Int32[Tensor, "b p"]
    means_of: Shared
    peaks_of: Shared

    def by_unit(self) -> Summary:
        """The same, with columns for each unit."""
        means, peaks = self.means_of.columns(), self.peaks_of.columns()
        alone = Shared.nothing(len(means))
        return Summary(self.means[:, means], self.peaks[:, peaks], self.places[:, peaks], alone, alone)


def summarise(model: Model, images: Float[Tensor, "b c h w"], layers: Sequence[str]) -> Summary:
    """One forward, of which nothing is kept but what `Summary` says; `images` are in the network's range.

    Raises:
        TargetError: an unknown layer.
    """
    try:
        looks = _looked(Looks(), model, images, layers)
    except Overwritten:
        looks = _looked(Looks(waits=False), model, images, layers)
    means, means_of = _once([part for name in layers for part in looks.means[name]], lambda part: part.shape[1])
    peaks, peaks_of = _once([part for name in layers for part in looks.peaks[name]], lambda part: part.values.shape[1])
    together = Peaks.joined(peaks, 1)
    return Summary(
        torch.cat(means, 1).flatten(1).float().cpu(),
        together.values.flatten(1).float().cpu(),
        together.places.flatten(1).int().cpu(),
        means_of,
        peaks_of,
    )


def _looked(looks: Looks, model: Model, images: Float[Tensor, "b c h w"], layers: Sequence[str]) -> Looks:
    with torch.no_grad(), looks:
        watch(model, images, layers, looks.see)
    looks.finish()
    return looks


_T = TypeVar("_T")


def _once(parts: Sequence[_T], width: Callable[[_T], int]) -> tuple[list[_T], Shared]:
    """The different ones of some parts, and where among their columns each of all parts lies."""
    spans: dict[int, tuple[int, int]] = {}
    different, columns = [], 0
    for part in parts:
        if id(part) not in spans:
            spans[id(part)] = columns, width(part)
            columns += width(part)
            different.append(part)
    return different, Shared(tuple(spans[id(part)] for part in parts))
