"""How far a sweep has come, and what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from pellucid.ascent.progress import Progress
from pellucid.atlas.shards import Picture

__all__ = ["SweepProgress", "SweepReport"]


@dataclass(frozen=True)
class SweepProgress(Progress):
    """How far a sweep has come; its images are those that were missing when it began."""

    dead: int = 0
    failed: int = 0
    doing: str = ""

    @property
    def fields(self) -> dict[str, str | int]:
        """What a bar shows: also what could not be rendered."""
        fields = super().fields
        bad = "".join(f", {count} {what}" for what, count in (("dead", self.dead), ("failed", self.failed)) if count)
        share = self.image_steps / max(1, self.total_image_steps)
        rate = f"{share * self.num_images / max(self.seconds, 1e-9):.2f} images/s"
        return {**fields, "description": f"{self.doing} {self.images_done}/{self.num_images} images{bad}", "rate": rate}


@dataclass(frozen=True)
class SweepReport:
    """What became of a sweep.

    Attributes:
        url: where the atlas is. rendered: how many pictures were made, by how they ended. before: how many were there.
        repaired: damaged shards, which were taken away and rendered again. left: pictures that are still missing.
        bad: pictures made now that do not show their unit.
    """

    url: str
    rendered: Counter[str]
    before: int
    repaired: Mapping[str, str]
    left: int
    seconds: float
    interrupted: bool
    bad: tuple[Picture, ...] = ()
