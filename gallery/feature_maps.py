"""Item 3, second part: who else fires, metrics, octaves.

Source: reference document 002, "Feature Visualization I: Feature Maps".
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

import pellucid as pl
from gallery.exhibit import Claim, Exhibit, Picture, Table
from gallery.hall import SURE, Hall
from gallery.measures import (
    high_frequency,
    likeness,
    means,
    rank_correlation,
    same_and_different,
)
from gallery.plots import chart, sheet
from pellucid.objectives.metrics import Metric, metric

__all__ = ["ITEMS"]

_UNITS = (24, 64, 144, 40)  # of the middle stage: rings, eyes, arches, berries in the embedded network
_SOURCE = "Feature Visualization I (S2)"
_STEPS = 192
_PIXELS = replace(SURE, image="pixels", transforms="none", shared_start=True)
# The document's growth of sides, 299 to 340 to 380 px. Its steps fit its own gradients; these are Adam's, and with them
# its sigmas would leave grey.
_GROWTH = (1.0, 340 / 299, 380 / 299)
_OCTAVE = "{side}:{steps}:0.1..0.1:0.6..0.3"
_CLOSE, _MUTUAL, _TARGET = 0.8, 0.5, 5


def _units(hall: Hall, layer: str) -> list[int]:
    return [unit for unit in _UNITS if unit < hall.model.layer(layer).units]


def neighbours(hall: Hall) -> Exhibit:
    """The mean activation of every channel while one of them is maximised, and the similar units read off it."""
    layer = hall.stage(1)
    count = min(32, hall.model.layer(layer).units)
    steps = hall.steps(_STEPS)
    got = pl.render(hall.model, f"{layer}:0-{count - 1}", recipe=SURE, steps=steps, snapshots=(0,))
    before = means(hall.model, got.snapshots[0][_TARGET][None], layer)[0]
    table = means(hall.model, got.images, layer)
    after = table[_TARGET]
    others = torch.arange(len(after)) != _TARGET
    changed = ((after > 2 * before) | (after < before / 2))[others].float().mean()
    rivals = table.clone()
    rivals[torch.arange(count), torch.arange(count)] = 0
    near = rivals.amax(1) / table.diagonal().clamp(min=1e-9)
    square = table[:, :count] / table[:, :count].diagonal().clamp(min=1e-9)
    upper = torch.ones(count, count).triu(1).bool()
    mutual = rank_correlation(square[upper], square.T[upper])
    similar = after.masked_fill(~others, 0).topk(5)
    named = ", ".join(
        f"{u} ({v / after[_TARGET]:.2f})" for u, v in zip(similar.indices.tolist(), similar.values, strict=True)
    )
    claims = [
        Claim(
            "Maximising one channel does not leave the others as they were.",
            "more than half of the other channels at least double or halve their mean activation",
            f"{changed:.0%} of {len(after) - 1} do",
            float(changed) > 0.5,
        ),
        Claim(
            "Some other channel comes close to the one that is maximised.",
            f"the runner-up reaches at least {_CLOSE:.0%} of the target's mean activation",
            f"{near[_TARGET]:.0%} for channel {_TARGET}; over the first {count} channels {near.median():.0%} (median), "
            f"and at least {_CLOSE:.0%} for {int((near >= _CLOSE).sum())} of them",
            float(near[_TARGET]) >= _CLOSE,
        ),
        Claim(
            "Which units are similar can be read off so.",
            "similarity is mutual: how much j fires for i's picture and i for j's (each by its own maximum) have a "
            f"rank correlation above {_MUTUAL}",
            f"{mutual:.2f} over the {int(upper.sum())} pairs of the first {count} channels",
            mutual > _MUTUAL,
        ),
    ]
    rows = [(unit, float(before[unit]), float(after[unit])) for unit in range(len(after))]
    pairs = [(i, j, float(square[i, j])) for i in range(count) for j in range(count) if i != j]
    shown = [_TARGET, *similar.indices.tolist()]
    labels = [f"{layer}:{unit}" for unit in shown]
    friends = sheet(list(pl.render(hall.model, labels, recipe=SURE, steps=steps).pictures), labels, 3)
    return Exhibit(
        "Every channel while one is maximised",
        _SOURCE,
        f"Channel {_TARGET} of `{layer}`, maximised in {steps} steps. Most similar by it: {named} of its activation.",
        claims,
        [
            Picture(
                "bars",
                _before_after(before, after),
                f"Every channel of {layer} while {_TARGET} is maximised",
                "After the ascent the target stands twice as high as the next, and others than before fire beside "
                "it. The two charts have scales of their own: what is high before is low after.",
            ),
            Picture(
                "similar",
                friends,
                "The target and the five that fire most with it",
                "Dark faces of apes: small in 5, whole in 531 and 90, in 564 with a brown coat. 110, black buckles "
                "with white marks, and 526, a brown bottle with labels, have the light patch on a dark body with the "
                "target in common; all are hatched as no photo is.",
            ),
        ],
        [
            Table("activations", ("channel", "mean activation before", "after"), rows),
            Table("pairs", ("picture of", "channel", "share of the channel's own maximum"), pairs),
        ],
    )


def metrics(hall: Hall) -> Exhibit:
    """The same units by L1, L2 and L-infinity, side by side, with their high-frequency power."""
    layer, early = hall.stage(0.6), hall.stage(0.45)
    units = _units(hall, layer)
    names: tuple[Metric, ...] = ("l1", "l2", "linf")
    asked = [metric(layer, unit, name) for unit in units for name in names]
    images = pl.render(hall.model, asked, recipe=_PIXELS, steps=hall.steps(_STEPS)).images
    of = [unit for unit in units for _ in names]
    fine = high_frequency(images)
    fires = means(hall.model, images, layer)[torch.arange(len(of)), torch.tensor(of)]
    same, different = same_and_different(likeness(hall.model, images, early), of)
    by_metric = {name: float(fine[which :: len(names)].mean()) for which, name in enumerate(names)}
    claims = [
        Claim(
            "The metric hardly matters: one unit's pictures by different metrics are alike.",
            "the least alike pair of one unit is more alike than the most alike pair of different units",
            f"one unit {same.mean():.2f} on average, at least {same.min():.2f}; "
            f"different units {different.mean():.2f}, at most {different.max():.2f}",
            float(same.min()) > float(different.max()),
        ),
        Claim(
            "L1 has the least high-frequency noise.",
            "its mean share of power above a quarter cycle per pixel is the smallest of the three",
            ", ".join(f"{name} {value:.3f}" for name, value in by_metric.items()),
            min(by_metric, key=by_metric.__getitem__) == "l1",
        ),
    ]
    rows = [
        (unit, name, float(fine[i]), float(fires[i]))
        for i, (unit, name) in enumerate((unit, name) for unit in units for name in names)
    ]
    labels = [f"{unit} {name}: {share:.2f}" for unit, name, share, _ in rows]
    return Exhibit(
        "L1, L2 and L-infinity",
        _SOURCE,
        f"Channels of `{layer}` by their distance to 200, as pixels from one common noise without transforms, by Adam "
        f"in {hall.steps(_STEPS)} steps. Likeness is that of textures at `{early}`.",
        claims,
        [
            Picture(
                "metrics",
                sheet(list(_shown(hall, images)), labels, 3),
                "One unit a row; its share of high-frequency power",
                "Ringed berries, spirals, arches and white eyes on orange, the same in every column; L1 and L2 can "
                "hardly be told apart, and L-infinity is paler. All are coarse and checkered: pixels without "
                "transforms.",
            )
        ],
        [Table("metrics", ("channel", "metric", "high-frequency share", "mean activation"), rows)],
    )


def octaves(hall: Hall) -> Exhibit:
    """The same units with and without octaves."""
    layer, early = hall.stage(0.6), hall.stage(0.45)
    units, steps = _units(hall, layer), hall.steps(_STEPS // 3)
    targets = [f"{layer}:{unit}" for unit in units]
    sides = [round(min(hall.model.size) * growth) for growth in _GROWTH]
    grown = " ".join(_OCTAVE.format(side=side, steps=steps) for side in sides)
    plain = pl.render(hall.model, targets, recipe=_PIXELS, steps=3 * steps, size=sides[-1])
    octave = pl.render(hall.model, targets, recipe=_PIXELS, octaves=grown)
    images = torch.stack([plain.images, octave.images], 1).flatten(0, 1)
    of = [unit for unit in units for _ in range(2)]
    fine = high_frequency(images)
    same, different = same_and_different(likeness(hall.model, images, early), of)
    kept = octave.scores / plain.scores
    claims = [
        Claim(
            "Octaves leave the pattern as it is.",
            "a unit's two pictures are always more alike than any two of different units",
            f"one unit at least {same.min():.2f}, different units at most {different.max():.2f}",
            float(same.min()) > float(different.max()),
        ),
        Claim(
            "Octaves make clearer pictures.",
            "every unit's share of high-frequency power is smaller with octaves",
            ", ".join(f"{u}: {a:.2f} to {b:.2f}" for u, a, b in zip(units, fine[::2], fine[1::2], strict=True)),
            bool((fine[1::2] < fine[::2]).all()),
        ),
        Claim(
            "They still show the unit.",
            "every unit fires at least half as much for its picture by octaves as for the plain one",
            ", ".join(f"{unit}: {share:.0%}" for unit, share in zip(units, kept, strict=True)),
            float(kept.min()) >= 0.5,
        ),
    ]
    ways = [way for _ in units for way in ("plain", "octaves")]
    scores = torch.stack([plain.scores, octave.scores], 1).flatten().tolist()
    rows = [(unit, way, float(fine[i]), scores[i]) for i, (unit, way) in enumerate(zip(of, ways, strict=True))]
    labels = [f"{unit} {way}: {share:.2f}" for unit, way, share, _ in rows]
    return Exhibit(
        "Plain against octaves",
        _SOURCE,
        f"Channels of `{layer}` as pixels without transforms: {3 * steps} steps at {sides[-1]} px, or {steps} at each "
        f"of {', '.join(map(str, sides))} px with a blur after every step.",
        claims,
        [
            Picture(
                "octaves",
                sheet(list(_shown(hall, images)), labels, 4),
                "Plain and by octaves; share of high-frequency power",
                "The same ringed berries, eyes, arches and white eyes on orange; octaves draw them smoother and "
                "duller. The plain ones are full of hard black and white specks, the others slightly out of focus.",
            )
        ],
        [Table("octaves", ("channel", "way", "high-frequency share", "mean activation"), rows)],
    )


def _shown(hall: Hall, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    low, high = hall.model.value_range
    return (images - low) / (high - low)


def _before_after(before: Float[Tensor, " n"], after: Float[Tensor, " n"]) -> Image.Image:
    with chart(2, height=2.2) as drawn:
        for axes, title, heights in zip(
            drawn.axes, ("before (the start's noise)", "after"), (before, after), strict=True
        ):
            axes.bar(range(len(heights)), heights.tolist(), width=1.0, color="tab:blue")
            axes.bar([_TARGET], [float(heights[_TARGET])], width=max(2, len(heights) / 150), color="tab:red")
            axes.annotate(str(_TARGET), (_TARGET, float(heights[_TARGET])), color="tab:red", ha="center", va="bottom")
            axes.set(title=title, ylabel="mean activation", xlim=(-8, len(heights)))
            axes.margins(y=0.2)
        drawn.axes[-1].set_xlabel("channel")
    return drawn.image


ITEMS = {"neighbours": neighbours, "metrics": metrics, "octaves": octaves}
