"""Reach and robustness: how strongly a picture excites its unit, beside natural images, and under new disturbances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.draws import Draws
from pellucid.models.model import Model
from pellucid.objectives.objective import Objective, per_image
from pellucid.transforms.presets import PRESETS, parse

__all__ = ["HELD_OUT", "Reach", "clean_scores", "held_out", "reach", "robustness"]

_BATCH = 64  # pictures that go through the network at once

HELD_OUT = "flip shear:8 blur:0.7 noise:0.04 brightness:1.15 contrast:1.15 hue:8"
"""Disturbances that the usual recipes do not train against: none moves a picture, all leave what it shows."""


@dataclass(frozen=True)
class Reach:
    """How far a picture gets: `percentile` (0 to 100) of its clean activation among natural images', and the `ratio` to
    their maximum (NaN where that is not positive)."""

    percentile: float
    ratio: float


def reach(score: float, natural: Float[Tensor, " n"]) -> Reach:
    """Where a picture's clean activation lies among those of natural images.

    `percentile`: the share of natural images that excite the unit less, in per cent, equal ones counting half. `ratio`:
    the activation over the natural maximum. Clean: without transforms.

    Source: none measures it; Geirhos et al. 2024 ask for high activation before anything else.
    """
    below, equal = (natural < score).double().mean(), (natural == score).double().mean()
    most = float(natural.amax())
    return Reach(float(100 * (below + equal / 2)), score / most if most > 0 else float("nan"))


@torch.no_grad()
def clean_scores(
    model: Model, pictures: Float[Tensor, "b c h w"], objectives: Sequence[Objective]
) -> Float[Tensor, " b"]:
    """The score of picture i, in the network's range, by objective i, without transforms."""
    parts = []
    for first in range(0, len(pictures), _BATCH):
        own = per_image(list(objectives[first : first + _BATCH]))
        shown = pictures[first : first + _BATCH].to(model.device)
        parts.append(own(model.tap(shown, own.taps)).cpu())
    return torch.cat(parts)


def held_out(used: str, candidates: str = HELD_OUT) -> str:
    """The candidates that are not among the transforms a recipe `used`, by kind, as text that `parse` reads."""
    words = [part for word in used.split() for part in PRESETS.get(word, word).split()]
    kinds = {word.partition(":")[0] for word in words}
    return " ".join(word for word in candidates.split() if word.partition(":")[0] not in kinds)


@torch.no_grad()
def robustness(
    model: Model,
    pictures: Float[Tensor, "b c h w"],
    objectives: Sequence[Objective],
    transforms: str = HELD_OUT,
    *,
    draws: int = 8,
    seed: int = 0,
) -> Float[Tensor, " b"]:
    """The mean score of each picture under transforms not used while optimising, over its clean score.

    1: it does not care; 0: nothing is left. NaN where the clean score is not positive. Each transform is drawn anew
    `draws` times, all of them composed; `held_out(recipe.transforms)` leaves those out that were used. Values are in
    the network's range; noise is in units of that range.

    Source: Lucid's and Olah et al.'s transformation robustness, turned into a measure on other transforms.
    """
    clean = clean_scores(model, pictures, objectives)
    transform, (low, high) = parse(transforms), model.value_range
    total = torch.zeros(len(pictures))
    for draw in range(draws):
        for first in range(0, len(pictures), _BATCH):
            part = (pictures[first : first + _BATCH] - low) / (high - low)
            names = [f"robustness seed {seed} picture {first + row}" for row in range(len(part))]
            moved = transform(part, Draws.from_keys(names).at(draw)).clamp(0, 1) * (high - low) + low
            total[first : first + _BATCH] += clean_scores(model, moved, objectives[first : first + _BATCH])
    return torch.where(clean > 0, total / draws / clean, torch.nan)
