"""Writing what a run gives, as it finishes, and keeping count of it."""

from __future__ import annotations

import json
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pellucid.app.cli.output import Output
from pellucid.app.cli.report import Made, Report
from pellucid.ascent.recipe import Recipe
from pellucid.images import files, sheets
from pellucid.images.video import Reel, film, write_video

if TYPE_CHECKING:
    from PIL import Image

    from pellucid.ascent.rendering import Rendering
    from pellucid.models.model import Model
    from pellucid.models.targets import Target

__all__ = ["Saving", "save_snapshot"]


class Saving:
    """Saves renderings of some targets, named once for each picture, in whatever order they finish, to one place."""

    def __init__(
        self,
        place: Output,
        targets: Sequence[Target],
        *,
        sidecar: bool,
        keeps_snapshots: bool = True,
        keeps_reels: bool = False,
    ) -> None:
        self.place, self.sidecar = place, sidecar
        self.keeps_snapshots, self.keeps_reels = keeps_snapshots, keeps_reels
        self.num_asked = len(targets)
        self.began = time.perf_counter()
        self._slugs = {str(target): target.slug for target in targets}
        self._indices: dict[str, deque[int]] = defaultdict(deque)
        for index, target in enumerate(targets):
            self._indices[str(target)].append(index)
        self._made: dict[int, Made] = {}
        self._pictures: dict[int, Image.Image] = {}
        self._reels: dict[int, Reel] = {}
        self._resolved: dict[str, Any] = {}
        self._sheet: Path | None = None
        self._video: Path | None = None

    def save(self, rendering: Rendering, *, labels: Sequence[str] | None = None, columns: int | None = None) -> None:
        """Write a rendering: of one target to its file, of several as a contact sheet; with its snapshots where wanted.

        `labels` and `columns` are those of the sheet.

        Raises:
            ImageError: a file cannot be written.
        """
        path = self.place.file_for(self._slugs[rendering.targets[0]])
        self._resolved = asdict(rendering.resolved) | {"hash": rendering.resolved.hash}
        rendering.save(path, sidecar=self.sidecar, labels=labels, columns=columns)
        kept = sorted(rendering.snapshots) if self.keeps_snapshots else []
        snapshots = [str(save_snapshot(rendering, step, path, labels, columns)) for step in kept]
        reels = rendering.reels if self.keeps_reels else ()
        if len(rendering) > 1:
            self._sheet = path
        seconds = time.perf_counter() - self.began
        for row, target in enumerate(rendering.targets):
            score, status = float(rendering.scores[row]), rendering.status[row]
            index = self._indices[target].popleft()
            self._made[index] = Made(target, path, score, status, round(seconds, 2), tuple(snapshots))
            if self.place.is_folder:
                self._pictures[index] = sheets.picture(rendering.pictures[row], alpha=rendering.alpha)
            if reels:
                self._reels[index] = reels[row]

    def save_contact_sheet(self) -> None:
        """Write `contact-sheet.png` with every picture so far, in the order asked for."""
        if self._pictures:
            order = sorted(self._pictures)
            labels = [self._made[index].label for index in order]
            self._sheet = self.place.path / "contact-sheet.png"
            shown = sheets.contact_sheet([self._pictures[index] for index in order], labels)
            files.write(self._sheet, shown, metadata={"pellucid": "contact sheet"})

    def save_video(self, file: Path) -> None:
        """Write how the pictures came about, as far as there are any, in the order asked for.

        Raises:
            ImageError: it cannot be written.
        """
        if self._reels:
            order = sorted(self._reels)
            frames = film([self._reels[index] for index in order], [self._made[index].label for index in order])
            write_video(file, frames)
            self._video = file

    def report(self, model: Model, recipe: Recipe, *, interrupted: bool) -> Report:
        """What was made, in the order asked for."""
        return Report(
            model=model.name,
            model_hash=model.weights_hash,
            recipe=recipe,
            resolved=self._resolved,
            made=tuple(self._made[index] for index in sorted(self._made)),
            num_asked=self.num_asked,
            place=self.place.path,
            contact_sheet=self._sheet,
            video=self._video,
            seconds=round(time.perf_counter() - self.began, 2),
            interrupted=interrupted,
        )


def save_snapshot(
    rendering: Rendering, step: int, path: Path, labels: Sequence[str] | None = None, columns: int | None = None
) -> Path:
    """The images after some steps, as `NAME-step-0016.png`; as a sheet like that of `Rendering.save`."""
    shown = replace(rendering, images=rendering.snapshots[step])
    file = path.with_name(f"{path.stem}-step-{step:04}{path.suffix}")
    if len(shown) > 1:
        files.write(file, shown.contact_sheet(labels, columns=columns), metadata={"pellucid": "contact sheet"})
    else:
        record = {key: value for key, value in shown.provenance().items() if key not in ("score", "status")}
        files.write(
            file,
            shown.pictures[0],
            alpha=shown.alpha,
            metadata={"pellucid": json.dumps(record | {"snapshot_step": step})},
        )
    return file
