"""The manipulation check: a picture that excites its unit, but by another path and with other content than nature."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from pellucid.measure.likeness import Likeness

__all__ = ["Suspicion", "likeness_to_examples", "suspicion"]

HIGH_REACH = 90.0  # percentile
LOW_PATH = 0.25


@dataclass(frozen=True)
class Suspicion:
    """Which of the three signs a picture shows; `is_flagged` when it shows all."""

    reaches: bool
    other_path: bool
    other_content: bool

    @property
    def is_flagged(self) -> bool:
        """High reach, low path similarity, and no likeness to what excites the unit in nature."""
        return self.reaches and self.other_path and self.other_content


def likeness_to_examples(
    picture: Float[Tensor, "c h w"],
    examples: Float[Tensor, "k c h w"],
    others: Float[Tensor, "m c h w"],
    likeness: Likeness,
) -> float:
    """How much more a picture in [0, 1] is like its unit's natural top k than like other natural images: a difference.

    At or below 0: the picture does not look like what excites the unit.
    """
    return float(likeness(picture[None], examples).mean() - likeness(picture[None], others).mean())


def suspicion(percentile: float, path_similarity: float, example_likeness: float) -> Suspicion:
    """Flag pictures as a fooling circuit's would be: reach at or above the 90th percentile, path similarity below 0.25,
    and no more like the unit's natural top k than like other images. What is NaN is no sign.

    Source: Geirhos et al. 2024, whose circuits show arbitrary pictures for units that behave as before on photos.
    """
    return Suspicion(percentile >= HIGH_REACH, path_similarity < LOW_PATH, example_likeness <= 0)
