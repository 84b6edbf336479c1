"""A photo with what a target sees in it made stronger, and everything else held."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.ascent.photos import read_photo, tapped
from pellucid.ascent.progress import Progress
from pellucid.ascent.recipe import Recipe
from pellucid.ascent.render import render
from pellucid.ascent.rendering import Rendering
from pellucid.errors import RecipeError, TargetError
from pellucid.images.fitting import fitted
from pellucid.models.model import Model
from pellucid.models.taps import Activations
from pellucid.models.targets import Target, Term
from pellucid.models.value_range import in_range
from pellucid.objectives.from_target import objective_of
from pellucid.objectives.objective import Objective
from pellucid.objectives.photos import inversion

__all__ = ["RATE", "Accent", "accentuate"]

RATE = 0.05
"""The learning rate from a photo: at 0.1, which suits noise, the first steps cover it with a grain of their own."""

_FREE_STEPS = (1, 2, 4, 8, 16, 32, 64)
_FAR = 0.5  # of the photo's squared activations: so different pictures are of other things, and still of this photo
_PRICE = 2  # times what is gained on the way there: then going all of it does not pay, and a quarter of it does best


def accentuate(
    model: Model,
    photo: str | Path | Tensor,
    target: str | Target,
    *,
    pull_layer: str,
    pull: float = 1.0,
    recipe: Recipe | Mapping[str, Any] | None = None,
    progress: bool = False,
    callback: Callable[[Progress], bool | None] | None = None,
    **settings: Any,
) -> Rendering:
    """Make stronger what a target sees in a photo, which is a file or a tensor [c, h, w] in [0, 1].

    The picture starts from the photo, cut and scaled to cover the recipe's size, and maximises the target minus
    w ||z - z0||^2, where z are its activations at `pull_layer` and z0 the photo's. `pull` is w in a unit that is
    measured for each photo, target and layer: a short ascent without any pull says how much the target gains on the way
    to ||z - z0||^2 = ||z0||^2 / 2, and at pull 1 going there costs twice that. So 0 is free, 0.3 lets the target
    repaint the photo, at 1 it takes up what suits it, and 3 leaves the photo nearly as it is; at the same distance a
    shallow layer allows more than a deep one, which knows what is seen.

    `recipe` and `settings` are those of `render`; the learning rate is 0.05 unless they say otherwise. The label is a
    target: rendered from the same start, it gives the same picture.

    Raises:
        TargetError: an unknown layer or class, several targets, or a photo that the target does not rise from.
        RecipeError: `pull` is negative, or a setting that does not go with a photo: start, octaves, alpha.
        ImageError: the photo cannot be read, or does not fit the network.

    Source: Olah et al., "Feature Visualization", Distill 2017; Hamblin et al., "Feature Accentuation", 2024, who weigh
    by a gradient's length.
    """
    accent = Accent.of(model, photo, target, pull_layer, recipe, settings)
    return accent.render(pull, progress=progress, callback=callback)


@dataclass(frozen=True)
class Accent:
    """A photo at the size of the pictures, what is to rise in it, and where it is held."""

    model: Model
    photo: Float[Tensor, "c h w"]
    name: str
    target: Target
    layer: str
    recipe: Recipe
    objective: Objective
    seen: Activations

    @classmethod
    def of(
        cls,
        model: Model,
        photo: str | Path | Tensor,
        target: str | Target,
        layer: str,
        recipe: Recipe | Mapping[str, Any] | None,
        settings: Mapping[str, Any],
    ) -> Accent:
        """Everything checked, before the first step; see `accentuate`."""
        wanted = Recipe.of(recipe, **settings)
        for name in ("start", "octaves", "alpha"):
            if getattr(wanted, name):
                raise RecipeError(f"{name} does not go with a photo that is accentuated: leave it out")
        if wanted.learning_rate is None:
            wanted = replace(wanted, learning_rate=RATE)
        one = Target.parse(target) if isinstance(target, str) else target
        if any(term.is_several for term in one.terms):
            raise TargetError(f"one target is accentuated at a time, and {one} stands for several")
        size = wanted.size or model.size
        objective = objective_of(one, model, size)
        model.layer(layer, size)
        covering = fitted(read_photo("photo", photo, model)[None], size)[0]
        seen = tapped(model, covering[None], [layer])
        if not seen[layer].any():
            raise TargetError(f"the photo's activations of {layer} are all zero: it cannot be held there")
        name = "photo" if isinstance(photo, Tensor) else str(photo)
        return cls(model, covering, name, one, layer, wanted, objective, seen)

    def render(
        self,
        pull: float,
        *,
        progress: bool = False,
        callback: Callable[[Progress], bool | None] | None = None,
    ) -> Rendering:
        """The accentuated photo; see `accentuate`."""
        if not 0 <= pull < float("inf"):
            raise RecipeError(f"pull is a number from 0 (free) upwards, not {pull!r}")
        weight = float(f"{pull * self.unit():.4g}") if pull else 0.0
        held = Term("inversion", self.layer, weight=weight, name=self.name)
        label = Target((*self.target.terms, held)) if weight else self.target
        objective = self.objective + inversion(self.layer, self.seen) * weight if weight else self.objective
        made = render(self.model, objective, recipe=self.recipe, start=self.photo, progress=progress, callback=callback)
        return replace(made, targets=(str(label),) * len(made))

    def unit(self) -> float:
        """The weight of ||z - z0||^2 at pull 1.

        Raises:
            TargetError: the target does not rise from this photo.
        """
        usual = Recipe()
        alone = ("members", "diversity", "alignment", "group_layer", "shared_low_res", "refine", "best_of", "plateau")
        free = replace(
            self.recipe,
            steps=_FREE_STEPS[-1],
            snapshots=(0, *_FREE_STEPS),
            level=None,
            **{name: getattr(usual, name) for name in alone},
        )
        way = render(self.model, self.objective, recipe=free, start=self.photo)
        scores, distances = self.judged(torch.cat([images for _, images in sorted(way.snapshots.items())]))
        far = next((i for i, distance in enumerate(distances) if distance >= _FAR), len(distances) - 1)
        gain, distance = float(scores[far] - scores[0]), float(distances[far])
        if not (gain > 0 and distance > 0):
            raise TargetError(
                f"{self.target} does not rise from this photo, so that nothing can be weighed against it; "
                "try another photo, or a pull of 0"
            )
        return _PRICE * gain / (distance * float(self.seen[self.layer].square().sum()))

    def judged(self, images: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        """How strong the target is in images in the network's range, and how far they are: ||z - z0||^2 / ||z0||^2."""
        taps = tuple(dict.fromkeys((*self.objective.taps, *inversion(self.layer, self.seen).taps)))
        with torch.no_grad():
            seen = self.model.tap(images, taps)
            squares = (seen[self.layer] - self.seen[self.layer]).square().flatten(1).sum(1)
            return self.objective(seen).cpu(), (squares / self.seen[self.layer].square().sum()).cpu()

    @property
    def photo_score(self) -> float:
        """How strong the target is in the photo."""
        return float(self.judged(in_range(self.photo[None], self.model.value_range))[0])
