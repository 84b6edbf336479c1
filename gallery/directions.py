"""Directions in activation space: random ones against single channels, and what lies between two channels.

Source: reference document 003, after Olah et al., "Feature Visualization", Distill 2017.
"""

from __future__ import annotations

import torch

import pellucid as pl
from gallery.aims import class_probabilities
from gallery.crops import crops_of, responses
from gallery.exhibit import Cell, Claim, Exhibit, Picture, Table
from gallery.hall import SURE, Hall
from gallery.likeness import pixel_cosines
from gallery.measures import means, rank_correlation
from gallery.plots import sheet
from pellucid.objectives.groups import interpolation
from pellucid.objectives.units import direction

__all__ = ["ITEMS"]

_STEPS = 128
_DIRECTIONS = 12
_PAIRS, _BETWEEN = ((0, 1), (2, 3)), 6
_ALIGNMENT = 0.1
_SEEN = {
    "directions": (
        "Both halves are textures of equal finish: strands, rings, scales, weaves. Wrong: random 4's tiles and 5's "
        "spotted skin aside, the random directions' pictures have no name, and random 3 and 9 are blurs of mixed "
        "colours."
    ),
    "between": (
        "Upright strands break up into pink boxes with rings, red balls turn into yellow ones among blue cells; from "
        "one start strands and boxes, balls and cells stay in their places. Wrong: alignment adds nothing to the "
        "common start that could be seen, and from 2 to 3 hardly anything changes beyond 0.4."
    ),
}


