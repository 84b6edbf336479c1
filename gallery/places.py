"""Item 3, first part: single neurons at their places, and the raster from the first neuron of a map to all.

Source: reference document 002, "Feature Visualization I: Feature Maps": a neuron changes pixels around its own place,
but one more neuron in a raster, it is said there, the whole picture; why is not clear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

import pellucid as pl
from gallery.exhibit import Claim, Exhibit, Picture, Table
from gallery.hall import SURE, Hall
from gallery.measures import correlation
from gallery.plots import chart, sheet
from pellucid.objectives.masks import raster
from pellucid.objectives.objective import Objective
from pellucid.objectives.units import neuron

__all__ = ["ITEMS"]

_CHANNEL = 24  # rings and cells in the embedded network: large enough to be seen changing
_STEPS = 128
_TIMES = 2  # the side of the pictures by the network's: fields of view are to be smaller than the picture
_PAIRS = (0.08, 0.2, 0.4, 0.6, 0.95)  # of all neurons, before one more is added
_TOUCH = 1 / 255  # the change of a pixel start that stands for none
_RECIPE = replace(SURE, image="pixels", transforms="none")
_LEFT_ALONE, _REACHES = 0.01, 0.1  # shares of a change


@dataclass(frozen=True)
class Desk:
    """One channel and the noise that all its pictures start from, [c, side, side] in [0, 1]."""

    hall: Hall
    layer: str
    channel: int
    noise: Float[Tensor, "c h w"]

    @property
    def rows_cols(self) -> tuple[int, int]:
        """The channel's map."""
        return self.hall.model.layer(self.layer, _size(self.noise)).map_size

    def draw(self, objectives: Sequence[Objective], start: Tensor | None = None) -> Float[Tensor, "b c h w"]:
        """Pictures that differ by their objectives only."""
        begin = self.noise if start is None else start
        steps, size = self.hall.steps(_STEPS), _size(self.noise)
        return pl.render(self.hall.model, objectives, recipe=_RECIPE, start=begin, steps=steps, size=size).pictures

    def field(self, row: int, col: int) -> Bool[Tensor, "h w"]:
        """The pixels that a neuron sees: the box around those that it has a gradient at, from a few noise pictures."""
        low, high = self.hall.model.value_range
        draws = torch.rand(4, *self.noise.shape, generator=torch.Generator().manual_seed(1))
        pixels = (low + (high - low) * draws).requires_grad_()
        maps = self.hall.model.tap(pixels, [self.layer])[self.layer]
        (gradient,) = torch.autograd.grad(maps[:, :, row, col].sum(), pixels)
        seen = (gradient != 0).flatten(0, 1).any(0)
        box = torch.zeros_like(seen)
        (top, bottom), (left, right) = (
            (int(line.nonzero().min()), int(line.nonzero().max()) + 1) for line in (seen.any(1), seen.any(0))
        )
        box[top:bottom, left:right] = True
        return box


def _size(image: Tensor) -> tuple[int, int]:
    return image.shape[-2], image.shape[-1]


def _desk(hall: Hall) -> Desk:
    side = _TIMES * min(hall.model.size)
    noise = 0.5 + 0.02 * torch.randn(hall.model.channels, side, side, generator=torch.Generator().manual_seed(0))
    layer = hall.stage(0.6)
    return Desk(hall, layer, _CHANNEL % hall.model.layer(layer).units, noise)


