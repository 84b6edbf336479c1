"""A training run watched: the same units rendered again and again, an atlas for each checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from pellucid.ascent.recipe import Recipe
from pellucid.atlas.outcome import SweepReport
from pellucid.atlas.place import Place
from pellucid.atlas.sweeping import sweep
from pellucid.errors import AtlasError
from pellucid.models.model import Model

__all__ = ["Checkpoints"]


class Checkpoints:
    """The callback of a training loop: every so many steps it renders some units into an atlas of that step.

        watch = pl.atlas.Checkpoints("run-7", every=500, layers="layer3", units="0-15", mean=…, std=…, size=64)
        for step, batch in enumerate(batches):
            ...
            watch(step, net)

    The atlases lie in the folder as `step-00000500`; `pellucid view run-7` shows them with a slider over the steps. All
    pictures of a unit start from the same noise, so that what changes is the network. It looks through a copy: the
    network's mode, gradients and hooks, and the random numbers of the training, are as they were.

    Args:
        url: a folder, or an fsspec URL.
        every: steps between checkpoints; step 0 is one.
        layers, units, recipe, settings: as `pl.atlas.sweep` takes them.
        mean, std, size, contract: the network's input, as `pl.Model` takes it.

    Raises:
        AtlasError: fewer than 1 step between checkpoints.
    """

    def __init__(
        self,
        url: str | Path,
        *,
        every: int,
        layers: str | Sequence[str] | None = None,
        units: str | Sequence[int] | None = None,
        recipe: Recipe | Mapping[str, Any] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        size: int | tuple[int, int] = 224,
        contract: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        if every < 1:
            raise AtlasError(f"checkpoints are 1 step or more apart, not {every}")
        self.place, self.every = Place.of(url), every
        self._units: dict[str, Any] = {"layers": layers, "units": units}
        self._contract = {"mean": mean, "std": std, "size": size, **(contract or {})}
        # What is fastest is not sought anew at each checkpoint; nor may it differ between them.
        self._recipe = Recipe.of(recipe, **{"trial": False, **settings})

    def __call__(self, step: int, net: nn.Module, **about: Any) -> SweepReport | None:
        """To be called after a step of training; None where this step is no checkpoint.

        `about` is plain data to be kept with it, such as `loss=0.7`.

        Raises:
            AtlasError, TargetError, RecipeError, ModelError: as `sweep`.
        """
        return self.render(step, net, **about) if step % self.every == 0 else None

    def render(self, step: int, net: nn.Module, **about: Any) -> SweepReport:
        """Render a checkpoint now; one that is there already, of the same weights, is gone on with."""
        model = Model(net, **self._contract)
        return sweep(
            model,
            f"{self.place.url}/step-{step:08}",
            recipe=self._recipe,
            about={"step": step, **about},
            storage=self.place.options,
            **self._units,
        )
