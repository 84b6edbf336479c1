"""Pictures of targets kept in a folder between runs: what was rendered once is read, and a run that ended goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from pellucid.ascent.progress import Progress
from pellucid.ascent.recipe import Recipe
from pellucid.ascent.render import stream
from pellucid.ascent.rendering import Status
from pellucid.ascent.source import Portrait
from pellucid.errors import ImageError
from pellucid.images.sidecars import read_sidecar, write_sidecar
from pellucid.models.model import Model

__all__ = ["PortraitFolder"]

_TOGETHER = 64  # pictures in a file


class PortraitFolder:
    """A `RenderingSource` that renders what its folder does not hold, and keeps it there in files of 64 pictures.

    Pictures are kept in half precision (an error of at most 1/4096 in [0, 1]), and given so whether they were kept or
    made just now. A folder may hold pictures of several networks and recipes.
    """

    def __init__(
        self,
        folder: str | Path,
        model: Model,
        recipe: Recipe,
        callback: Callable[[Progress], bool | None] | None = None,
        *,
        renders: bool = True,
    ) -> None:
        """`renders=False` gives what is there, and no more."""
        self.model, self.recipe, self.callback, self.renders = model, recipe, callback, renders
        self.folder = Path(folder) / f"{model.weights_hash}-{recipe.hash}"
        self._kept: dict[str, Portrait] | None = None

    def portraits(self, targets: Sequence[str]) -> dict[str, Portrait]:
        """The pictures of these targets, rendered where they are not there yet; fewer when the callback stopped it."""
        kept = self._read()
        missing = [target for target in dict.fromkeys(targets) if target not in kept] if self.renders else []
        for first in range(0, len(missing), _TOGETHER):
            part = missing[first : first + _TOGETHER]
            made = [
                Portrait(one.targets[0], one.images[0].half().float(), float(one.scores[0]), one.status[0])
                for one in stream(self.model, part, recipe=self.recipe, callback=self.callback)
                if one.status[0].state != "interrupted"
            ]
            if made:
                self._write(made)
            if len(made) < len(part):
                break
        return {target: kept[target] for target in targets if target in kept}

    def _read(self) -> dict[str, Portrait]:
        if self._kept is None:
            self._kept = {}
            for file in sorted(self.folder.glob("*.safetensors")):
                tensors, about = read_sidecar(file)
                try:
                    records = json.loads(about["portraits"])
                except (KeyError, ValueError):
                    raise ImageError(f"'{file}' holds no pictures of targets; give another folder") from None
                for record, image in zip(records, tensors["images"], strict=True):
                    status = Status(**record["status"])
                    self._kept[record["target"]] = Portrait(record["target"], image.float(), record["score"], status)
        return self._kept

    def _write(self, made: list[Portrait]) -> None:
        assert self._kept is not None  # for the type checker: it was read first
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ImageError(f"cannot write '{self.folder}': {error.strerror or error}") from None
        records = [{"target": one.target, "score": one.score, "status": asdict(one.status)} for one in made]
        images = {"images": torch.stack([one.image for one in made]).half()}
        file = self.folder / f"{len(self._kept):06d}.safetensors"
        write_sidecar(file, images, {"portraits": json.dumps(records)})
        self._kept.update({one.target: one for one in made})
