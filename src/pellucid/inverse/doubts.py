"""Doubts: what makes an answer uncertain, as values beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.inverse.linear_algebra import angle_deg
from pellucid.inverse.solve import Solution

__all__ = ["Doubt", "DoubtKind", "doubts_of_answer", "free_values"]

DoubtKind = Literal[
    "not identifiable",
    "dead units",
    "two objectives",
    "kinks",
    "nonnegative differs",
    "no clear critical space",
    "ambiguous sign",
    "not stationary",
    "on disk",
]

_LEAST_GAP = 1.5  # s2 / s1
_MOST_CONDITION = 1e-6  # s2 / s_n
_KINKS_DEG = 15.0
_DIFFERENT_DEG = 20.0
_MARGIN = 1 / 256  # of its range: a value nearer to an end moves no more (an 8-bit 0 or 255)


@dataclass(frozen=True)
class Doubt:
    """One reason to doubt an answer: its kind, for programs, and a sentence, for people."""

    kind: DoubtKind
    message: str

    def __str__(self) -> str:
        return self.message


def free_values(images: Float[Tensor, "b c h w"], ranges: Sequence[tuple[float, float]]) -> list[int]:
    """How many values of each picture are not at an end of their channel's range."""
    low = torch.tensor([low for low, _ in ranges], dtype=images.dtype)[:, None, None]
    high = torch.tensor([high for _, high in ranges], dtype=images.dtype)[:, None, None]
    span = torch.where(torch.isfinite(high - low), high - low, 1.0)
    bounded = torch.isfinite(high - low) & (high > low)
    place = (images - torch.where(bounded, low, 0.0)) / span
    free = ~bounded | ((place > _MARGIN) & (place < 1 - _MARGIN))
    return [int(count) for count in free.flatten(1).sum(1)]


def doubts_of_answer(
    solution: Solution,
    *,
    single: Solution | None,
    dead: Sequence[int],
    num_free: int,
    num_units: int,
) -> list[Doubt]:
    """What the numbers themselves say; `single` is the answer of the Jacobian at the picture alone."""
    found: list[Doubt] = []
    values = solution.values
    second = float(values[min(1, len(values) - 1)])
    if num_free < 2 * num_units:
        found.append(
            Doubt(
                "not identifiable",
                f"only {num_free} values of the picture are not saturated, fewer than twice the {num_units} units: "
                "the objective is not identifiable",
            )
        )
    if second < _MOST_CONDITION * float(values[-1]):
        found.append(
            Doubt(
                "not identifiable",
                f"s2/s_n is {second / float(values[-1]):.1e}, below {_MOST_CONDITION:g}: several objectives leave no "
                "gradient, and which it was is not identifiable; a critical space may say what can be known",
            )
        )
    if dead:
        names = ", ".join(map(str, dead[:10])) + (f" and {len(dead) - 10} more" if len(dead) > 10 else "")
        found.append(
            Doubt(
                "dead units",
                f"no gradient reaches unit{'s' * (len(dead) > 1)} {names} here, or one in a few of the noisy places "
                "only: left out, weight 0",
            )
        )
    if second < _LEAST_GAP * float(values[0]):
        found.append(
            Doubt(
                "two objectives",
                f"s2/s1 is {second / max(float(values[0]), 1e-300):.2f}, below {_LEAST_GAP:g}: two objectives explain "
                "the picture almost equally; the second is returned too",
            )
        )
    if single is not None and (apart := float(angle_deg(single.plain, solution.plain))) > _KINKS_DEG:
        found.append(
            Doubt(
                "kinks",
                f"the Jacobian at the picture and the mean around it differ by {apart:.0f} degrees: the picture lies "
                "on activation kinks",
            )
        )
    if solution.nonnegative is not None:
        apart = float(angle_deg(solution.plain, solution.nonnegative))
        if apart > _DIFFERENT_DEG:
            found.append(
                Doubt("nonnegative differs", f"the nonnegative and the plain answer differ by {apart:.0f} degrees")
            )
    return found
