"""Item 3, third part: two units of neighbouring layers in one picture.

Source: reference document 002, "Feature Visualization I: Feature Maps".
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

import pellucid as pl
from gallery.exhibit import Claim, Exhibit, Picture, Table
from gallery.hall import SURE, Hall
from gallery.measures import activations, correlation
from gallery.plots import sheet

__all__ = ["ITEMS"]

_STEPS = 192
_PAIRS = (
    (0.0, (17, 26)),
    (0.6, (24, 104)),
    (0.6, (64, 304)),
)  # depth of the first stage, a channel of it, one of the next


def joint(hall: Hall) -> Exhibit:
    """Two units of two layers in one picture."""
    pairs = [_pair(hall, depth, units) for depth, units in _PAIRS]
    targets = [text for a, b in pairs for text in (_text(a), _text(b), f"{_text(a)} + {_text(b)}")]
    got = pl.render(hall.model, targets, recipe=SURE, steps=hall.steps(_STEPS), shared_start=True)
    images = got.images
    rows: list[tuple[str, float, float, float, float]] = []
    for which, pair in enumerate(pairs):
        alone, both = images[3 * which : 3 * which + 2], images[3 * which + 2][None]
        linear = float(correlation(alone.mean(0).flatten()[None], both.flatten()[None]))
        maps = [activations(hall.model, both, at)[:, unit] for at, unit in pair]
        kept = [float(one.mean()) / max(float(got.scores[3 * which + i]), 1e-9) for i, one in enumerate(maps)]
        apart = float(correlation(maps[0].flatten()[None], _as_large(maps[1], maps[0]).flatten()[None]))
        rows.append((targets[3 * which + 2], linear, kept[0], kept[1], apart))
    claims = [
        Claim(
            "Two layers' pictures do not simply add up.",
            "the picture of both correlates with the average of the two pictures by less than 0.5, always",
            ", ".join(f"{name}: {linear:.2f}" for name, linear, *_ in rows),
            all(row[1] < 0.5 for row in rows),
        ),
        Claim(
            "Both units are in the picture.",
            "each fires at least half as much as in its own",
            ", ".join(f"{row[0]}: {row[2]:.0%} and {row[3]:.0%}" for row in rows),
            all(min(row[2], row[3]) >= 0.5 for row in rows),
        ),
        Claim(
            "Each has places of its own.",
            "over the places of the picture of both, the two units' maps have a negative correlation, always",
            ", ".join(f"{row[0]}: {row[4]:.2f}" for row in rows),
            all(row[4] < 0 for row in rows),
        ),
    ]
    head = ("pair", "correlation with the average", "first's share of its own", "second's", "correlation of the maps")
    return Exhibit(
        "Two layers jointly",
        "Feature Visualization I (S2)",
        f"The plain sum of two channels of neighbouring layers, from one common start in {hall.steps(_STEPS)} steps.",
        claims,
        [
            Picture(
                "joint",
                sheet(list(got.pictures), targets, 3),
                "Either unit alone, and both at once",
                "A black field leaves nothing in the black and white stripes but a little more black; rings keep the "
                "picture and gather into hatched balls; eyes and orange cells merge into ringed eyes on orange. The "
                "first row is lopsided, and a plain sum does nothing about that.",
            )
        ],
        [Table("pairs", head, rows)],
    )


def _pair(hall: Hall, depth: float, units: tuple[int, int]) -> tuple[tuple[str, int], tuple[str, int]]:
    """A channel of the stage at a depth and one of the next stage."""
    first = hall.stage(depth)
    second = hall.stages[min(hall.stages.index(first) + 1, len(hall.stages) - 1)]
    return (first, units[0] % hall.model.layer(first).units), (second, units[1] % hall.model.layer(second).units)


def _text(unit: tuple[str, int]) -> str:
    return f"{unit[0]}:{unit[1]}"


def _as_large(maps: Float[Tensor, "1 h w"], other: Float[Tensor, "1 h2 w2"]) -> Float[Tensor, "1 h2 w2"]:
    return F.interpolate(maps[None], other.shape[-2:], mode="bilinear")[0]


ITEMS = {"joint": joint}
