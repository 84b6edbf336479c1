"""Objectives on a classifier's outputs: evidence and probability of a class."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, SupportsIndex, cast

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.errors import TargetError
from pellucid.models.layers import OUTPUT
from pellucid.models.taps import Activations, Tap
from pellucid.objectives.objective import Leaf, Objective

__all__ = ["log_probability", "logit", "probability"]

ClassScoreKind = Literal["logit", "probability", "log_probability"]


@dataclass(frozen=True)
class ClassScore(Leaf):
    """One class of the network's output, before or after the softmax."""

    index: int
    kind: ClassScoreKind = "logit"
    ends_in_softmax: bool = False

    @property
    def taps(self) -> tuple[Tap, ...]:
        """The output."""
        return (Tap(OUTPUT),)

    @property
    def family(self) -> Hashable:
        """Classes scored in the same way."""
        return self.kind, self.ends_in_softmax

    @classmethod
    def score(cls, activations: Activations, rows: Tensor, leaves: Sequence[Leaf]) -> Float[Tensor, " m"]:
        """Softmax or not, then each image's class."""
        scores = cast("Sequence[ClassScore]", leaves)
        output = activations[Tap(OUTPUT)][rows]
        output = output.to(torch.promote_types(output.dtype, torch.float32))
        first = scores[0]
        if first.ends_in_softmax:
            # Where only probabilities come out, log p is the logit up to a shift that all classes share.
            output = output if first.kind == "probability" else output.clamp(min=1e-30).log()
        elif first.kind == "probability":
            output = output.softmax(1)
        elif first.kind == "log_probability":
            output = output.log_softmax(1)
        wrong = [leaf.index for leaf in scores if not 0 <= leaf.index < output.shape[1]]
        if wrong:
            count = output.shape[1]
            raise TargetError(f"class {wrong[0]} is out of range: the network has {count} classes, 0 to {count - 1}")
        picks = torch.tensor([leaf.index for leaf in scores], device=output.device)
        return output.gather(1, picks[:, None])[:, 0]


def logit(index: SupportsIndex, *, ends_in_softmax: bool = False) -> Objective:
    """Score each image by the evidence for a class, before the softmax.

    `ends_in_softmax` says that the network returns probabilities; the logarithm of one stands for its logit then.

    Source: Simonyan et al., "Deep Inside Convolutional Networks", 2014.
    """
    return Objective(((1.0, ClassScore(int(index), "logit", ends_in_softmax)),))


def probability(index: SupportsIndex, *, ends_in_softmax: bool = False) -> Objective:
    """Score each image by the probability of a class, after the softmax: in [0, 1]."""
    return Objective(((1.0, ClassScore(int(index), "probability", ends_in_softmax)),))


def log_probability(index: SupportsIndex, *, ends_in_softmax: bool = False) -> Objective:
    """Score each image by the logarithm of a class's probability; its gradient does not vanish near 0."""
    return Objective(((1.0, ClassScore(int(index), "log_probability", ends_in_softmax)),))
