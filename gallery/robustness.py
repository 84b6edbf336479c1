"""Pictures optimised as they are, and under random transforms.

Source: reference document 003: jitter by 1 px, rotation by 5 degrees, scale 1.1.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

import pellucid as pl
from gallery.exhibit import Cell, Claim, Exhibit, Picture, Table
from gallery.hall import SURE, Hall
from gallery.measures import high_frequency, means
from gallery.noise import BARE, RATE, networks, sheet_of
from pellucid.draws import Draws
from pellucid.transforms.presets import preset

__all__ = ["ITEMS"]

_UNITS, _STEPS = 6, 128
_DRAWS = 16  # of transforms that no picture was made with
_LEAST_SCORE = 0.5  # of the picture without transforms: still a picture of the unit
_SEEN = (
    "Without transforms plain's motifs lie under coloured speckle; with them strands, spirals, petals and scales come "
    "out clean, and default's pictures change less. Wrong: the colours are garish, for these are pixels without "
    "decorrelated colour, and default's reds, yellows and greens run into flat patches."
)


def robust(hall: Hall) -> Exhibit:
    """Pictures optimised as they are, and under random transforms."""
    layer = hall.middle
    targets = [f"{layer}:{unit}" for unit in range(_UNITS)]
    kinds = ("none", "slides", "lucid")
    made = {
        (name, kind): pl.render(
            model, targets, recipe=SURE, steps=hall.steps(_STEPS), **{**BARE, "transforms": kind, "learning_rate": RATE}
        )
        for name, model in networks(hall).items()
        for kind in kinds
    }
    moved = {key: _moved(networks(hall)[key[0]], one.images, layer) for key, one in made.items()}
    kept = {key: float(moved[key].sum() / one.scores.sum()) for key, one in made.items()}
    shares = {key: high_frequency(one.images) for key, one in made.items()}
    fine = {key: float(one.mean()) for key, one in shares.items()}
    judged, other = hall.ordinary.name, hall.model.name

    scores = {key: float(one.scores.mean()) for key, one in made.items()}

    def told(values: Mapping[tuple[str, str], float], name: str, spec: str) -> str:
        return ", ".join(f"{kind} {values[name, kind]:{spec}}" for kind in kinds)

    claims = [
        Claim(
            "Pictures made under transforms still excite their unit when they are slightly transformed.",
            f"in {judged}, under jitter 1 px, rotation 5°, scale 1.1 that they were not made with, those of `slides` "
            f"keep at least 80 % of their score, and those made without transforms less",
            f"{told(kept, judged, '.0%')} ({other}: {told(kept, other, '.0%')})",
            kept[judged, "slides"] >= 0.8 > kept[judged, "none"],
        ),
        Claim(
            "They have less of high frequency.",
            f"in {judged}, less of their power lies above a quarter cycle per px, with both presets",
            f"{told(fine, judged, '.1%')} ({other}: {told(fine, other, '.1%')})",
            all(fine[judged, kind] < fine[judged, "none"] for kind in kinds[1:]),
        ),
        Claim(
            "They are still pictures of the unit.",
            f"in {judged}, seen as they are, the mean score is at least {_LEAST_SCORE:.0%} of that without transforms",
            f"{told(scores, judged, '.3g')} ({other}: {told(scores, other, '.3g')})",
            all(scores[judged, kind] >= _LEAST_SCORE * scores[judged, "none"] for kind in kinds[1:]),
        ),
    ]
    rows: list[list[Cell]] = [
        [*key, target, float(made[key].scores[i]), float(moved[key][i]), float(shares[key][i])]
        for key in made
        for i, target in enumerate(targets)
    ]
    sheet = [
        (f"{name}, {kind}, {one.targets[unit]}", one.pictures[unit])
        for (name, kind), one in made.items()
        for unit in range(4)
    ]
    return Exhibit(
        "Robust to transforms, or not",
        "the slides (S3)",
        f"{_UNITS} channels of `{layer}` as pixels at rate {RATE}, {made[judged, 'none'].recipe.steps} steps: "
        "without transforms, with the document's (`slides`: jitter 1 px, rotation 5°, scale 1.1) and with Lucid's.",
        claims,
        [Picture("pictures", sheet_of(sheet, 4), "Without transforms, with the document's, with Lucid's", _SEEN)],
        [
            Table(
                "units", ("network", "transforms", "target", "score", "score when transformed", "share above 1/4"), rows
            )
        ],
    )


def _moved(model: pl.Model, images: Float[Tensor, "b c h w"], layer: str) -> Float[Tensor, " b"]:
    """The mean score under random transforms."""
    transform, (low, high) = preset("slides"), model.value_range
    draws = Draws.from_keys([f"held out {index}" for index in range(len(images))])
    shown = (images - low) / (high - low)
    seen = [
        means(model, low + (high - low) * transform(shown, draws.at(step)), layer)[:, : len(images)].diagonal()
        for step in range(_DRAWS)
    ]
    return torch.stack(seen).mean(0)


ITEMS = {"robust": robust}
