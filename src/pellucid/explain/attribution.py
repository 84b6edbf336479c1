"""Which parts of a photo a target's score comes from: maps over its pixels, for any target of any network.

Gradient, SmoothGrad, integrated gradients, occlusion and Grad-CAM answer different questions; each says which. What the
units of a layer contribute is in `contributions.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from pellucid.draws import Draws
from pellucid.errors import ImageError, TargetError
from pellucid.explain.contributions import aimed, gradient_at, photo_for
from pellucid.models.model import Model
from pellucid.models.targets import Target
from pellucid.objectives.objective import Objective
from pellucid.objectives.response import places

__all__ = ["METHODS", "Attribution", "Method", "attribute", "last_spatial_layer"]

Method = Literal["gradient", "smoothgrad", "integrated-gradients", "occlusion", "grad-cam"]
METHODS: tuple[Method, ...] = get_args(Method)

_BATCH = 16  # pictures that go through the network at once
_SMOOTHGRAD_NOISE = 0.15  # of the value range: Smilkov et al. find 0.1 to 0.2 best
_WINDOWS = 8  # of occlusion along a side, before they overlap by half


@dataclass(frozen=True)
class Attribution:
    """Where in a photo a target's score comes from.

    `photo` [c, h, w] in [0, 1], as the network saw it. `values` [k, h, w] are signed: one for each channel of a pixel
    (k = c) for the gradients, one a pixel (k = 1) for occlusion and Grad-CAM. `score` is the target's on the photo;
    `blank_score` that on the flat mid-grey picture which integrated gradients start from and occlusion hides with
    (None for the others): integrated gradients sum to `score - blank_score`, up to `missing`.
    """

    target: str
    method: Method
    photo: Float[Tensor, "c h w"]
    values: Float[Tensor, "k h w"]
    score: float
    blank_score: float | None = None
    layer: str | None = None

    @property
    def map(self) -> Float[Tensor, "h w"]:
        """One number a pixel: the channels' largest size for gradients (what matters), else their signed sum."""
        if self.method in ("gradient", "smoothgrad"):
            return self.values.abs().amax(0)
        return self.values.sum(0)

    @property
    def missing(self) -> float | None:
        """What the values leave of `score - blank_score` unexplained; None for methods that do not promise to sum."""
        if self.method != "integrated-gradients" or self.blank_score is None:
            return None
        return self.score - self.blank_score - float(self.values.double().sum())


