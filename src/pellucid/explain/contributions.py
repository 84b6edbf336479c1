"""What the units of a layer contribute to a target's score on a photo: from class to units, from unit to unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.ascent.photos import read_photo
from pellucid.errors import TargetError
from pellucid.images.fitting import fitted
from pellucid.models.layers import Layer
from pellucid.models.model import Model
from pellucid.models.taps import Tap
from pellucid.models.targets import Target
from pellucid.models.value_range import in_range
from pellucid.objectives.from_target import objective_of
from pellucid.objectives.objective import Objective, per_image
from pellucid.objectives.response import places
from pellucid.objectives.units import channel
from pellucid.survey.unit_table import About, UnitTable

__all__ = ["Contributions", "Way", "aimed", "between", "by_unit", "contributions_to", "gradient_at"]

Way = Literal["gradient-x-activation", "integrated-gradients", "weight-x-activation"]

_BATCH = 16  # rows that go through the network at once
_AFFINE = 1e-4  # of the score's size: float32 and a sum of some thousand terms
_SOURCES: dict[Way, str] = {
    "gradient-x-activation": "Shrikumar et al. 2016; Olah et al., The Building Blocks of Interpretability, 2018",
    "integrated-gradients": "Sundararajan et al. 2017, from no activation at all",
    "weight-x-activation": "exact: the score is affine in this layer",
}


@dataclass(frozen=True)
class Contributions:
    """What every unit of `layer` adds to a target's score on one photo.

    `values` [n, h, w]: by unit and position (the token grid, or 1 x 1), in the target's units. `score` is the target's;
    `rest` what it would be without the layer, for the ways that promise `values.sum() + rest == score`: integrated
    gradients up to their steps, weight x activation exactly. None for gradient x activation.
    """

    target: str
    layer: str
    way: Way
    values: Float[Tensor, "n h w"]
    score: float
    rest: float | None = None

    @property
    def units(self) -> Float[Tensor, " n"]:
        """One number a unit: the sum over its positions."""
        return self.values.sum((1, 2))

    def strongest(self, count: int = 10) -> list[tuple[str, float]]:
        """The units that contribute most, either way, as targets, with their contribution."""
        order = self.units.abs().argsort(descending=True, stable=True)[:count].tolist()
        return [(str(Target.unit(self.layer, unit)), float(self.units[unit])) for unit in order]

    def table(self, model: Model) -> UnitTable:
        """A column `contribution` for every unit of the layer."""
        about = About(
            f"what the unit adds to {self.target} on the photo, by {self.way}",
            {"target": self.target, "way": self.way, "source": _SOURCES[self.way], "score": self.score},
        )
        targets = [str(Target.unit(self.layer, unit)) for unit in range(len(self.values))]
        return UnitTable.of(model, targets, {"contribution": (self.units.tolist(), about)})


def contributions_to(
    model: Model,
    photo: str | Path | Tensor,
    target: str | Target | Objective,
    layer: str,
    way: str = "gradient-x-activation",
    *,
    samples: int = 32,
    size: tuple[int, int] | None = None,
) -> Contributions:
    """Say what each unit of a layer adds to a target's score on a photo, which is cut to cover `size`.

    | way | what a value is |
    | --- | --- |
    | gradient-x-activation | activation times the score's slope there: exact for small changes |
    | integrated-gradients | that, averaged over `samples` steps from no activation: sums to what the layer adds |
    | weight-x-activation | exact, where what follows the layer is affine: the last layers before the logits |

    Raises:
        TargetError: an unknown layer, class or way; a score that does not depend on the layer, or not affinely where
            that is asked for; several targets.
        ImageError: the photo cannot be read.
    """
    if way not in get_args(Way):
        raise TargetError(f"no way {way!r} to attribute to a layer. There are: {', '.join(get_args(Way))}.")
    size = size or model.size
    objective, name = aimed(model, target, size)
    image = photo_for(model, photo, size)
    found = model.layer(layer, size)
    z, scores, slope = gradient_at(model, image, [objective], layer)
    rest: float | None = None
    if way == "integrated-gradients":
        slope, rest = _mean_slope(model, image, objective, layer, samples)
    elif way == "weight-x-activation":
        rest = _affine_rest(model, image, objective, layer)
    return Contributions(name, layer, cast(Way, way), by_unit(z * slope, found)[0].cpu(), float(scores[0]), rest)


def between(
    model: Model,
    photo: str | Path | Tensor,
    earlier: str,
    later: str,
    units: Sequence[int] | None = None,
    *,
    size: tuple[int, int] | None = None,
) -> Float[Tensor, "m n"]:
    """What each unit of an earlier layer adds to each unit of a later one on a photo: [later units, earlier units].

    Gradient x activation, summed over positions; a later unit's score is its mean activation. `units` picks some of the
    later layer's.

    Raises:
        TargetError: an unknown layer or unit, or the later layer does not depend on the earlier.

    Source: Olah et al., "The Building Blocks of Interpretability", Distill 2018 (attribution between layers).
    """
    size = size or model.size
    image, found = photo_for(model, photo, size), model.layer(earlier, size)
    wanted = list(range(model.layer(later, size).units)) if units is None else list(units)
    rows = []
    for first in range(0, len(wanted), _BATCH):
        part = wanted[first : first + _BATCH]
        objectives = [channel(later, unit) for unit in part]
        z, _, slope = gradient_at(model, image.expand(len(part), -1, -1, -1), objectives, earlier)
        rows.append(by_unit(z * slope, found).sum((2, 3)).cpu())
    return torch.cat(rows)


def aimed(model: Model, target: str | Target | Objective, size: tuple[int, int]) -> tuple[Objective, str]:
    """The objective of one target, and what it is called.

    Raises:
        TargetError: it stands for several, or does not fit the network.
    """
    if isinstance(target, Objective):
        return target, f"objective {target.hash}"
    one = Target.parse(target) if isinstance(target, str) else target
    if any(term.is_several for term in one.terms):
        raise TargetError(f"one target is attributed at a time, and {one} stands for several")
    return objective_of(one, model, size), str(one)


def photo_for(model: Model, photo: str | Path | Tensor, size: tuple[int, int]) -> Float[Tensor, "1 c h w"]:
    """A photo cut and scaled to cover a size, on the network's device and in its range."""
    shown = fitted(read_photo("photo", photo, model)[None], size).clamp(0, 1)
    return in_range(shown, model.value_range).to(model.device)


