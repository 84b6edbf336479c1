"""How well objectives are found again: the protocol of the source, on any layer of any network.

Objectives are sampled, rendered and inverted; the predictions' angles stand beside those of the response and of chance.
Then the pictures are optimised on, for the target, the prediction, the response and a random objective: what a picture
was made for leaves it as it is.

Source: Reinbold & Westermann 2020, section 3.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.ascent.recipe import Recipe
from pellucid.ascent.render import render
from pellucid.ascent.rendering import Rendering
from pellucid.errors import PellucidError, RecipeError
from pellucid.inverse.critical_spaces import CriticalSpace
from pellucid.inverse.inversion import Inversion
from pellucid.inverse.inverting import invert
from pellucid.inverse.linear_algebra import angle_deg
from pellucid.inverse.sampling import sparse_objectives
from pellucid.inverse.verify import SMALL_RATE, STEPS, reoptimised, similarity
from pellucid.models.model import Model
from pellucid.objectives.response_direction import Aggregation, response_direction

__all__ = [
    "PREDICTORS",
    "RECIPE",
    "Evaluation",
    "evaluate",
    "evaluate_each",
    "judged",
    "objectives_for",
    "reoptimised_for_all",
]

PREDICTORS = ("target", "prediction", "plain", "response", "random")
"""What is compared with the target, and re-optimised for."""

RECIPE: Mapping[str, Any] = {
    "steps": 800,
    "learning_rate": 0.05,
    "schedule": "cosine",
    "transforms": "none",
    "image": "pixels",
    "color": "none",
    "sd": 0.01,
    "parameter_noise": 0.01,
    "noise_draws": 2,
    "precision": "float32",
}
"""How pictures are made unless it is said: Adam on pixels behind a sigmoid, as the source, here with a little noise on
parameters and a rate that falls to zero, in the place of its L-BFGS, which goes from kink to kink behind ReLUs."""


@dataclass(frozen=True)
class Evaluation:
    """What came of it, one row a target.

    `angles_deg` are those of each predictor to the target, modulo what the pictures' gradients cannot tell; `ssim` of
    the pictures re-optimised for each, at each learning rate, to what they were; `coefficients` [n] are the squared
    components of the targets in the left-singular basis, by order, averaged: the first says how much of a target the
    plain answer is. `seconds` are those of each stage.
    """

    targets: Float[Tensor, "b n"]
    rendering: Rendering = field(repr=False)
    inversion: Inversion = field(repr=False)
    angles_deg: Mapping[str, Float[Tensor, " b"]]
    ssim: Mapping[tuple[str, float], Float[Tensor, " b"]]
    coefficients: Float[Tensor, " n"]
    seconds: Mapping[str, float]
    seed: int

    @property
    def worst(self) -> list[int]:
        """The targets, those of the largest prediction angle first."""
        order: list[int] = self.angles_deg["prediction"].argsort(descending=True).tolist()
        return order

    def summary(self) -> dict[str, dict[str, float]]:
        """Median and maximum angle of every predictor, and the median SSIM of its re-optimisation."""
        found: dict[str, dict[str, float]] = {}
        for name in PREDICTORS:
            row: dict[str, float] = {}
            if name in self.angles_deg:
                angles = self.angles_deg[name]
                row = {"median_deg": float(angles.median()), "max_deg": float(angles.max())}
            for (predictor, rate), values in self.ssim.items():
                if predictor == name:
                    row[f"ssim_{rate:g}"] = float(values.median())
            found[name] = row
        return {name: row for name, row in found.items() if row}


def objectives_for(num_units: int, num_random: int, num_single: int, seed: int) -> Float[Tensor, "b n"]:
    """Random sparse objectives, then single units drawn without replacement.

    Raises:
        RecipeError: more single units than there are.
    """
    if num_single > num_units:
        raise RecipeError(f"{num_single} single units of a layer that has {num_units}")
    order = torch.randperm(num_units, generator=torch.Generator().manual_seed(seed))[:num_single]
    single = torch.eye(num_units, dtype=torch.float64)[order]
    return torch.cat([sparse_objectives(num_random, num_units, seed=seed), single]) if num_random else single


def evaluate(
    model: Model,
    layer: str,
    *,
    num_random: int = 50,
    num_single: int = 10,
    cosine_power: int = 2,
    aggregation: Aggregation = "pooled",
    recipe: Recipe | Mapping[str, Any] | None = None,
    critical_space: CriticalSpace | None = None,
    noise: float | None = None,
    noise_draws: int | None = None,
    reoptimise: int = 0,
    rates: tuple[float, ...] = (0.05, SMALL_RATE),
    units: int | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Evaluation:
    """Render objectives of a layer, invert the pictures, and say how far off the answers are.

    Args:
        num_random, num_single: how many random sparse objectives, and how many single units.
        recipe: how pictures are made, over `RECIPE`.
        critical_space: what is searched; found beforehand by `critical_space` and `choose_critical_space`.
        reoptimise: how many of the pictures are optimised on, 500 steps at each of the `rates` for target, prediction,
            response and a random objective (0: none).
        units: so many of the layer's units, the first ones, are all that responses and objectives are about.

    Raises:
        RecipeError, TargetError, InversionError: as `render` and `invert`.
    """
    targets = objectives_for(units or model.layer(layer).units, num_random, num_single, seed)
    objectives = [
        response_direction(layer, t, cosine_power=cosine_power, aggregation=aggregation, units=units) for t in targets
    ]
    whole = Recipe.of(recipe if isinstance(recipe, Recipe) else {**RECIPE, **(recipe or {})}, seed=seed)
    began = time.perf_counter()
    made = render(model, objectives, recipe=whole, progress=progress)
    rendered = time.perf_counter()
    found = invert(model, made, critical_space=critical_space, noise=noise, noise_draws=noise_draws)
    seconds = {"render": rendered - began, "invert": time.perf_counter() - rendered}
    evaluation = judged(targets, made, found, seconds, seed)
    return reoptimised_for_all(model, evaluation, min(reoptimise, len(made)), rates) if reoptimise else evaluation


def evaluate_each(
    model: Model, layer: str, variants: Mapping[str, Mapping[str, Any]], **shared: Any
) -> dict[str, Evaluation]:
    """Evaluate a layer in several ways that differ in one thing: how many units, how an image is parameterized, …

        counts = evaluate_each(model, layer, {str(n): {"units": n} for n in (8, 16, 32)}, cosine_power=0)
        images = evaluate_each(model, layer, {kind: {"recipe": {"image": kind}} for kind in ("pixels", "fourier")})
        save_evaluations(counts, "counts")

    Args:
        variants: by name, what `evaluate` is told besides `shared`; a recipe's words are laid over the shared recipe.

    Raises:
        RecipeError, TargetError, InversionError: as `evaluate`; the message names the variant.
    """
    found: dict[str, Evaluation] = {}
    for name, variant in variants.items():
        told = {**shared, **variant}
        recipes = [one for one in (shared.get("recipe"), variant.get("recipe")) if one is not None]
        if len(recipes) == 2 and all(isinstance(one, Mapping) for one in recipes):
            told["recipe"] = {**recipes[0], **recipes[1]}
        try:
            found[name] = evaluate(model, layer, **told)
        except PellucidError as error:
            raise type(error)(f"{name}: {error}") from error
    return found


def judged(
    targets: Float[Tensor, "b n"], rendering: Rendering, inversion: Inversion, seconds: Mapping[str, float], seed: int
) -> Evaluation:
    """The angles and coefficients of an inversion whose targets are known."""
    wanted = inversion.knowable(targets)
    predictions = _predictions(inversion, seed)
    angles = {name: angle_deg(inversion.knowable(vectors), wanted) for name, vectors in predictions.items()}
    coefficients = torch.zeros(targets.shape[1], dtype=torch.float64)
    for t, vectors in zip(wanted, inversion.vectors, strict=True):
        coefficients[: vectors.shape[1]] += (vectors.T @ t).square() / len(targets)
    return Evaluation(targets, rendering, inversion, angles, {}, coefficients, dict(seconds), seed)


def _predictions(inversion: Inversion, seed: int) -> dict[str, Tensor]:
    num_pictures, num_units = inversion.objectives.shape
    return {
        "prediction": inversion.objectives,
        "plain": inversion.plain,
        "response": inversion.responses,
        "random": sparse_objectives(num_pictures, num_units, seed=seed + 1_000_003),
    }


def reoptimised_for_all(model: Model, evaluation: Evaluation, count: int, rates: tuple[float, ...]) -> Evaluation:
    """The same with pictures optimised on for every predictor but the plain one."""
    began = time.perf_counter()
    start, inversion = evaluation.rendering[:count], evaluation.inversion[:count]
    family = inversion.family
    vectors = {"target": evaluation.targets[:count], **_predictions(evaluation.inversion, evaluation.seed)}
    del vectors["plain"]
    ssim: dict[tuple[str, float], Tensor] = {}
    for rate in rates:
        for name, rows in vectors.items():
            objectives = [
                response_direction(
                    family.layer,
                    t,
                    cosine_power=family.cosine_power,
                    aggregation=family.aggregation,
                    units=family.units,
                )
                for t in rows[:count]
            ]
            again = reoptimised(model, start, objectives, steps=STEPS, learning_rate=rate)
            ssim[name, rate] = similarity(start.pictures, again.pictures)
    seconds = {**evaluation.seconds, "re-optimise": time.perf_counter() - began}
    return replace(evaluation, ssim=ssim, seconds=seconds)
