"""Distribution match: the activations of real images as what an optimised picture's should be distributed like."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from pellucid.errors import TargetError
from pellucid.models.layers import Layer
from pellucid.models.model import Model
from pellucid.models.taps import Activations, Tap
from pellucid.objectives.frozen import FrozenTensor
from pellucid.objectives.objective import Leaf, Objective
from pellucid.objectives.response import places

__all__ = ["distribution_match", "relevance", "sorted_average"]


@dataclass(frozen=True)
class DistributionMatch(Leaf):
    """Minus the distance of a layer's sorted activations [c, n] to those of reference images."""

    layer: str
    references: FrozenTensor
    weights: FrozenTensor | None = None

    @property
    def taps(self) -> tuple[Tap, ...]:
        """The layer."""
        return (Tap(self.layer),)

    @property
    def family(self) -> Hashable:
        """References of one layer and size, with weights or without."""
        return self.layer, self.references.shape, self.weights is None

    @classmethod
    def score(cls, activations: Activations, rows: Tensor, leaves: Sequence[Leaf]) -> Float[Tensor, " m"]:
        """- sum over channels of weight times the mean over ranks of the squared difference."""
        matches = cast("Sequence[DistributionMatch]", leaves)
        first = matches[0]
        z = _sorted(activations[first.taps[0]][rows], activations.layers[first.layer])
        wanted = torch.stack([leaf.references.like(z) for leaf in matches])
        if wanted.shape[1] != z.shape[1]:
            raise TargetError(f"the references of {first.layer} have {wanted.shape[1]} channels, not {z.shape[1]}")
        if wanted.shape[2] != z.shape[2]:  # pictures of another size: the same distribution at other ranks
            wanted = F.interpolate(wanted, size=z.shape[2], mode="linear", align_corners=True)
        distances = (z - wanted).square().mean(2)
        if first.weights is not None:
            distances = distances * torch.stack([cast(FrozenTensor, leaf.weights).like(z) for leaf in matches])
        return -distances.sum(1)


def _sorted(value: Tensor, layer: Layer) -> Float[Tensor, "b c n"]:
    """A layer's activations, each channel's positions in rising order."""
    maps = places(value, layer).flatten(2)
    return maps.to(torch.promote_types(maps.dtype, torch.float32)).sort(2).values


def sorted_average(references: Activations, layer: str) -> Float[Tensor, "c n"]:
    """The average over images of their sorted activations: each channel's distribution, lowest first.

    The average of several batches of one size is the average of all their images.
    """
    return _sorted(references[layer].detach(), references.layers[layer]).mean(0)


def relevance(
    model: Model, objective: Objective, pictures: Float[Tensor, "b c h w"], layer: str
) -> Float[Tensor, " k"]:
    """How much each channel of a layer matters for an objective on pictures in the network's range: weights, mean 1.

    The sum over positions of |gradient x activation|, in the mean over the pictures: `weights` of `distribution_match`.
    The objective must be read behind the layer.

    Raises:
        TargetError: the objective does not depend on the layer for these pictures.

    Source: the relevance scores of VITAL; gradient x activation after Olah et al., "The Building Blocks of
    Interpretability", Distill 2018.
    """
    with torch.no_grad():
        alone = model.tap(pictures, [layer])
    gates = torch.ones_like(alone[layer], requires_grad=True)  # times z: the gradient by them is gradient x activation
    seen = model.tap(pictures, objective.taps, edits={layer: lambda z: z * gates})
    score = objective(seen).sum()
    shares = torch.zeros_like(gates)
    if score.requires_grad:
        (shares,) = torch.autograd.grad(score, [gates])
    shares = places(shares, alone.layers[layer]).abs().sum((2, 3)).mean(0)
    if not shares.any():
        raise TargetError(f"nothing in {layer} matters for the objective on these pictures: choose a layer before it")
    return shares / shares.mean()


def distribution_match(
    layer: str, references: Activations | Float[Tensor, "c n"], weights: Float[Tensor, " k"] | None = None
) -> Objective:
    """Score each image by how alike its activations are distributed to those of real images: at most 0.

    - sum over channels of `weights` (1 by default) times the mean squared difference between the image's activations
    in rising order and the average of the references' in rising order. Where things lie does not matter. Sum several
    layers with `+`. `references` are tapped images (a unit's top examples, a class's photos) or their
    `sorted_average`. A picture made with it leans on real images: say so wherever it is shown.

    Raises:
        TargetError: weights that are negative or not one for each channel.

    Source: Görgün, Schiele & Fischer, "VITAL", ICCV 2025. Their code takes the mean over channels (divide by their
    number) and weighs layers; settings there: 50 references, Adam at 1 with cosine decay on normalised pixels, jitter
    of 30 px, half then full resolution, 2,000 steps.
    """
    averages = sorted_average(references, layer) if isinstance(references, Activations) else references
    frozen = FrozenTensor.of(averages.sort(1).values)
    if weights is not None and (len(weights) != len(averages) or not (weights >= 0).all()):
        raise TargetError(f"the {len(averages)} channels of {layer} need as many weights of 0 or more")
    return Objective(((1.0, DistributionMatch(layer, frozen, None if weights is None else FrozenTensor.of(weights))),))
