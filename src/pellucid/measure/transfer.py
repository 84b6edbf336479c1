"""Transferability: do networks that did not make a class's picture see the class in it?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from pellucid.ascent.source import Portrait
from pellucid.errors import TargetError
from pellucid.measure.about import about
from pellucid.models.model import Model
from pellucid.models.targets import Target
from pellucid.survey.unit_table import UnitTable

__all__ = ["Transfer", "transfer_table", "transferability"]

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


def transfer_table(model: Model, portraits: Mapping[str, Portrait], judge: Model) -> UnitTable:
    """Columns `transfer_top1` and `transfer_top5` for those of a network's pictures that are of one class.

    Classes are matched by name where both networks have names, else by number. Empty where no picture is of a class
    that the judge has.
    """
    found: dict[str, int] = {}
    for target in portraits:
        terms = Target.parse(target).terms
        if len(terms) != 1 or terms[0].kind not in ("logit", "prob", "logprob") or terms[0].negative:
            continue
        own = model.class_index(terms[0].name)
        try:
            named = model.classes is not None and judge.classes is not None
            found[target] = judge.class_index(model.classes[own] if named and model.classes else str(own))
        except TargetError:
            continue  # the judge knows no such class
    settings = {"judge": judge.name}
    names = ("transfer_top1", "transfer_top5")
    if not found:
        return UnitTable.of(model, [], {name: ([], about(name, settings)) for name in names})
    low, high = model.value_range
    pictures = torch.stack([(portraits[target].image - low) / (high - low) for target in found]).clamp(0, 1)
    seen = transferability(pictures, torch.tensor(list(found.values())), judge)
    columns = zip(names, (seen.top1, seen.top5), strict=True)
    return UnitTable.of(model, list(found), {name: (values, about(name, settings)) for name, values in columns})
