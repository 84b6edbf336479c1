"""What a pass keeps of every unit's map on one picture: its mean, its peak before the rectifier, and where that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int32
from torch import Tensor

from pellucid.models.model import Model
from pellucid.models.watching import watch
from pellucid.survey.looks import Looks, Overwritten, Peaks

__all__ = ["Summary", "summarise"]


@dataclass(frozen=True)
class Summary:
    """Of every unit (all layers side by side) on every picture of a batch, float32 [b, n].

    `means` are those over positions of what the layer returns. `peaks` are the highest values over positions, before
    the rectifier where one ends the layer, so that units that are off differ, too; a unit fires where its peak is above
    zero. `places` say where the peak is, as row * columns + column of the layer's map (the token grid's).
    """

    means: Float[Tensor, "b n"]
    peaks: Float[Tensor, "b n"]
    places: Int32[Tensor, "b n"]


def summarise(model: Model, images: Float[Tensor, "b c h w"], layers: Sequence[str]) -> Summary:
    """One forward, of which nothing is kept but what `Summary` says; `images` are in the network's range.

    Raises:
        TargetError: an unknown layer.
    """
    try:
        looks = _looked(Looks(), model, images, layers)
    except Overwritten:
        looks = _looked(Looks(waits=False), model, images, layers)
    peaks = Peaks.joined([part for name in layers for part in looks.peaks[name]], 1)
    means = torch.cat([part for name in layers for part in looks.means[name]], 1)
    return Summary(
        means.flatten(1).float().cpu(), peaks.values.flatten(1).float().cpu(), peaks.places.flatten(1).int().cpu()
    )


def _looked(looks: Looks, model: Model, images: Float[Tensor, "b c h w"], layers: Sequence[str]) -> Looks:
    with torch.no_grad(), looks:
        watch(model, images, layers, looks.see)
    looks.finish()
    return looks
