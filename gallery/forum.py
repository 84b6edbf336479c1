"""Item 1: does a first-layer filter's picture ever converge?

Source: reference document 000, a question in a forum and its answers. The mean of a first layer's channel is linear in
the pixels; without bounds its score rises for ever.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

import pellucid as pl
from gallery.exhibit import Claim, Exhibit, Picture, Table
from gallery.hall import SURE, Hall
from gallery.measures import means, pixel_gradient
from gallery.plots import chart
from pellucid.images.sheets import contact_sheet

__all__ = ["ITEMS"]

_PLAIN = replace(SURE, image="pixels", color="none", transforms="none")
_STEPS = (4, 16, 64, 128, 256, 512, 1024, 2048)
_BOUNDS = ("clip", "sigmoid", "unbounded")
_UNITS = 16  # filters in the numbers, the first of the layer
_SHOWN = 8  # of these in the pictures
_CORNER_PX = 12  # enough to see the border and the phases of the stride
_STILL = 1 / 255  # a picture that changes less than one 8-bit level has stopped changing


@dataclass(frozen=True)
class Climb:
    """All filters of the layer by one bound: pictures [steps, n, c, h, w] and scores [steps, n] at `steps`."""

    steps: tuple[int, ...]
    pictures: Float[Tensor, "s n c h w"]
    scores: Float[Tensor, "s n"]

    @property
    def shown(self) -> Float[Tensor, "s n c h w"]:
        """Pictures for the eye: those without bounds are scaled by the largest distance of a pixel from mid-grey."""
        away = self.pictures - 0.5
        largest = away.abs().amax((2, 3, 4), keepdim=True)
        return 0.5 + away / (2 * largest).clamp(min=1)

    def signs(self, coefficients: Float[Tensor, "n c h w"]) -> Float[Tensor, " s"]:
        """The share of pixel values, of those with a coefficient, on its sign's side of mid-grey."""
        counts = coefficients != 0
        right = ((self.pictures - 0.5).sign() == coefficients.sign()) & counts
        return right.sum((1, 2, 3, 4)) / counts.sum()

    @property
    def changes(self) -> Float[Tensor, " s"]:
        """The mean absolute change of a shown pixel since the step before; of the first, from mid-grey."""
        shown = torch.cat([torch.full_like(self.shown[:1], 0.5), self.shown])
        return shown.diff(dim=0).abs().mean((1, 2, 3, 4))


def _climb(hall: Hall, layer: str, units: range, squash: str) -> Climb:
    steps = tuple(sorted({hall.steps(count) for count in _STEPS}))
    low, high = hall.model.value_range
    targets = [f"{layer}:{unit}" for unit in units]
    got = pl.render(hall.model, targets, recipe=_PLAIN, squash=squash, steps=steps[-1], snapshots=steps)
    images = [got.snapshots[step] for step in steps]
    scores = torch.stack([means(hall.model, one, layer)[:, : len(units)].diagonal() for one in images])
    return Climb(steps, (torch.stack(images) - low) / (high - low), scores)


