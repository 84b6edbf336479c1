"""What all units of a layer do while one target is maximised."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from pellucid.ascent.recipe import Recipe
from pellucid.ascent.render import render
from pellucid.ascent.snapshots import video_steps
from pellucid.explain.similarity import responses
from pellucid.models.model import Model
from pellucid.models.targets import Target

__all__ = ["Trace", "trace"]

_NAMED = 5  # units whose curves have a name in the chart


@dataclass(frozen=True)
class Trace:
    """Mean activations `values` [steps, n] of a layer's units after each of `steps`, while `target` was maximised."""

    target: str
    layer: str
    steps: tuple[int, ...]
    values: Float[Tensor, "s n"]

    def risen(self, count: int = _NAMED) -> list[tuple[str, float]]:
        """The units that rose most from the first step to the last, as targets, with by how much."""
        gain = self.values[-1] - self.values[0]
        order = gain.argsort(descending=True, stable=True)[:count].tolist()
        return [(str(Target.unit(self.layer, unit)), float(gain[unit])) for unit in order]

    def chart(self) -> Image.Image:
        """A curve for every unit; the target and those that rise most with it have a name."""
        import matplotlib as mpl
        from matplotlib.figure import Figure

        own = next((term.channels for term in Target.parse(self.target).terms if term.layer == self.layer), None)
        named = [int(name.rpartition(":")[2]) for name, _ in self.risen(_NAMED)]
        with mpl.rc_context({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False}):
            figure = Figure(figsize=(7, 4), dpi=130, layout="constrained")
            axes = figure.subplots()
            axes.plot(self.steps, self.values.numpy(), color="0.75", linewidth=0.5)
            for unit in dict.fromkeys([*([own] if isinstance(own, int) else []), *named]):
                width = 2.5 if unit == own else 1.2
                axes.plot(self.steps, self.values[:, unit].numpy(), linewidth=width, label=f"{self.layer}:{unit}")
            axes.set(xlabel="step", ylabel="mean activation", title=f"while {self.target} is maximised")
            axes.legend(frameon=False, fontsize=9)
            written = io.BytesIO()
            figure.savefig(written, format="png")
        return Image.open(written)


def trace(
    model: Model, target: str | Target, layer: str, *, recipe: Recipe | Mapping[str, Any] | None = None, **settings: Any
) -> Trace:
    """Maximise a target and say after each kept step how much every unit of a layer fires on the picture so far.

    `recipe` and `settings` are those of `render`; which steps are kept is chosen as for a video, or by `snapshots`.

    Raises:
        TargetError, RecipeError: as `render`, and an unknown layer.

    Source: S2, the mean activation of all filters while one is maximised.
    """
    model.layer(layer)
    wanted = Recipe.of(recipe, **settings)
    if not wanted.snapshots:
        wanted = Recipe.of(wanted, snapshots=tuple(video_steps(wanted.total_steps)))
    made = render(model, str(target), recipe=wanted)
    kept = {step: images for step, images in made.snapshots.items() if step < made.status[0].step}
    frames = torch.cat([*kept.values(), made.images])
    return Trace(made.targets[0], layer, (*kept, made.status[0].step), responses(model, layer, frames))
