"""Waking images that get no gradient, or rest where they began.

Behind a ReLU a unit that is off everywhere passes no gradient, and up to half of the deep units of a trained network
are off on a noise start: their pictures would stay grey. An image without gradient climbs this ladder, a rung each
time it is blocked again; only one that no rung wakes is dead. Neighbours in the batch are not touched.

A whole layer is another case: its squares reward what the layer says of flat grey, and the ascent from faint noise may
flatten the picture and stay. Such an image starts once more, with the contrast of a photo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from pellucid.images.image import Image

__all__ = ["LADDER", "PATIENCE", "Rescue", "raise_contrast", "rests"]

PATIENCE = 16  # steps in a row without any gradient until an image is dead, as Lucid's redirection lasts 16 steps
Rung = Literal["redirected ReLU", "pre-activation", "another start", "a start with contrast"]

# What each rung does, and for how long it stays on (steps).
LADDER: tuple[Rung, ...] = ("redirected ReLU", "pre-activation", *(("another start",) * 4))
DURATION = 16

_CONTRAST = 0.25  # standard deviation of the values of a start with contrast; of photos in [0, 1] it is about 0.27
_MOST_DOUBLINGS = 12  # of a start without; from a spread of 0.01 five or six are enough
_FIRST, _LAST = 32, 8  # steps after which an image should have gained, and over how many of them scores are averaged
_GAIN = 1.1  # times its first score; layers that rise have at least doubled theirs by then


@dataclass
class Rescue:
    """The rescue of one image: which rung it stands on, and how long it has had no gradient."""

    enabled: bool = True
    rung: int = -1
    left: int = 0
    silent: int = 0
    climbs_alone: bool = True
    has_rested: bool = False

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
        if self.has_rested:
            return "a start with contrast"
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

    def saw_rest(self) -> bool:
        """The image rests where it began: True the first time, when it is to start with contrast."""
        first = self.enabled and not self.has_rested
        self.has_rested = self.has_rested or first
        return first


def rests(history: Sequence[float], steps: int) -> bool:
    """Whether after an eighth of its steps, 32 at least, an image scores about what it did at the first.

    Asked once, after that step; for objectives that `can_rest` only.
    """
    if len(history) != max(_FIRST, steps // 8):
        return False
    return sum(history[-_LAST:]) / _LAST <= _GAIN * history[0]


@torch.no_grad()
def raise_contrast(image: Image, row: int) -> None:
    """Double what is optimised until a row's picture has the contrast of a photo, as far as that helps."""
    for _ in range(_MOST_DOUBLINGS):
        if image()[row].std() >= _CONTRAST:
            return
        for parameter in image.parameters():
            parameter[row] *= 2