def forum(hall: Hall) -> Exhibit:
    """A first-layer filter: what bounds do to its picture, and the closed form of channel and neuron."""
    layer = hall.first_convolution
    low, high = hall.model.value_range
    shape = (hall.model.channels, *hall.model.size)
    noise = low + (high - low) * torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    units = range(min(_UNITS, layer.units))
    grey = torch.full((1, *shape), (low + high) / 2)
    coefficients = torch.cat([pixel_gradient(hall.model, grey, layer.name, unit) for unit in units])
    linear = _relative_change(
        coefficients, [torch.cat([_gradient(hall, one, layer.name, u) for u in units]) for one in noise]
    )
    deep = hall.stage(0.6)
    at_noise = [torch.cat([_gradient(hall, one, deep, unit) for unit in range(_SHOWN)]) for one in noise]
    bent = _relative_change(at_noise[0], at_noise[1:])
    climbs = {squash: _climb(hall, layer.name, units, squash) for squash in _BOUNDS}
    free = climbs["unbounded"]
    straight = _straightness(free)
    agree = {squash: climb.signs(coefficients) for squash, climb in climbs.items()}
    optimum = _optimum(hall, layer.name, coefficients)
    reached = {squash: float((climbs[squash].scores[-1] / optimum).mean()) for squash in ("clip", "sigmoid")}
    claims = [
        Claim(
            "Every pixel of a first-layer filter's picture has one coefficient, whatever the picture.",
            f"gradients of {layer.name}'s channel means at two noise pictures differ by less than 0.1 %",
            f"they differ by {linear:.2g} of their length; those of {deep}, behind nonlinearities, by {bent:.2f}",
            linear < 1e-3,
        ),
        Claim(
            "Pixels go to the bound on the side of their coefficient's sign.",
            "with bounds, at least 99 % of pixel values lie on that side after all steps",
            f"{agree['clip'][-1]:.2%} by clipping, {agree['sigmoid'][-1]:.2%} by a sigmoid",
            min(float(agree["clip"][-1]), float(agree["sigmoid"][-1])) >= 0.99,
        ),
        Claim(
            "Then more steps do not change the picture.",
            f"the last doubling of the steps moves a pixel by less than one 8-bit level ({_STILL:.4f})",
            f"clip {climbs['clip'].changes[-1]:.2g}, sigmoid {climbs['sigmoid'].changes[-1]:.2g}",
            max(float(climbs[squash].changes[-1]) for squash in ("clip", "sigmoid")) < _STILL,
        ),
        Claim(
            "Without bounds the score grows linearly, for ever.",
            "a straight line over the steps explains more than 99.9 % of the variance of every filter's score",
            f"{straight:.4%} of the least straight one; from step {free.steps[0]} to {free.steps[-1]} the mean score "
            f"goes from {free.scores[0].mean():.3g} to {free.scores[-1].mean():.3g}",
            straight > 0.999,
        ),
        Claim(
            "Even so the picture, scaled to be seen, stays the same.",
            f"the last doubling of the steps moves a pixel of it by less than one 8-bit level ({_STILL:.4f})",
            f"{free.changes[-1]:.2g}",
            float(free.changes[-1]) < _STILL,
        ),
        Claim(
            "The ascent finds the closed form's optimum.",
            "with clipped pixels, at least 99.9 % of the score that the closed form reaches",
            f"{reached['clip']:.3%} by clipping, {reached['sigmoid']:.3%} by a sigmoid",
            reached["clip"] >= 0.999,
        ),
    ]
    rows = [
        (squash, step, float(scores.mean()), float(sign), float(change))
        for squash, climb in climbs.items()
        for step, scores, sign, change in zip(climb.steps, climb.scores, agree[squash], climb.changes, strict=True)
    ]
    head = (
        "bound",
        "steps",
        "mean score over filters",
        "share of pixels on their coefficient's side",
        "change per pixel",
    )
    return Exhibit(
        "A first-layer filter and its closed form",
        "the forum question (S0)",
        f"The first {len(units)} filters of `{layer.name}` of `{hall.model.name}`, each as pixels without transforms, "
        "by Adam at the same rate; beside them what the sum of shifted filters, the gradient, says in closed form.",
        claims,
        [
            Picture(
                "steps",
                _strip(climbs),
                f"Filters 0 to 3 of {layer.name}, bounded and not, after more and more steps",
                "Flat colours and stripes one pixel wide, with and without bounds the same from 16 steps on (a sigmoid "
                "takes longer). They tell the colour that a filter sums up, and not its shape; those without bounds "
                "are scaled, each by its own largest value.",
            ),
            Picture(
                "closed-form",
                _closed_forms(hall, layer.name, coefficients),
                f"The closed form of {_SHOWN} channels, {_CORNER_PX} px of its corner, and that of a neuron (below)",
                "A channel's optimum is a flat colour or a pattern that repeats every two pixels, as the stride does, "
                "with a border where filters hang over the edge; a neuron's is the filter itself: a soft blob, or one "
                "dark pixel beside lighter ones. At 5 x 5 px that is all there is to see of it.",
            ),
            Picture(
                "curves",
                _curves(climbs, float(optimum.mean())),
                "Score and change over the steps",
                "Without bounds the score climbs along a straight line; with them it ends where the closed form lies. "
                "The clipped picture changes by exactly 0 after step 16, which a logarithmic axis cannot show.",
            ),
        ],
        [Table("steps", head, rows)],
    )


def _gradient(hall: Hall, image: Float[Tensor, "c h w"], layer: str, unit: int) -> Float[Tensor, "1 c h w"]:
    return pixel_gradient(hall.model, image[None], layer, unit)


