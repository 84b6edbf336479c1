"""Which unit of one network is which of another: seen by their pictures, and by what they answer to data.

A picture of a unit of A is shown to B, and inverted there: the objective that it realises says which of B's units it is
the picture of. Optimal for A, it is not quite so for B; so B redraws it briefly, under noise, towards what was just
read, and it is read again.

Source: the procedure that Reinbold & Westermann 2020 propose as future work; correlations as in Li et al., "Convergent
Learning: Do different neural networks learn the same representations?", 2015.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.ascent.ranges import into_range
from pellucid.ascent.recipe import Recipe
from pellucid.ascent.render import render
from pellucid.ascent.rendering import Rendering
from pellucid.draws import Draws
from pellucid.errors import ModelError, RecipeError, TargetError
from pellucid.images.build import build_image
from pellucid.inverse.comparison import Comparison, best
from pellucid.inverse.correlation import moments_of
from pellucid.inverse.inverting import evidence_of
from pellucid.inverse.reading import excited, objective_among
from pellucid.inverse.verify import reoptimised, similarity
from pellucid.models.equalised import Equalised
from pellucid.models.model import Model
from pellucid.objectives.objective import Objective
from pellucid.objectives.response import Response
from pellucid.objectives.response_direction import Aggregation, aggregated, response_direction

__all__ = ["RECIPE", "compare"]

RECIPE = Recipe(
    steps=256, learning_rate=0.05, schedule="cosine", transforms="none", parameter_noise=0.01, precision="float32"
)
"""How pictures are drawn that are to be read: under noise, without transforms, to where the mean gradient ends."""

_UNITS = 32  # that are compared when none are named, spread evenly
_REDRAW_RATE = 0.01  # Adam's: its first steps are of this size whatever the gradient, and must not lose the picture
_NUM_RANDOM, _RANDOM_SD = 64, 1.0  # pictures that scales are read off without data; a spread with a photo's contrast

Says = Callable[[str, float], object]
"""Told what is being done, and which fraction of all is over."""


def compare(
    model_a: Model,
    model_b: Model,
    layer_a: str,
    layer_b: str | None = None,
    *,
    units: Sequence[int] | None = None,
    images: Iterable[Float[Tensor, "_ c h w"]] | None = None,
    rounds: int = 2,
    cosine_power: int = 2,
    aggregation: str = "pooled",
    noise_draws: int = 4,
    recipe: Recipe | Mapping[str, Any] | None = None,
    says: Says | None = None,
) -> Comparison:
    """Match units of a layer of A to those of a layer of B, through their pictures and through their activations.

    What rescales or reorders units within a network changes nothing: every unit is measured on its own scale: how much
    its response to the data varies (without data: to random pictures).

    Args:
        layer_b: by default the layer of A's name.
        units: of A; by default 32 of them, spread evenly.
        images: batches of data, in the range that both networks take, for the correlations; read once.
        rounds: how often B redraws a picture and it is read again, each with a quarter of the recipe's steps.
        noise_draws: evaluations whose mean Jacobian is read, under the recipe's noise.
        recipe: how pictures are drawn, or settings that change `RECIPE`; they are of A's size.
        says: called with what is being done and the fraction of all that is over.

    Raises:
        TargetError: a layer or unit does not exist.
        ModelError: the networks take different channels or ranges, or B cannot run at A's size.
        RecipeError: a bad setting, or transforms, under which no gradient ends.
        ImageError: fewer than two pictures of data.
    """
    asked = _Asked.of((model_a, model_b), (layer_a, layer_b or layer_a), aggregation, cosine_power, recipe)
    if rounds < 0 or noise_draws < 2 or noise_draws % 2:
        raise RecipeError(f"rounds count from 0 and noise_draws by twos from 2, not {rounds} and {noise_draws}")
    chosen = _chosen(units, asked.num_units[0], layer_a, model_a.name)
    return _compared(asked, chosen, images, rounds, noise_draws, says or _quiet)


def _compared(
    asked: _Asked, chosen: Sequence[int], images: Iterable[Tensor] | None, rounds: int, noise_draws: int, says: Says
) -> Comparison:
    says("measuring units", 0.0)
    moments = moments_of(asked.models, asked.responses, asked.random_pictures() if images is None else images)
    silent = [tuple((scale == 0).nonzero()[:, 0].tolist()) for scale in moments.scales]
    chosen = tuple(unit for unit in chosen if unit not in silent[0])
    if not chosen:
        raise TargetError(
            f"the units of {asked.layers[0]} asked for are silent on these pictures: name others, or data"
        )
    a, b = asked.equalised(moments.scales)
    usual = moments.sum_b / moments.count / b.scales[asked.layers[1]]
    says("drawing A's units", 0.05)
    drawn = render(a, asked.units(0, chosen), recipe=asked.recipe)
    says("reading them in B", 0.3)
    seen, redrawn, drift = [asked.read(b, drawn, usual, noise_draws)], drawn, []
    for number in range(rounds):
        says("redrawing them in B", 0.4 + 0.3 * number / rounds)
        redrawn = reoptimised(
            b, redrawn, asked.directions(1, seen[-1]), steps=max(1, asked.recipe.steps // 4), learning_rate=_REDRAW_RATE
        )
        seen.append(asked.read(b, redrawn, usual, noise_draws))
        drift.append(similarity(drawn.images, redrawn.images))
    says("drawing B's units", 0.8)
    matched = tuple(dict.fromkeys(unit for row in seen[-1] if (unit := best(row)) is not None))
    return Comparison(
        models=(a.name, b.name),
        model_hashes=(a.weights_hash, b.weights_hash),
        layers=asked.layers,
        units=chosen,
        read=torch.stack(seen),
        responses=asked.answers(b, drawn),
        ssim=torch.stack(drift) if drift else torch.empty(0, len(chosen)),
        correlations=None if images is None else moments.correlations[list(chosen)],
        num_images=0 if images is None else moments.count,
        silent=(silent[0], silent[1]),
        settings={"rounds": rounds, "noise_draws": noise_draws, **asked.settings},
        drawn=drawn,
        redrawn=redrawn,
        matched_units=matched,
        matched=render(b, asked.units(1, matched), recipe=asked.recipe) if matched else None,
    )


@dataclass(frozen=True)
class _Asked:
    """Two layers to compare and how, checked."""

    models: tuple[Model, Model]
    layers: tuple[str, str]
    responses: tuple[Response, Response]
    num_units: tuple[int, int]
    aggregation: str
    cosine_power: int
    recipe: Recipe

    @classmethod
    def of(
        cls,
        models: tuple[Model, Model],
        layers: tuple[str, str],
        aggregation: str,
        cosine_power: int,
        recipe: Recipe | Mapping[str, Any] | None,
    ) -> _Asked:
        a, b = models
        if (a.channels, a.value_range) != (b.channels, b.value_range):
            raise ModelError(
                f"networks are compared by pictures that both take: {a.name} has {a.channels} channels in "
                f"{a.value_range}, {b.name} {b.channels} in {b.value_range}"
            )
        how = recipe if isinstance(recipe, Recipe) else Recipe.of(RECIPE, **(recipe or {}))
        if how.precision not in ("float32", "float64"):
            raise RecipeError(f"gradients are read in float32 or float64, not {how.precision}: set precision")
        if how.transforms != "none" or how.couples or how.penalties or how.members > 1:
            raise RecipeError(
                "pictures that are to be read are drawn without transforms, penalties, members and groups: they would "
                "have a say in what the picture shows"
            )
        size = how.size or a.size
        how = replace(how, size=size)
        found = [model.layer(layer, size) for model, layer in zip(models, layers, strict=True)]
        response_direction(layers[0], [1.0], cosine_power=cosine_power)  # a power that is none is said here
        responses = aggregated(layers[0], aggregation), aggregated(layers[1], aggregation)
        return cls(models, layers, responses, (found[0].units, found[1].units), aggregation, cosine_power, how)

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides the result, as plain data."""
        return {"aggregation": self.aggregation, "cosine_power": self.cosine_power, "recipe": self.recipe.as_dict()}

    def random_pictures(self) -> list[Tensor]:
        """Pictures of the recipe's kind before any ascent, but with a photo's contrast."""
        model, recipe = self.models[0], self.recipe
        image = build_image(
            recipe.image,
            _NUM_RANDOM,
            recipe.size or model.size,
            channels=model.channels,
            decay=recipe.decay,
            sd=_RANDOM_SD,
            squash=recipe.squash,
            color=recipe.color,
        )
        image.reset_rows(range(_NUM_RANDOM), Draws.from_keys([f"random picture {i}" for i in range(_NUM_RANDOM)]))
        with torch.no_grad():
            return list(into_range(image(), image.ranges, model.value_range).split(16))

    def equalised(self, scales: tuple[Tensor, Tensor]) -> tuple[Equalised, Equalised]:
        """Both networks, each unit on its own scale; a silent one stays as it is."""
        a, b = (
            Equalised(model, {layer: torch.where(scale > 0, scale, 1.0).float()})
            for model, layer, scale in zip(self.models, self.layers, scales, strict=True)
        )
        return a, b

    def directions(self, which: int, vectors: Float[Tensor, "u n"]) -> list[Objective]:
        """The objective of each row, in A (0) or B (1)."""
        aggregation = cast("Aggregation", self.aggregation)  # checked when the response was made
        return [
            response_direction(self.layers[which], vector, cosine_power=self.cosine_power, aggregation=aggregation)
            for vector in vectors
        ]

    def units(self, which: int, units: Sequence[int]) -> list[Objective]:
        """The objective of each unit alone."""
        return self.directions(which, torch.eye(self.num_units[which])[list(units)])

    def read(
        self, model: Model, rendering: Rendering, usual: Float[Tensor, " m"], noise_draws: int
    ) -> Float[Tensor, "u m"]:
        """The objectives that pictures realise in B, among the units whose response is above their usual one."""
        evidence = evidence_of(
            model,
            rendering,
            self.layers[1],
            cosine_power=self.cosine_power,
            aggregation=self.aggregation,
            noise=self.recipe.parameter_noise,
            noise_draws=noise_draws,
        )
        responses = torch.stack([one.response for one in evidence])
        rows = zip(evidence, excited(responses, usual), strict=True)
        return torch.stack([objective_among(one, self.cosine_power, among) for one, among in rows])

    @torch.no_grad()
    def answers(self, model: Model, rendering: Rendering) -> Float[Tensor, "u m"]:
        """B's responses to pictures."""
        response = self.responses[1]
        parts = rendering.images.to(model.device).split(16)
        return torch.cat([response(model.tap(part, [response.tap])).cpu() for part in parts])


def _chosen(units: Sequence[int] | None, count: int, layer: str, model: str) -> tuple[int, ...]:
    """The units asked for, each once; without any, some spread evenly over the layer."""
    if units is None:
        return tuple(dict.fromkeys(int(place) for place in torch.linspace(0, count - 1, min(count, _UNITS)).round()))
    if not len(units):
        raise TargetError(f"name at least one unit of {layer} to compare")
    for unit in units:
        if not 0 <= unit < count:
            raise TargetError(f"no unit {unit} in {layer} of {model}: it has units 0 to {count - 1}")
    return tuple(dict.fromkeys(units))


def _quiet(what: str, fraction: float) -> None:
    """Says nothing."""
