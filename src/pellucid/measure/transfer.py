"""Transferability: do networks that did not make a class's picture see the class in it?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from pellucid.models.model import Model

__all__ = ["Transfer", "transferability"]

_BATCH = 32  # pictures that go through the network at once


@dataclass(frozen=True)
class Transfer:
    """Of each picture, whether the class is the judge's first guess, and whether it is among its first five."""

    top1: tuple[bool, ...]
    top5: tuple[bool, ...]

    @property
    def rates(self) -> tuple[float, float]:
        """The shares of pictures recognised: top-1 and top-5."""
        return sum(self.top1) / len(self.top1), sum(self.top5) / len(self.top5)


@torch.no_grad()
def transferability(pictures: Float[Tensor, "b c h w"], classes: Int64[Tensor, " b"], judge: Model) -> Transfer:
    """Show pictures in [0, 1], made for the judge's classes by another network, to a judge that did not make them.

    They are resized to the judge's size. Classes are the judge's numbers: where the networks name theirs differently,
    `judge.class_index(name)` finds them.

    Source: Fel et al., "Unlocking Feature Visualization for Deeper Networks with MAgnitude Constrained Optimization",
    NeurIPS 2023.
    """
    low, high = judge.value_range
    shown = pictures
    if shown.shape[-2:] != judge.size:
        shown = F.interpolate(pictures, judge.size, mode="bilinear", antialias=True, align_corners=False)
    scores = torch.cat([judge((low + part * (high - low)).to(judge.device)).cpu() for part in shown.split(_BATCH)])
    guesses = scores.topk(min(5, scores.shape[1]), dim=1).indices
    right = guesses == classes[:, None]
    return Transfer(tuple(right[:, 0].tolist()), tuple(right.any(1).tolist()))
