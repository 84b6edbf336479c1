"""Seed agreement and model randomisation: would another start, or an untrained network, have drawn the same?"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from pellucid.measure.likeness import Likeness

__all__ = ["model_randomisation", "seed_agreement"]


def seed_agreement(pictures: Float[Tensor, "n c h w"], likeness: Likeness) -> float:
    """The mean likeness of the pictures of one unit from different seeds, in [0, 1], over all pairs.

    High: the unit has one picture. Low: it has several faces, or the picture is mostly chance. NaN for one picture.

    Source: Nguyen et al., "Multifaceted Feature Visualization", 2016, on what differs between starts.
    """
    count = len(pictures)
    if count < 2:
        return float("nan")
    pairs = likeness(pictures, pictures).double()
    return float((pairs.sum() - pairs.diagonal().sum()) / (count * (count - 1)))


def model_randomisation(
    trained: Float[Tensor, "c h w"], untrained: Float[Tensor, "c h w"], likeness: Likeness
) -> float:
    """The likeness of a unit's picture to that of the same unit of the re-initialised network (`reinitialised`).

    Near 1: the picture shows the architecture, not what was learnt. Compare with seed agreement: pictures of one unit
    that differ among themselves as much say nothing either.

    Source: the check of Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018.
    """
    return float(likeness(trained[None], untrained[None]))