def places(hall: Hall) -> Exhibit:
    """Single neurons of one channel, each at its place in the picture."""
    desk = _desk(hall)
    rows, cols = desk.rows_cols
    cells = [(row, col) for row in _spread(rows) for col in _spread(cols)]
    drawn = desk.draw([neuron(desk.layer, desk.channel, row, col) for row, col in cells])
    change = (drawn - desk.noise).square().sum(1)
    shares = [float(change[i][desk.field(*cell)].sum() / change[i].sum()) for i, cell in enumerate(cells)]
    centres = [_centre(one) for one in change]
    wanted = torch.tensor([[(row + 0.5) / rows, (col + 0.5) / cols] for row, col in cells])
    found = torch.tensor(centres)
    along = correlation(wanted.T, found.T)
    half = [_half_power(one) for one in change]
    whole = float(desk.field(rows // 2, cols // 2).float().mean())
    claims = [
        Claim(
            "A neuron's picture changes within the neuron's field of view and nowhere else.",
            f"at least {1 - _LEFT_ALONE:.0%} of every picture's squared change lies in its neuron's field",
            f"the least: {min(shares):.2%}; the middle neuron's field is {whole:.0%} of the picture",
            min(shares) >= 1 - _LEFT_ALONE,
        ),
        Claim(
            "Row and column of a neuron say where in the picture it draws.",
            "the centre of the change follows row and column with correlations above 0.9",
            f"{float(along[0]):.3f} for rows, {float(along[1]):.3f} for columns",
            float(along.min()) > 0.9,
        ),
        Claim(
            "It draws in a small part of what it sees.",
            "half of the squared change lies in less than a quarter of the picture",
            f"half of it lies in {min(half):.1%} to {max(half):.1%} of the pixels",
            max(half) < 0.25,
        ),
    ]
    table = [
        (row, col, *centre, share, area)
        for (row, col), centre, share, area in zip(cells, centres, shares, half, strict=True)
    ]
    head = ("row", "column", "centre of change, down", "centre, across", "share in field", "area of half the change")
    shots = sheet(list(drawn), [f"@{row},{col}" for row, col in cells], len(_spread(cols)))
    return Exhibit(
        "Single neurons, each at its place",
        "Feature Visualization I (S2)",
        f"Channel {desk.channel} of `{desk.layer}`, neuron by neuron: pixels of one common noise, no transforms, "
        f"{desk.hall.steps(_STEPS)} steps at {_size(drawn)[0]} px.",
        claims,
        [
            Picture(
                "neurons",
                shots,
                "Sixteen neurons of one channel, each at its row and column",
                "An eye-like ring in a square around each neuron's place, cut off at the picture's edge, in untouched "
                "noise. The squares end sharply where the field of view does, and their rims are filled with "
                "checkered noise.",
            )
        ],
        [Table("neurons", head, table)],
    )


def growing(hall: Hall) -> Exhibit:
    """The raster from a channel's first neuron to all, and what one more neuron does to the picture."""
    desk = _desk(hall)
    rows, cols = desk.rows_cols
    total = rows * cols
    shown = sorted({1, 2, cols // 2, cols, 2 * cols, total // 4, total // 2, total})
    counts = sorted({max(1, round(share * total)) for share in _PAIRS})
    ladder = desk.draw([raster(desk.layer, desk.channel, count) for count in shown])
    before = desk.draw([raster(desk.layer, desk.channel, count) for count in counts])
    after = desk.draw([raster(desk.layer, desk.channel, count + 1) for count in counts])
    alone = desk.draw([neuron(desk.layer, desk.channel, *divmod(count, cols)) for count in counts])
    fields = [desk.field(*divmod(count, cols)) for count in counts]
    outside = [_outside(a, b, field) for a, b, field in zip(before, after, fields, strict=True)]
    single = [_outside(desk.noise, one, field) for one, field in zip(alone, fields, strict=True)]
    touched = torch.stack(
        [
            desk.draw([raster(desk.layer, desk.channel, n)], desk.noise + _TOUCH * field)[0]
            for n, field in zip(counts, fields, strict=True)
        ]
    )
    chance = [_outside(a, b, field) for a, b, field in zip(before, touched, fields, strict=True)]
    sizes = [float((b - a).square().mean().sqrt()) for a, b in zip(before, after, strict=True)]
    jolts = [float((b - a).square().mean().sqrt()) for a, b in zip(before, touched, strict=True)]
    claims = [
        Claim(
            "One more neuron in the raster changes pixels that it does not see.",
            f"on average over the rasters, more than {_REACHES:.0%} of the squared change lies outside the new "
            f"neuron's field, where alone it changes less than {_LEFT_ALONE:.0%}",
            f"{_mean(outside):.1%} outside on average, from {min(outside):.1%} to {max(outside):.1%}; "
            f"alone at most {max(single):.2%}",
            _mean(outside) > _REACHES and max(single) < _LEFT_ALONE,
        ),
        Claim(
            "That is no bond between neurons: any small change spreads so.",
            "with the same neurons as before, but one 8-bit level more noise in that field at the start, at least half "
            "as large a share of the change lies outside",
            f"{_mean(chance):.1%} outside on average; root mean square of the change {_mean(jolts):.3f}, "
            f"and {_mean(sizes):.3f} by the neuron",
            _mean(chance) >= 0.5 * _mean(outside),
        ),
    ]
    rows_out = list(zip(counts, outside, single, chance, sizes, jolts, strict=True))
    head = (
        "neurons before one more",
        "share of change outside its field",
        "the same, alone",
        "the same, after a touch of the start",
        "root mean square of the change",
        "the same, after a touch",
    )
    shots = sheet(list(ladder), [f"first {count}" for count in shown], 4)
    with chart() as drawn:
        axes = drawn.axes[0]
        for values, label in (
            (outside, "one more neuron"),
            (chance, "a touch of its noise"),
            (single, "that neuron alone"),
        ):
            axes.plot(counts, [100 * value for value in values], "o-", label=label)
        axes.set(
            xlabel="neurons in the raster", ylabel="squared change outside\nthe neuron's field (%)", ylim=(-3, 103)
        )
        axes.legend()
    return Exhibit(
        "The raster, from the first neuron to all",
        "Feature Visualization I (S2)",
        f"The first n neurons of channel {desk.channel} of `{desk.layer}` ({rows} x {cols}), read like a page, all "
        f"from one common noise; {_size(ladder)[0]} px, {desk.hall.steps(_STEPS)} steps.",
        claims,
        [
            Picture(
                "raster",
                shots,
                "The first neurons of a map, from one to all",
                "Rings fill the picture row by row, and the grey below waits for its neurons. Each picture's last row "
                "is smeared and checkered, and rings of upper rows lie elsewhere in the next picture, though nothing "
                "was asked of them anew.",
            ),
            Picture(
                "outside",
                drawn.image,
                "How much of the change lies where the new neuron sees nothing",
                "From the second row on, part of the change lies where the new neuron sees nothing, and more of it "
                "after a mere touch of the noise; the neuron alone stays at 0. Five rasters make a rough curve.",
            ),
        ],
        [Table("pairs", head, rows_out)],
    )


def _spread(count: int) -> list[int]:
    """Four positions from the first to the last."""
    return sorted({round(share * (count - 1)) for share in (0, 1 / 3, 2 / 3, 1)})


def _centre(change: Float[Tensor, "h w"]) -> tuple[float, float]:
    """The middle of a change, from 0 to 1 down and across."""
    height, width = change.shape
    down = (change.sum(1) * (torch.arange(height) + 0.5)).sum() / change.sum() / height
    across = (change.sum(0) * (torch.arange(width) + 0.5)).sum() / change.sum() / width
    return float(down), float(across)


def _half_power(change: Float[Tensor, "h w"]) -> float:
    """The share of pixels, those that change most, in which half of the change lies."""
    ordered = change.flatten().sort(descending=True).values.cumsum(0)
    return float((ordered < ordered[-1] / 2).sum() + 1) / ordered.numel()


def _outside(first: Float[Tensor, "c h w"], second: Float[Tensor, "c h w"], field: Bool[Tensor, "h w"]) -> float:
    """The share of the squared difference of two pictures that lies outside a field."""
    change = (second - first).square().sum(0)
    return float(change[~field].sum() / change.sum().clamp(min=1e-20))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


ITEMS = {"places": places, "raster": growing}