def _relative_change(first: Float[Tensor, "n c h w"], others: list[Float[Tensor, "n c h w"]]) -> float:
    """The largest distance to the first, by the length of the first, unit by unit; the median unit's."""
    length = first.flatten(1).norm(dim=1).clamp(min=1e-20)
    return max(float(((one - first).flatten(1).norm(dim=1) / length).median()) for one in others)


def _straightness(climb: Climb) -> float:
    """The share of a score's variance that a line over the steps explains, of the filter where it is least."""
    steps = torch.tensor(climb.steps, dtype=torch.float64)
    steps = (steps - steps.mean()) / (steps - steps.mean()).norm()
    scores = climb.scores.double() - climb.scores.double().mean(0)
    return float(((steps @ scores).square() / scores.square().sum(0)).min())


def _optimum(hall: Hall, layer: str, coefficients: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
    """What the filters reach where every pixel is at the bound that its coefficient points to."""
    low, high = hall.model.value_range
    best = torch.where(coefficients > 0, high, low)
    return means(hall.model, best, layer)[:, : len(best)].diagonal()


def _strip(climbs: dict[str, Climb]) -> Image.Image:
    wanted = [0, 1, len(climbs["clip"].steps) - 1]
    images, labels = [], []
    for unit in range(4):
        for squash, climb in climbs.items():
            for which in wanted:
                images.append(climb.shown[which, unit])
                labels.append(f"{squash} {climb.steps[which]}")
    return contact_sheet(
        images, labels, columns=len(wanted) * len(climbs), enlarge=max(1, 64 // images[0].shape[-1]), background="light"
    )


def _closed_forms(hall: Hall, layer: str, coefficients: Float[Tensor, "n c h w"]) -> Image.Image:
    rows, cols = hall.model.layer(layer).map_size
    grey = torch.full((1, *coefficients.shape[1:]), sum(hall.model.value_range) / 2)
    side = coefficients.shape[-1]
    images, labels = [], []
    for unit in range(_SHOWN):
        images.append(0.5 + 0.5 * coefficients[unit].sign())
        labels.append(f"channel {unit}")
    for unit in range(_SHOWN):
        images.append(_blown_up((0.5 + 0.5 * coefficients[unit].sign())[:, :_CORNER_PX, :_CORNER_PX], side))
        labels.append("its corner")
    for unit in range(_SHOWN):
        own = pixel_gradient(hall.model, grey, layer, unit, (rows // 2, cols // 2))[0]
        seen = own.abs().sum(0) > 0
        top, left = int(seen.any(1).nonzero()[0]), int(seen.any(0).nonzero()[0])
        filter_px = own[:, top : top + int(seen.any(1).sum()), left : left + int(seen.any(0).sum())]
        images.append(_blown_up(0.5 + 0.5 * filter_px / filter_px.abs().max(), side))
        labels.append(f"neuron of {unit}")
    return contact_sheet(
        images, labels, columns=_SHOWN, enlarge=max(1, 96 // coefficients.shape[-1]), background="light"
    )


def _blown_up(image: Float[Tensor, "c h w"], side_px: int) -> Float[Tensor, "c h2 w2"]:
    """Every pixel as a square, the whole about as large as `side_px`."""
    times = max(1, side_px // image.shape[-1])
    return image.repeat_interleave(times, 1).repeat_interleave(times, 2)


def _curves(climbs: dict[str, Climb], optimum: float) -> Image.Image:
    with chart(2) as drawn:
        score, change = drawn.axes
        for squash, climb in climbs.items():
            score.plot(climb.steps, climb.scores.mean(1).tolist(), "o-", label=squash)
            change.plot(climb.steps, [change or float("nan") for change in climb.changes.tolist()], "o-", label=squash)
        score.axhline(optimum, color="grey", linestyle=":", label="closed form, bounded")
        score.set(xlabel="steps", ylabel="mean score\n(layer's own units)", xscale="log", yscale="log")
        change.axhline(_STILL, color="grey", linestyle=":", label="one 8-bit level")
        change.set(
            xlabel="steps", ylabel="change of a pixel since\nthe dot before (0 to 1)", xscale="log", yscale="log"
        )
        for axes in drawn.axes:
            axes.legend()
            axes.set_xticks(climb.steps, [str(step) for step in climb.steps])
            axes.minorticks_off()
    return drawn.image


ITEMS = {"forum": forum}