def gradient_at(
    model: Model,
    images: Float[Tensor, "b c h w"],
    objectives: Sequence[Objective],
    layer: str,
    move: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Float[Tensor, "b ..."], Float[Tensor, " b"], Float[Tensor, "b ..."]]:
    """What a layer says of images, their scores, image i's by objective i, and how these move with what it says.

    Activations and slopes as the layer is tapped: [b, c, h, w], [b, n, c] or [b, c]. With `move` the network goes on
    from the moved activations, which scores and slopes are then of.

    Raises:
        TargetError: a score does not depend on the layer.
    """
    objective = per_image(objectives)
    said: list[Tensor] = []

    def leaf(z: Tensor) -> Tensor:
        moved = z.detach() if move is None else move(z.detach())
        said.extend((z.detach(), moved.requires_grad_()))
        return moved.clone()  # what follows may overwrite it

    scores = objective(model.tap(images, dict.fromkeys((Tap(layer), *objective.taps)), edits={layer: leaf}))
    slope = torch.autograd.grad(scores.sum(), said[1], allow_unused=True)[0] if scores.requires_grad else None
    if slope is None:
        raise TargetError(f"the target does not depend on layer {layer}: take one that comes before it")
    return said[0], scores.detach(), slope


def by_unit(values: Float[Tensor, "b ..."], layer: Layer) -> Float[Tensor, "b n h w"]:
    """Values as a layer is tapped, by unit and position. What prefix tokens hold is added to the first position."""
    maps = places(values, layer)
    if values.ndim == 3 and layer.prefix_tokens:
        maps = maps.clone()
        maps[:, :, 0, 0] += values[:, : layer.prefix_tokens].sum(1)
    return maps


def _mean_slope(
    model: Model, image: Float[Tensor, "1 c h w"], objective: Objective, layer: str, samples: int
) -> tuple[Float[Tensor, "1 ..."], float]:
    """The slope averaged along the way from no activation, at the middles of `samples` steps; and the score there."""
    total, middles = None, (torch.arange(samples, device=image.device) + 0.5) / samples
    for part in middles.split(_BATCH):
        rows = image.expand(len(part), -1, -1, -1)
        _, _, slopes = gradient_at(model, rows, [objective] * len(part), layer, _times(part))
        total = slopes.sum(0, keepdim=True) + (0 if total is None else total)
    assert total is not None  # for the type checker: there is a sample
    none = gradient_at(model, image, [objective], layer, torch.zeros_like)[1]
    return total / samples, float(none[0])


def _times(factors: Float[Tensor, " b"]) -> Callable[[Tensor], Tensor]:
    return lambda z: z * factors.to(z).view(-1, *[1] * (z.ndim - 1))


def _affine_rest(model: Model, image: Float[Tensor, "1 c h w"], objective: Objective, layer: str) -> float:
    """The score without the layer, once it is seen that the slope is the same everywhere.

    Everywhere: at none of the activations, at minus them, at twice them, and with noise of their size added.
    """

    def places_to_look(z: Tensor) -> Tensor:
        noise = torch.randn(z[:1].shape, generator=torch.Generator().manual_seed(0)).to(z) * (z.std() + 1e-6)
        return torch.cat([0 * z[:1], z[:1], -z[:1], 2 * z[:1], z[:1] + noise])

    _, scores, slopes = gradient_at(model, image.expand(5, -1, -1, -1), [objective] * 5, layer, places_to_look)
    off = (slopes - slopes[1]).abs().amax()
    if off > _AFFINE * slopes[1].abs().amax():
        raise TargetError(
            f"the target is not affine in layer {layer}, so weight x activation is not exact there; take a later "
            "layer, or gradient-x-activation"
        )
    return float(scores[0])