def attribute(
    model: Model,
    photo: str | Path | Tensor,
    target: str | Target | Objective,
    method: str = "integrated-gradients",
    *,
    layer: str | None = None,
    samples: int = 64,
    window_px: int | None = None,
    size: tuple[int, int] | None = None,
    seed: int = 0,
) -> Attribution:
    """Say which pixels of a photo (a file, or a tensor [c, h, w] in [0, 1]) a target's score comes from.

    | method | what a pixel's value says | source |
    | --- | --- | --- |
    | gradient | how much the score moves with the pixel | Simonyan et al. 2014 |
    | smoothgrad | that, averaged over `samples` noisy copies (standard deviation 0.15 of the range) | Smilkov et al. 2017 |
    | integrated-gradients | its share of score minus the blank picture's score, along `samples` steps from mid-grey | Sundararajan et al. 2017 |
    | occlusion | how far the score falls when a mid-grey window of `window_px` lies over it, averaged over windows | Zeiler & Fergus 2014 |
    | grad-cam | what the units of `layer` that raise the score say there, enlarged; never negative | Selvaraju et al. 2017 |

    Integrated gradients and occlusion are Captum's. `layer` is Grad-CAM's: by default the unit's own, for a class the
    last with positions. `window_px` is an eighth of the shorter side by default; windows overlap by half. The photo is
    cut and scaled to cover `size` (by default the network's).

    Raises:
        TargetError: an unknown method, layer or class; a layer that the target does not depend on; several targets.
        ImageError: the photo cannot be read, or a window that does not fit.
    """  # noqa: E501  a table's rows cannot be broken
    if method not in METHODS:
        raise TargetError(f"no method {method!r} of attribution. There are: {', '.join(METHODS)}.")
    if samples < 1:
        raise TargetError(f"attribution takes at least 1 sample, not {samples}")
    size = size or model.size
    objective, name = aimed(model, target, size)
    image = photo_for(model, photo, size)
    low, high = model.value_range
    score = _score_of(model, objective)
    grey = torch.full_like(image, (low + high) / 2)
    with torch.no_grad():
        seen, blank = float(score(image)), float(score(grey))
    found_layer = None
    if method == "gradient":
        values, base = _gradient(score, image)[0], None
    elif method == "smoothgrad":
        values, base = _smoothgrad(score, image, _SMOOTHGRAD_NOISE * (high - low), samples, seed), None
    elif method == "integrated-gradients":
        values, base = _integrated(score, image, grey, samples), blank
    elif method == "occlusion":
        values, base = _occlusion(score, image, grey, window_px or max(1, min(size) // _WINDOWS)), blank
    else:
        found_layer = layer or _own_layer(model, target)
        values, base = _grad_cam(model, image, objective, found_layer), None
    shown = ((image[0] - low) / (high - low)).cpu()
    return Attribution(name, method, shown, values.detach().cpu(), seen, base, found_layer)


def last_spatial_layer(model: Model) -> str:
    """The last layer that still has positions: where a network's parts of things are, before it forgets where.

    Raises:
        TargetError: the network has none.
    """
    spatial = [layer.name for layer in model.layers.values() if max(layer.map_size) > 1]
    if not spatial:
        raise TargetError(f"{model.name} has no layer with positions")
    return spatial[-1]


def _own_layer(model: Model, target: str | Target | Objective) -> str:
    """A unit's own layer, where it has positions; else the last that has."""
    one = Target.parse(target) if isinstance(target, str) else target
    layers = one.layers if isinstance(one, Target) else tuple(tap.layer for tap in one.taps)
    own = layers[0] if layers else None
    if own and max(model.layer(own).map_size) > 1:
        return own
    return last_spatial_layer(model)


def _score_of(model: Model, objective: Objective) -> Callable[[Tensor], Tensor]:
    def score(images: Tensor) -> Tensor:
        return objective(model.tap(images, objective.taps))

    return score


def _gradient(score: Callable[[Tensor], Tensor], images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    leaf = images.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(score(leaf).sum(), leaf)
    return gradient


def _smoothgrad(
    score: Callable[[Tensor], Tensor], image: Float[Tensor, "1 c h w"], spread: float, samples: int, seed: int
) -> Float[Tensor, "c h w"]:
    total = torch.zeros_like(image[0])
    for first in range(0, samples, _BATCH):
        keys = [f"smoothgrad seed {seed} sample {one}" for one in range(first, min(first + _BATCH, samples))]
        noise = Draws.from_keys(keys).normal(*image.shape[1:]).to(image)
        total += _gradient(score, image + spread * noise).sum(0)
    return total / samples


def _integrated(
    score: Callable[[Tensor], Tensor], image: Float[Tensor, "1 c h w"], grey: Float[Tensor, "1 c h w"], samples: int
) -> Float[Tensor, "c h w"]:
    from captum.attr import IntegratedGradients

    values = IntegratedGradients(score).attribute(image, grey, n_steps=samples, internal_batch_size=_BATCH)
    return cast(Tensor, values)[0].to(image)


def _occlusion(
    score: Callable[[Tensor], Tensor], image: Float[Tensor, "1 c h w"], grey: Float[Tensor, "1 c h w"], window_px: int
) -> Float[Tensor, "1 h w"]:
    from captum.attr import Occlusion

    if not 1 <= window_px <= min(image.shape[-2:]):
        raise ImageError(f"a window of occlusion is 1 to {min(image.shape[-2:])} px wide here, not {window_px}")
    channels, stride = image.shape[1], max(1, window_px // 2)
    with torch.no_grad():
        values = Occlusion(score).attribute(
            image,
            sliding_window_shapes=(channels, window_px, window_px),
            strides=(channels, stride, stride),
            baselines=grey,
            perturbations_per_eval=_BATCH,
        )
    return cast(Tensor, values)[0, :1].to(image)  # all channels of a pixel are hidden at once, and have one value


def _grad_cam(
    model: Model, image: Float[Tensor, "1 c h w"], objective: Objective, layer: str
) -> Float[Tensor, "1 h w"]:
    z, _, gradient = gradient_at(model, image, [objective], layer)
    found = model.layer(layer, (image.shape[-2], image.shape[-1]))
    maps, slopes = places(z, found), places(gradient, found)
    if max(maps.shape[-2:]) < 2:
        raise TargetError(f"Grad-CAM needs a layer with positions, and {layer} has none")
    cam = (slopes.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True).clamp(min=0)
    return F.interpolate(cam, image.shape[-2:], mode="bilinear", align_corners=False)[0]
