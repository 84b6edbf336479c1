"""What a run made: a table for people, one JSON document for machines, an exit code for both."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pellucid import __version__
from pellucid.app.cli.tables import note, print_table
from pellucid.ascent.progress import duration
from pellucid.ascent.recipe import Recipe

if TYPE_CHECKING:
    from pellucid.ascent.rendering import Status

__all__ = ["Made", "Report"]


@dataclass(frozen=True)
class Made:
    """One picture: `seconds` counts from the start of the run."""

    target: str
    file: Path
    score: float
    status: Status
    seconds: float
    snapshots: tuple[str, ...] = ()

    @property
    def shows_something(self) -> bool:
        """Whether there is something to see: all but the dead and the non-finite."""
        return self.status.state not in ("dead", "nonfinite")

    @property
    def label(self) -> str:
        """The target, and how it ended where that was not well."""
        return self.target if self.shows_something else f"{self.target} ({self.status.state})"

    def as_dict(self) -> dict[str, Any]:
        """Plain data; a score that is no number is null."""
        return {
            "target": self.target,
            "file": str(self.file),
            "score": self.score if math.isfinite(self.score) else None,
            "status": self.status.state,
            "steps": self.status.step,
            "rescue": self.status.rescue,
            "seconds": self.seconds,
            "snapshots": list(self.snapshots),
        }


@dataclass(frozen=True)
class Report:
    """All that a run made."""

    model: str
    model_hash: str
    recipe: Recipe
    resolved: dict[str, Any]
    made: tuple[Made, ...]
    num_asked: int
    place: Path
    contact_sheet: Path | None
    video: Path | None
    seconds: float
    interrupted: bool

    @property
    def exit_code(self) -> int:
        """0 when at least one picture shows something, 1 when none does, 130 after Ctrl-C."""
        if self.interrupted:
            return 130
        return 0 if any(one.shows_something for one in self.made) else 1

    def json(self) -> str:
        """One document, on one line."""
        document = {
            "pellucid": __version__,
            "model": self.model,
            "model_hash": self.model_hash,
            "recipe": self.recipe.as_dict(),
            "recipe_hash": self.recipe.hash,
            "resolved": self.resolved,
            "images": [one.as_dict() for one in self.made],
            "contact_sheet": str(self.contact_sheet) if self.contact_sheet else None,
            "video": str(self.video) if self.video else None,
            "seconds": self.seconds,
            "interrupted": self.interrupted,
        }
        return json.dumps(document, allow_nan=False)

    def show(self) -> None:
        """A table of the pictures, then what became of the run as a whole."""
        rows = [(one.target, f"{one.score:.4g}", str(one.status), one.file.name) for one in self.made]
        if rows:
            print_table(("target", "score", "status", "file"), rows, numeric=("score",))
        pictures = f"{len(self.made)} picture{'s' if len(self.made) != 1 else ''}"
        sheet = f", all on {self.contact_sheet}" if self.contact_sheet not in (None, self.place) else ""
        sheet += f", as a video in {self.video}" if self.video else ""
        if self.interrupted:
            saved = f"saved {pictures} of {self.num_asked} in {self.place}{sheet}" if rows else "nothing was saved"
            note(f"pellucid: interrupted; {saved}")
        elif self.exit_code == 1:
            note("pellucid: no target could be made to rise; every picture is dead or not finite")
        else:
            note(f"{pictures} in {self.place}{sheet} ({duration(self.seconds)})")
