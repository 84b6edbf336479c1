"""Waking images that get no gradient.

Behind a ReLU a unit that is off everywhere passes no gradient, and up to half of the deep units of a trained network
are off on a noise start: their pictures would stay grey. An image without gradient climbs this ladder, a rung each
time it is blocked again; only one that no rung wakes is dead. Neighbours in the batch are not touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["LADDER", "PATIENCE", "Rescue"]

PATIENCE = 16  # steps in a row without any gradient until an image is dead, as Lucid's redirection lasts 16 steps
Rung = Literal["redirected ReLU", "pre-activation", "another start"]

# What each rung does, and for how long it stays on (steps).
LADDER: tuple[Rung, ...] = ("redirected ReLU", "pre-activation", *(("another start",) * 4))
DURATION = 16


@dataclass
class Rescue:
    """The rescue of one image: which rung it stands on, and how long it has had no gradient."""

    enabled: bool = True
    rung: int = -1
    left: int = 0
    silent: int = 0
    climbs_alone: bool = True

    @property
    def redirects(self) -> bool:
        """Whether blocked rectifiers pass this image's gradient now."""
        return self.left > 0

    @property
    def reads_before_rectifier(self) -> bool:
        """Whether this image is scored before the rectifier of its layer now."""
        return self.left > 0 and self.rung >= 1

    @property
    def how(self) -> Rung | None:
        """The rung that the image stands on; None when it never needed one."""
        return LADDER[self.rung] if self.rung >= 0 else None

    @property
    def is_carried(self) -> bool:
        """Whether the last gradient, if there was one, was the rescue's and not the image's own."""
        return self.how is not None and not self.climbs_alone

    @property
    def is_dead(self) -> bool:
        """Whether patience is at its end."""
        return self.silent >= PATIENCE

    def saw_gradient(self) -> None:
        """The image moves; a rung's time runs down."""
        self.silent = 0
        self.climbs_alone = self.left == 0
        self.left = max(0, self.left - 1)

    def saw_none(self) -> Rung | None:
        """The image is blocked: climb to the next rung, and say which (None when there is none left)."""
        self.silent += 1
        self.climbs_alone = False
        if not self.enabled or self.rung + 1 >= len(LADDER):
            return None
        self.rung += 1
        self.left = DURATION
        return LADDER[self.rung]
