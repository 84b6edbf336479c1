"""The demo's last room: every unit of one layer, as an atlas and its static site."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pellucid.app.site.export import export
from pellucid.app.site.shelf import Shelf
from pellucid.atlas.outcome import SweepProgress
from pellucid.atlas.store import Atlas
from pellucid.atlas.sweeping import sweep
from pellucid.errors import AtlasError
from pellucid.models.model import Model

__all__ = ["Hung", "hang_units"]

_LAYER, _STEPS = "mixed4a", 48  # half a minute on two cores; the ladder's pictures, of more steps, are sharper
_MARK = {"made by": "pellucid demo"}

OnProgress = Callable[[str, float], "bool | None"]


@dataclass(frozen=True)
class Hung:
    """Where the atlas and its site lie, and how many units they show."""

    atlas: Path
    page: Path
    num_units: int


def hang_units(
    model: Model,
    folder: Path,
    *,
    steps: int | None = None,
    seed: int = 0,
    source: Mapping[str, Any] | None = None,
    on_progress: OnProgress | None = None,
) -> Hung:
    """Render every unit of a layer into `units/`, and write the atlas's site into `atlas/`, both in the demo's folder.

    What an earlier demo left there is gone on with, or replaced when it was made otherwise.

    Raises:
        AtlasError: something else lies there, or the folder cannot be written.
    """
    place = folder / "units"

    def on_step(run: SweepProgress) -> bool | None:
        share = run.image_steps / max(1, run.total_image_steps)
        return on_progress(f"all units of {_LAYER}", 0.9 * share) if on_progress else None

    def on_unit(done: int, total: int) -> bool | None:
        return on_progress("their pages", 0.9 + 0.1 * done / total) if on_progress else None

    recipe = {"steps": min(steps or _STEPS, _STEPS), "seed": seed}
    for is_last in (False, True):
        try:
            report = sweep(
                model, place, layers=_LAYER, recipe=recipe, source=source, about=dict(_MARK), callback=on_step
            )
            break
        except AtlasError:
            if is_last or not _is_ours(place):
                raise
            shutil.rmtree(place)
    if report.interrupted:
        raise KeyboardInterrupt
    shelf = Shelf.open(place)
    written = export(shelf, folder / "atlas", on_progress=on_unit)
    return Hung(place, written.index, written.num_units)


def _is_ours(place: Path) -> bool:
    try:
        return dict(Atlas.open(place).card.about) == _MARK
    except AtlasError:
        return False
