"""What the ascent works on: a picture to make, its state while it is under way, and the picture made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from pellucid.ascent.rendering import State, Status
from pellucid.ascent.rescue import Rescue
from pellucid.images.image import Image
from pellucid.objectives.groups import GroupTerm
from pellucid.objectives.objective import Objective

__all__ = ["Finished", "ImageMaker", "Job", "Slot"]

NOTHING = Objective(())

ImageMaker = Callable[[int, tuple[int, int]], Image]
"""Makes the images to optimise: (how many, (height, width) in px) -> `Image`."""


@dataclass(frozen=True)
class Job:
    """One picture to make.

    `index` is its place among those asked for, `key` names its random stream. It climbs `objective` plus `beside`
    (penalties) and is reported by `objective` alone. Jobs of one `group` (-1: none) see each other by `terms`, enter
    together and leave together. It starts from `start`, a picture in [0, 1], or from `parameters` [m], if given.
    """

    index: int
    objective: Objective
    key: str
    start: Float[Tensor, "c h w"] | None = None
    parameters: Float[Tensor, " m"] | None = None
    beside: Objective = NOTHING
    group: int = -1
    terms: tuple[GroupTerm, ...] = ()

    @property
    def climbed(self) -> Objective:
        """All that the picture is moved by, but for its group."""
        return self.objective + self.beside if self.beside.terms else self.objective


@dataclass(frozen=True)
class Finished:
    """One picture made. `image` [c, h, w] in the network's range; `parameters` [m] are what was optimised.
    `residual` is how far from stationary it is, where that is known (`realization.py`)."""

    job: Job
    image: Tensor
    parameters: Tensor
    score: float
    history: list[float]
    snapshots: dict[int, Tensor]
    status: Status
    residual: float | None = None


@dataclass
class Slot:
    """A picture under way."""

    job: Job
    rescue: Rescue
    step: int = 0
    restarts: int = 0
    history: list[float] = field(default_factory=list)
    snapshots: dict[int, Tensor] = field(default_factory=dict)
    ended: State | None = None

    @property
    def group(self) -> int:
        """Its group, once it has moved by itself; none before, so that the others do not hide that it is blocked, and
        none when it is broken."""
        return self.job.group if self.step > 0 and self.ended not in ("nonfinite", "dead") else -1
