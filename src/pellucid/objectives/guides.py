"""Objectives by a guide: a second photo, of which an image takes up what is most like its own."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from pellucid.errors import TargetError
from pellucid.models.taps import Activations, Tap
from pellucid.objectives.frozen import FrozenTensor
from pellucid.objectives.objective import Leaf, Objective
from pellucid.objectives.response import places

__all__ = ["guided"]

_MOST_PRODUCTS = 2**24  # at once: 64 MiB; two maps of 128 x 128 positions have 2**28


@dataclass(frozen=True)
class Guide(Leaf):
    """How well each position's activation goes along the guide's activation that fits it best."""

    layer: str
    guide: FrozenTensor

    @property
    def taps(self) -> tuple[Tap, ...]:
        """The layer."""
        return (Tap(self.layer),)

    @property
    def family(self) -> Hashable:
        """Guides are compared one by one: each has as many positions as it likes."""
        return self

    @classmethod
    def score(cls, activations: Activations, rows: Tensor, leaves: Sequence[Leaf]) -> Float[Tensor, " m"]:
        """Mean over positions p of max over the guide's positions q of <z_p, y_q>."""
        guide = cast("Guide", leaves[0])
        z = places(activations[guide.taps[0]], activations.layers[guide.layer])[rows]
        z = z.to(torch.promote_types(z.dtype, torch.float32)).flatten(2)
        if z.shape[1] != guide.guide.shape[0]:
            raise TargetError(f"the guide has {guide.guide.shape[0]} channels, and {guide.layer} has {z.shape[1]}")
        y = guide.guide.like(z)
        return (z * y[:, _best(z.detach(), y)].movedim(0, 1)).sum(1).mean(1)


def _best(z: Float[Tensor, "m c p"], y: Float[Tensor, "c q"]) -> Int64[Tensor, "m p"]:
    """For each position of each image the guide's position with the largest dot product, a part of them at a time."""
    most = torch.full((z.shape[0], z.shape[2]), -torch.inf, dtype=z.dtype, device=z.device)
    best = torch.zeros_like(most, dtype=torch.int64)
    count = max(1, _MOST_PRODUCTS // most.numel())
    for start in range(0, y.shape[1], count):
        value, where = torch.einsum("mcp,cq->mpq", z, y[:, start : start + count]).max(2)
        better = value > most
        most, best = torch.where(better, value, most), torch.where(better, where + start, best)
    return best


def guided(layer: str, guide: Activations) -> Objective:
    """Score each image by how much it has of what a layer sees in a guide, wherever that is.

    Mean over positions of the largest dot product with any of the guide's activations, which are
    `model.tap(photo[None], [layer])`; the guide may have another size than the image.

    Raises:
        TargetError: not one guide, or its activations are all zero or not finite.

    Source: Mordvintsev, the notebook of "Inceptionism", 2015 ("Controlling dreams").
    """
    if Tap(layer) not in guide or len(guide[layer]) != 1:
        raise TargetError(f"a guide is one photo, seen by {layer}: model.tap(photo[None], [{layer!r}])")
    y = places(guide[layer], guide.layers[layer])[0].flatten(1)
    if not y.any():
        raise TargetError(f"the guide's activations of {layer} are all zero: there is nothing to take up")
    return Objective(((1.0, Guide(layer, FrozenTensor.of(y))),))
