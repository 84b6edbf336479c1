"""The facets of a unit: a strip from its negative to its positive picture, and four ways to diverse pictures.

Source: reference document 003, after Olah et al., "Feature Visualization", Distill 2017; its examples are from a
dataset, those here from pieces of four photos that may be redistributed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

import pellucid as pl
from gallery.crops import Crops, crops_of, responses
from gallery.exhibit import Cell, Claim, Exhibit, Picture, Table
from gallery.hall import SURE, Hall
from gallery.likeness import gram_cosines, of_groups, pixel_cosines
from gallery.measures import means
from gallery.plots import sheet
from gallery.priors import can_be_made, decoder_samples
from pellucid.images.sheets import contact_sheet

__all__ = ["ITEMS"]

_STEPS = 128
_STRIP_UNITS, _STRIPS_SHOWN, _EXAMPLES = 6, 4, 3
_EITHER_SIDE = 20  # pieces of photos that a unit of the strip must have on each side of zero
_LABELS = ("optimised", "minimum", "just below", "just above", "maximum", "optimised")
_UNITS, _MEMBERS, _TOP = 3, 4, 64
_SAMPLES = 256  # of a generator, from which starts are chosen
_REACHES = 0.5  # of the score of repeats: the unit still fires
_SEEN = {
    "facets": (
        "Every end is a texture with a motif of its own, and the maxima share something with it: upright fur and "
        "straps and channel 0's strands, red cups and channel 2's red and yellow balls, lights in a blue sky and "
        "channel 3's yellow and blue, round badges on orange and channel 4's rings. Wrong: four photos are too few, so "
        "that neighbouring pieces repeat in a column, and the negative ends are full of white specks."
    ),
    "diversity": (
        "Repeats are one texture: strands in one channel, boxes with rings in the other. The diversity term and "
        "the centroids give folds, round holes, bricks, fur and spirals that share little with it; starts from "
        "photos end at the same texture, twice on a black ground, and starts from a generator's blurred samples "
        "at the repeats themselves, less alike than those only in the fourth digit. Wrong: nobody can see which "
        "of the diverse pictures are facets of the channel and which only follow the other term."
    ),
}


def facets(hall: Hall) -> Exhibit:
    """Six panels: negative optimised, minimum, slightly negative and positive, maximum examples, positive optimised."""
    layer, crops = hall.middle, crops_of(hall)
    before = responses(hall.model, crops.pictures, layer, pre=True)
    enough = ((before < 0).sum(0) >= _EITHER_SIDE) & ((before > 0).sum(0) >= _EITHER_SIDE)
    units = enough.nonzero()[:, 0][:_STRIP_UNITS].tolist()
    if not units:
        raise pl.PellucidError(
            f"no channel of {layer} is below zero for some pieces of the photos and above for others"
        )
    targets = [f"{sign}{layer}:{unit}" for unit in units for sign in ("neg:", "")]
    made = pl.render(hall.model, targets, recipe=SURE, steps=hall.steps(_STEPS))
    reached = responses(hall.model, made.pictures, layer, pre=True)
    titles = (
        "negative optimised",
        "minimum",
        "slightly negative",
        "slightly positive",
        "maximum",
        "positive optimised",
    )
    panels: list[list[float]] = []
    images: list[Tensor] = []
    for place, unit in enumerate(units):
        values = before[:, unit]
        order = values.argsort()
        zero = int((values < 0).sum())
        picks = [order[:_EXAMPLES], order[zero - _EXAMPLES : zero], order[zero : zero + _EXAMPLES], order[-_EXAMPLES:]]
        ends = [2 * place, 2 * place + 1]
        panels.append(
            [
                float(reached[ends[0], unit]),
                *(float(values[pick].mean()) for pick in picks),
                float(reached[ends[1], unit]),
            ]
        )
        examples = [_column(crops.pictures[pick]) for pick in picks]
        images += [_tall(made.pictures[ends[0]]), *examples, _tall(made.pictures[ends[1]])]
    ordered = [all(low < high for low, high in pairwise(row)) for row in panels]
    outside = [row[0] < row[1] and row[5] > row[4] for row in panels]
    labels = [
        f"{unit}: {short} {value:.2f}"
        for unit, row in zip(units, panels, strict=True)
        for short, value in zip(_LABELS, row, strict=True)
    ]
    shown = _STRIPS_SHOWN * len(titles)
    claims = [
        Claim(
            "Optimised pictures lie beyond the most extreme examples, on both sides.",
            f"for all {len(units)} channels, before the rectifier",
            f"{sum(outside)} of {len(units)}",
            all(outside),
        ),
        Claim(
            "The six panels are in order.",
            f"for all {len(units)} channels the mean activation before the rectifier rises from panel to panel",
            f"{sum(ordered)} of {len(units)}",
            all(ordered),
        ),
    ]
    return Exhibit(
        "From the negative to the positive picture",
        "the slides (S3)",
        f"The first {len(units)} channels of `{layer}` whose mean before the rectifier is negative for at least "
        f"{_EITHER_SIDE} and positive for at least {_EITHER_SIDE} of {len(crops)} pieces of photos (scikit-image's "
        f"cat, coffee, rocket, astronaut). Examples are these pieces, no dataset's; {hall.steps(_STEPS)} steps.",
        claims,
        [
            Picture(
                "strips",
                sheet(images[:shown], labels[:shown], len(titles)),
                "Row by row a channel, with its mean before the rectifier; examples are pieces of four photos",
                _SEEN["facets"],
            )
        ],
        [Table("panels", ("channel", *titles), [[unit, *row] for unit, row in zip(units, panels, strict=True)])],
    )


@dataclass(frozen=True)
class Study:
    """What the ways to diversity start from: a network, channels of a layer, and pieces of photos."""

    hall: Hall
    layer: str
    units: range
    crops: Crops

    @property
    def model(self) -> pl.Model:
        """The network."""
        return self.hall.model

    @property
    def steps(self) -> int:
        """Of every picture."""
        return self.hall.steps(_STEPS)


Way = Callable[[Study], Float[Tensor, "b c h w"]]
"""Makes the members of every channel of a study, one channel after the other."""


def repeats(study: Study, weight: float = 0.0) -> Float[Tensor, "b c h w"]:
    """The same target several times, each from its own noise; with a weight, kept apart by the diversity term."""
    targets = [f"{study.layer}:{unit}" for unit in study.units]
    return pl.render(study.model, targets, recipe=SURE, steps=study.steps, members=_MEMBERS, diversity=weight).images


def started(study: Study, candidates: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "b c h w"]:
    """Started from those of the candidates that excite the channel and are least alike by their Gram matrices."""
    targets = [f"{study.layer}:{unit}" for unit in study.units]
    starts = [pl.diverse_starts(study.model, target, candidates, _MEMBERS, top=_TOP) for target in targets]
    made = pl.render(study.model, targets, recipe=SURE, steps=study.steps, members=_MEMBERS, start=torch.cat(starts))
    return made.images


def to_centroids(study: Study) -> Float[Tensor, "b c h w"]:
    """Towards the channel and, as far again, towards the centroid of a cluster of what excites it."""
    targets = [f"{study.layer}:{unit}" for unit in study.units]
    objectives = [
        objective
        for target in targets
        for objective in pl.towards_facets(study.model, target, study.crops.pictures, _MEMBERS, top=_TOP)
    ]
    return pl.render(study.model, objectives, recipe=SURE, steps=study.steps).images


def diversity(hall: Hall) -> Exhibit:
    """Repeats of one target, and the ways to make them differ."""
    study = Study(hall, hall.middle, range(_UNITS), crops_of(hall))
    plain = repeats(study)
    weight = round(float(_own(study, plain).mean()), 2)
    ways: dict[str, Way] = {
        "diversity term": lambda study: repeats(study, weight),
        "from diverse pieces of photos": lambda study: started(study, study.crops.pictures),
        "to centroids": to_centroids,
    }
    if can_be_made(hall):
        ways["from a generator's samples"] = lambda study: started(study, decoder_samples(_SAMPLES))
    made = {"repeats": plain, **{name: way(study) for name, way in ways.items()}}
    grams = {name: of_groups(gram_cosines(hall.model, images, study.layer), _MEMBERS) for name, images in made.items()}
    pixels = {name: of_groups(pixel_cosines(images), _MEMBERS) for name, images in made.items()}
    scores = {name: float(_own(study, images).mean()) for name, images in made.items()}
    claims = []
    for name in ways:
        less, enough = grams[name].mean() < grams["repeats"].mean(), scores[name] >= _REACHES * scores["repeats"]
        claims.append(
            Claim(
                f"Pictures differ more than repeats do, and still show the unit: {name}.",
                f"the mean cosine of Gram matrices at {study.layer} within a channel's {_MEMBERS} pictures is less "
                f"than that of repeats, with at least {_REACHES:.0%} of their mean score",
                f"cosine {float(grams[name].mean()):.3f} against {float(grams['repeats'].mean()):.3f} (pixels "
                f"{float(pixels[name].mean()):.3f} and {float(pixels['repeats'].mean()):.3f}), score "
                f"{scores[name]:.3g} against {scores['repeats']:.3g}",
                bool(less) and enough,
            )
        )
    rows: list[list[Cell]] = [
        [name, f"{study.layer}:{unit}", float(grams[name][unit]), float(pixels[name][unit]), score]
        for name, images in made.items()
        for unit, score in enumerate(_own(study, images).unflatten(0, (-1, _MEMBERS)).mean(1).tolist())
    ]
    low, high = hall.model.value_range
    some = 2 * _MEMBERS
    shown = [((image - low) / (high - low)).clamp(0, 1) for images in made.values() for image in images[:some]]
    labels = [f"{name}, {study.layer}:{unit}" for name in made for unit in study.units[:2] for _ in range(_MEMBERS)]
    return Exhibit(
        "Diverse pictures of one unit",
        "the slides (S3)",
        f"{_MEMBERS} pictures of each of {_UNITS} channels of `{study.layer}`, {study.steps} steps. The diversity "
        f"term's weight, {weight}, is the mean score of repeats: pictures that are all alike would lose it all. Starts "
        f"and centroids come from the {_TOP} of {len(study.crops)} pieces of photos that excite the channel most.",
        claims,
        [
            Picture(
                "pictures",
                contact_sheet(
                    shown, labels, columns=some, enlarge=max(1, 128 // shown[0].shape[-1]), background="light"
                ),
                f"{_MEMBERS} pictures of each of two channels: repeats, then the ways to diversity",
                _SEEN["diversity"],
            )
        ],
        [Table("units", ("way", "target", "mean cosine of Gram matrices", "of pixels", "mean score"), rows)],
        () if can_be_made(hall) else ("The fourth way, from a generator's samples, is missing: no trained decoder.",),
    )


def _own(study: Study, images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """The mean of each picture's own channel, alone."""
    units = torch.tensor([unit for unit in study.units for _ in range(_MEMBERS)])
    return means(study.model, images, study.layer).gather(1, units[:, None])[:, 0]


def _column(pictures: Float[Tensor, "n c h w"]) -> Float[Tensor, "c h2 w"]:
    return torch.cat(list(pictures), 1)


def _tall(picture: Float[Tensor, "c h w"]) -> Float[Tensor, "c h2 w"]:
    """A picture in the middle of a column of examples' height."""
    room = picture.new_ones(picture.shape[0], picture.shape[1] * (_EXAMPLES - 1) // 2, picture.shape[2])
    return torch.cat([room, picture, room], 1)


ITEMS = {"facets": facets, "diversity": diversity}
