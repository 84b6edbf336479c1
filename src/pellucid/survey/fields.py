"""Receptive fields, found by experiment: which rows and columns of the picture a position of a layer can see at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from pellucid.models.layers import Layer, normalise_axes
from pellucid.models.model import Model
from pellucid.models.value_range import in_range
from pellucid.models.watching import watch
from pellucid.objectives.response import places

__all__ = ["Box", "Fields", "receptive_fields"]

_MOST_STRIPS = 112  # changed one after another, along each axis: of larger pictures several px at once
_BATCH = 16
_NOTHING = 1e-5  # of a layer's largest value: what rounding alone may change

Box = tuple[int, int, int, int]
"""Top, left, bottom, right in px of the network's input, half-open as in Python."""


@dataclass(frozen=True)
class Fields:
    """What each row and each column of a layer's map sees: (first px, px behind the last)."""

    rows: tuple[tuple[int, int], ...]
    cols: tuple[tuple[int, int], ...]

    def box(self, place: int) -> Box:
        """The part of the picture that a position (row * columns + column) sees."""
        (top, bottom), (left, right) = self.rows[place // len(self.cols)], self.cols[place % len(self.cols)]
        return top, left, bottom, right


def receptive_fields(model: Model, layers: Sequence[str]) -> dict[str, Fields]:
    """The receptive fields of some layers, all by one series of forwards.

    Strips of a noise picture are changed one after another, and what changes in a layer saw the strip. So it holds for
    any network, padding and strides included; where positions mix (attention, norms over positions) it is the whole
    picture. Strips are 1 px wide for pictures up to 112 px, and for larger ones as wide as makes 112 of them, so that
    a field may come out larger by as much.

    Raises:
        TargetError: an unknown layer.
    """
    known = {name: model.layer(name) for name in layers}
    height, width = model.size
    rows = _along(model, known, height, is_rows=True)
    cols = _along(model, known, width, is_rows=False)
    return {name: Fields(_spans(rows[name], height), _spans(cols[name], width)) for name in layers}


def _along(model: Model, layers: dict[str, Layer], length: int, *, is_rows: bool) -> dict[str, Bool[Tensor, "s _"]]:
    """For each layer, whether strip s of the picture changes anything in row (or column) r of its map."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(2, model.channels, *model.size, generator=generator)
    before, after = in_range(noise.to(model.device), model.value_range)
    step = -(-length // _MOST_STRIPS)
    starts = list(range(0, length, step))
    base: dict[str, Tensor] = {}
    found: dict[str, list[Tensor]] = {name: [] for name in layers}

    def see(layer: Layer, value: Tensor) -> None:
        shown = places(normalise_axes(value, layer.axes), layer).float()
        own = base.setdefault(layer.name, shown[:1].clone())
        changed = (shown - own).abs() > _NOTHING * own.abs().max()
        found[layer.name].append(changed.any(1).any(2 if is_rows else 1))

    with torch.no_grad():
        for first in range(0, len(starts), _BATCH):
            some = starts[first : first + _BATCH]
            images = before.repeat(1 + len(some), 1, 1, 1)  # the first stays as it is, in every batch
            for image, start in zip(images[1:], some, strict=True):
                strip = (slice(None), slice(start, start + step)) if is_rows else (..., slice(start, start + step))
                image[strip] = after[strip]
            base.clear()
            watch(model, images, layers, see)
    return {name: torch.cat([one[1:] for one in parts]) for name, parts in found.items()}


def _spans(changes: Tensor, length: int) -> tuple[tuple[int, int], ...]:
    """For each row of a map, from the first px that it sees to behind the last; all of them where it sees none."""
    step = -(-length // len(changes)) if len(changes) else length
    spans = []
    for seen in changes.T:
        strips = seen.nonzero()[:, 0].tolist()
        spans.append((strips[0] * step, min(length, (strips[-1] + 1) * step)) if strips else (0, length))
    return tuple(spans)