def directions(hall: Hall) -> Exhibit:
    """Random directions in activation space against single channels."""
    layer, units = hall.middle, hall.model.layer(hall.middle).units
    basis = torch.eye(units)[:_DIRECTIONS]
    random = torch.randn(_DIRECTIONS, units, generator=torch.Generator().manual_seed(0))
    ways = torch.cat([basis, random / random.norm(dim=1, keepdim=True)])
    made = pl.render(hall.model, [direction(layer, way) for way in ways], recipe=SURE, steps=hall.steps(_STEPS))
    crops = responses(hall.model, crops_of(hall).pictures, layer) @ ways.T
    own = means(hall.model, made.images, layer) @ ways.T
    standard = (own - crops.mean(0)) / crops.std(0).clamp(min=1e-6)
    height = standard.diagonal().unflatten(0, (2, _DIRECTIONS))
    told_apart = (standard.argmax(1) == torch.arange(len(ways))).unflatten(0, (2, _DIRECTIONS)).sum(1)
    beyond = (own.diagonal() > crops.amax(0)).unflatten(0, (2, _DIRECTIONS)).sum(1)
    sure = class_probabilities(hall.model, made.images).amax(1)
    sure = sure.unflatten(0, (2, _DIRECTIONS)).mean(1)
    claims = [
        Claim(
            "A random direction has a picture like a channel does.",
            f"the pictures of all {_DIRECTIONS} random directions raise them beyond every piece of a photo",
            f"{int(beyond[1])} of {_DIRECTIONS}; of channels {int(beyond[0])}",
            int(beyond[1]) == _DIRECTIONS,
        ),
        Claim(
            "Its picture is its own.",
            f"each of the random directions is the one, among all {len(ways)}, that its picture raises most "
            "(in standard deviations over the pieces of photos)",
            f"{int(told_apart[1])} of {_DIRECTIONS}; of channels {int(told_apart[0])}",
            int(told_apart[1]) == _DIRECTIONS,
        ),
        Claim(
            "Channels are more often interpretable than random directions.",
            "as far as numbers tell: their pictures raise them by more standard deviations over the pieces of photos",
            f"{float(height[0].mean()):.1f} against {float(height[1].mean()):.1f}; largest class probability "
            f"{float(sure[0]):.0%} and {float(sure[1]):.0%}",
            float(height[0].mean()) > float(height[1].mean()),
        ),
    ]
    labels = [f"channel {unit}" for unit in range(_DIRECTIONS)] + [f"random {unit}" for unit in range(_DIRECTIONS)]
    rows: list[list[Cell]] = [
        [label, float(made.scores[i]), float(crops[:, i].amax()), float(standard[i, i])]
        for i, label in enumerate(labels)
    ]
    return Exhibit(
        "Random directions against channels",
        "the slides (S3)",
        f"{_DIRECTIONS} channels of `{layer}` and {_DIRECTIONS} random unit vectors over its {units} channels, "
        f"{hall.steps(_STEPS)} steps.",
        claims,
        [
            Picture(
                "pictures",
                sheet(list(made.pictures), labels, _DIRECTIONS // 2),
                "Channels (above) and random directions (below)",
                _SEEN["directions"],
            )
        ],
        [Table("units", ("direction", "score", "largest of the photos", "in standard deviations"), rows)],
    )


def between(hall: Hall) -> Exhibit:
    """Interpolation between two channels, aligned and not."""
    layer = hall.model.layer(hall.middle)
    wanted = [one for first, second in _PAIRS for one in interpolation(layer, first, second, steps=_BETWEEN)]
    groups = [number for number in range(len(_PAIRS)) for _ in range(_BETWEEN)]
    steps = hall.steps(_STEPS)
    rows_of = {
        "alone": pl.render(hall.model, wanted, recipe=SURE, steps=steps),
        "shared start": pl.render(hall.model, wanted, recipe=SURE, steps=steps, shared_start=True),
        "shared start, aligned": pl.render(
            hall.model, wanted, recipe=SURE, steps=steps, shared_start=True, alignment=_ALIGNMENT, groups=groups
        ),
    }
    falls, rises, alike, reached = {}, {}, {}, {}
    table = []
    for way, made in rows_of.items():
        all_means = means(hall.model, made.images, layer.name)
        down, up, near = [], [], []
        for number, (first, second) in enumerate(_PAIRS):
            part = slice(number * _BETWEEN, (number + 1) * _BETWEEN)
            place, pair = torch.arange(_BETWEEN).float(), all_means[part][:, [first, second]]
            down.append(rank_correlation(place, pair[:, 0]))
            up.append(rank_correlation(place, pair[:, 1]))
            near.append(float(pixel_cosines(made.images[part]).diagonal(1).mean()))
            table += [[way, first, second, t, *values] for t, values in enumerate(pair.tolist())]
        falls[way], rises[way], alike[way] = max(down), min(up), sum(near) / len(near)
        reached[way] = float(made.scores.mean())
    last = "shared start, aligned"
    claims = [
        Claim(
            "From one end to the other the first channel's activation falls and the second's rises.",
            "in the aligned rows, by rank correlation with the place of at least 0.9 either way",
            f"at least {-falls[last]:.2f} down and {rises[last]:.2f} up; "
            f"alone {-falls['alone']:.2f} and {rises['alone']:.2f}",
            -falls[last] >= 0.9 <= rises[last],
        ),
        Claim(
            "A common start and alignment make neighbours alike.",
            "the mean correlation of neighbours' pixels rises with each",
            ", ".join(f"{way} {value:.2f}" for way, value in alike.items()),
            alike["alone"] < alike["shared start"] < alike[last],
        ),
        Claim(
            "The pictures are still those of their directions.",
            "aligned, at least 80 % of the mean score",
            ", ".join(f"{way} {value:.3g}" for way, value in reached.items()),
            reached[last] >= 0.8 * reached["alone"],
        ),
    ]
    labels = [
        f"{way}, {first} to {second}, t = {place / (_BETWEEN - 1):.1f}"
        for way in rows_of
        for first, second in _PAIRS
        for place in range(_BETWEEN)
    ]
    pictures = [picture for made in rows_of.values() for picture in made.pictures]
    return Exhibit(
        "Between two channels",
        "the slides (S3)",
        f"{_BETWEEN} directions from one channel of `{layer.name}` to another, {steps} steps: each from its own noise; "
        f"all from one; and so with neighbours aligned (weight {_ALIGNMENT}).",
        claims,
        [
            Picture(
                "pictures",
                sheet(pictures, labels, _BETWEEN),
                "Two pairs of channels, each from its own noise, from one noise, and aligned",
                _SEEN["between"],
            )
        ],
        [Table("rows", ("way", "first", "second", "place", "mean of the first", "mean of the second"), table)],
    )


ITEMS = {"directions": directions, "between": between}
