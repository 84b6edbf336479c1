"""The exact picture of a unit that is linear in the input, without any ascent: for first layers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.errors import TargetError
from pellucid.explain.contributions import aimed
from pellucid.models.model import Model
from pellucid.models.targets import Target
from pellucid.objectives.objective import Objective

__all__ = ["ClosedForm", "closed_form"]

_AFFINE = 1e-4  # of the largest slope: float32, and sums of some thousand terms


@dataclass(frozen=True)
class ClosedForm:
    """The best picture there is for a target whose score is affine in the pixels: score(x) = <slope, x> + offset.

    `image` [c, h, w] is in the network's range, and `score` what it reaches: no picture of that range reaches more.
    Pixels that the target does not see are mid-grey. `slope` [c, h, w], normalised, is the best of all pictures of one
    length instead: for a neuron of a convolution, its kernel.
    """

    target: str
    image: Float[Tensor, "c h w"]
    slope: Float[Tensor, "c h w"]
    offset: float
    score: float


def closed_form(model: Model, target: str | Target | Objective, *, size: tuple[int, int] | None = None) -> ClosedForm:
    """The exact optimum of a target that is linear in the input, and its score: a channel or neuron of a first layer.

    Every pixel is at the end of the range that its slope points to: a linear function on a box is largest in a corner.

    Raises:
        TargetError: the score is not affine in the pixels (seen from its slopes at five pictures), or an unknown layer.
    """
    height, width = size or model.size
    objective, name = aimed(model, target, (height, width))
    low, high = model.value_range
    draw = torch.rand(4, model.channels, height, width, generator=torch.Generator().manual_seed(0))
    probes = torch.cat([torch.full_like(draw[:1], 0.5), draw]).to(model.device) * (high - low) + low
    probes.requires_grad_()
    scores = objective(model.tap(probes, objective.taps))
    (slopes,) = torch.autograd.grad(scores.sum(), probes)
    if (slopes - slopes[0]).abs().amax() > _AFFINE * slopes[0].abs().amax() or not slopes.any():
        raise TargetError(
            f"{name} is not linear in the pixels of {model.name}: a closed form exists for a first layer, before its "
            "nonlinearity; render it instead"
        )
    slope = slopes.mean(0)
    # What float rounding leaves of a slope is none: a pixel that is not seen stays grey.
    seen = slope.abs() > 1e-6 * slope.abs().amax()
    middle, half = (low + high) / 2, (high - low) / 2
    image = middle + half * torch.where(seen, slope.sign(), 0.0)
    with torch.no_grad():
        score = float(objective(model.tap(image[None], objective.taps))[0])
        offset = float(scores[0]) - float((slope.double() * probes[0].double()).sum())
    return ClosedForm(name, image.cpu(), slope.cpu(), offset, score)
