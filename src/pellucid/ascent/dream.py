"""DeepDream: a photo in which a network's own ideas are made stronger, at several sizes and tile by tile.

At each octave the photo is resized, and what was dreamt so far is enlarged and added: only the dream is ever enlarged,
so that no detail of the photo is lost. The network never sees more than a few tiles at once, and memory depends on
their size, not on the photo's.

Source: Mordvintsev, Olah & Tyka, "Inceptionism", 2015, and the notebooks published with it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.ascent.dream_recipe import DreamRecipe
from pellucid.ascent.dreams import Dream, Octave
from pellucid.ascent.machine import find_device
from pellucid.ascent.memory import free_bytes, kept_memory
from pellucid.ascent.photos import read_photo, resized, tapped
from pellucid.ascent.progress import DreamProgress, progress_bar
from pellucid.ascent.rendering import State, Status
from pellucid.ascent.tiles import MARGIN_PX, Tiles, find_tiles
from pellucid.ascent.trial import bytes_between, images_for
from pellucid.ascent.working import Candidate, prepared
from pellucid.draws import Draws
from pellucid.errors import ImageError, ModelError, RecipeError, TargetError, is_out_of_memory
from pellucid.images.fitting import fitted
from pellucid.models.model import Model
from pellucid.models.targets import Target
from pellucid.objectives.from_target import objective_of
from pellucid.objectives.guides import guided
from pellucid.objectives.objective import Objective

__all__ = ["dream"]

_LEAST_PX = 64  # of an octave's shorter side, for networks that were made for more
_LEAST_TILE_PX = 32
# Bytes that a batch of tiles may keep between forward and backward, by device: more at once is hardly faster on a CPU.
_BATCH_BYTES = {"cpu": 2**28, "cuda": 2**32, "mps": 2**30}
_PICTURES = 10  # pictures of the largest octave that are alive at once: photo, dream, gradient, their shifted copies
_CHOSEN = Candidate("float32", "channels_last", folded=True)


def dream(
    model: Model,
    photo: Float[Tensor, "c h w"] | str | Path,
    target: str | Target | Objective,
    *,
    guide: Float[Tensor, "c h2 w2"] | str | Path | None = None,
    keep: bool = False,
    recipe: DreamRecipe | Mapping[str, Any] | None = None,
    progress: bool = False,
    callback: Callable[[DreamProgress], bool | None] | None = None,
    **settings: Any,
) -> Dream:
    """Dream a photo: change it so that a network sees more of what it saw in it.

    Args:
        photo: [c, h, w] in [0, 1] of any size, or a file.
        target: what to make stronger: a layer ("mixed4a": all that it finds interesting), or any other target.
        guide: a second photo, or a file: instead of everything, what the layer sees in that one is made stronger.
        keep: keep the picture of each octave.
        recipe: how; `settings` are fields of `DreamRecipe` that change it, e.g. `octaves=3`.
        progress: show a bar with time left.
        callback: called after every batch of tiles; returning True stops the dream, which gives what there is, as
            Ctrl-C does.

    Raises:
        TargetError: an unknown layer or class, several targets, a guide without a layer.
        RecipeError: an unknown or bad setting; a dream larger than memory; a tile that the network cannot run on.
        ImageError: the photo cannot be read, or is too small.
    """
    run = _Run(model, photo, target, guide, keep, callback, DreamRecipe.of(recipe, **settings))
    with progress_bar() if progress else nullcontext(None) as run.show, kept_memory():
        return run()


class _Run:
    """One dream: everything is checked when it is built, before the first step."""

    def __init__(
        self,
        model: Model,
        photo: Tensor | str | Path,
        target: str | Target | Objective,
        guide: Tensor | str | Path | None,
        keep: bool,
        callback: Callable[[DreamProgress], bool | None] | None,
        recipe: DreamRecipe,
    ) -> None:
        if not isinstance(model, Model):
            raise ModelError(
                f"dream takes a pl.Model, not {type(model).__name__}: wrap it, pl.Model(net, mean=…, size=…)"
            )
        self.original, self.recipe, self.keep, self.callback = model, recipe, keep, callback
        self.show: Callable[[DreamProgress], None] | None = None
        self.device = torch.device(find_device(recipe.device, model))
        self.photo = read_photo("photo", photo, model)
        self.label, self.objective = _objective(target, model, with_guide=guide is not None)
        self.octaves = self._octaves()
        if guide is not None:
            self.objective = self._guided(guide)
        self.model = prepared(model, _CHOSEN, self.objective.taps, self.device)
        self.draws = Draws.from_keys([f"seed {recipe.seed}"]).child("shift")
        self.total = recipe.steps * sum(len(tiles) for tiles in self.octaves)
        self.done: list[Octave] = []
        self.batch, self.num_tiles, self.num_steps = 1, 0, 0
        self.detail = torch.zeros_like(self.photo[:, :1, :1], device=self.device)

    def _octaves(self) -> list[Tiles]:
        """The octaves that the network can run at, the smallest first."""
        model, wanted = self.original, self.recipe.tile
        height, width = self.photo.shape[1:]
        least = min(_LEAST_PX, *model.size)
        *smaller, last = self.recipe.sizes((height, width), least)
        self._check_memory(last)
        if wanted and wanted < (fewest := min(_LEAST_TILE_PX, *model.size)):
            raise RecipeError(f"tile {wanted} (--tile) is too small to see anything in; take {fewest} px or more")
        if wanted and wanted <= min(last):
            try:
                model.layers_at((wanted, wanted))
            except ModelError as error:
                raise RecipeError(f"tile {wanted} (--tile) does not do: {error}") from None
        if min(last) < least or (tiles := find_tiles(model, last, wanted)) is None:
            raise ImageError(
                f"a picture of {last[0]} x {last[1]} px is too small for {model.name}, made for {model.size[0]} x "
                f"{model.size[1]} px; enlarge it: size (--size) is its longer side"
            )
        return [*(found for size in smaller if (found := find_tiles(model, size, wanted))), tiles]

    def _check_memory(self, size: tuple[int, int]) -> None:
        """Refuse what does not fit, before it is tried: the pictures of the largest octave, and one tile."""
        model, gib, free = self.original, 2.0**30, free_bytes(self.device)
        pictures = _PICTURES * 4 * model.channels * size[0] * size[1]
        if pictures > free:
            raise RecipeError(
                f"size {max(size)} (--size): a dream of {size[0]} x {size[1]} px takes {pictures / gib:.1f} GiB, and "
                f"{free / gib:.1f} GiB are free; take a smaller size"
            )
        if (tile := self.recipe.tile) is None or tile * tile <= model.size[0] * model.size[1]:
            return
        _, one = bytes_between(model, self.objective.taps, images_for(model, 1, model.size, model.device))
        area = min(tile, size[0] + MARGIN_PX) * min(tile, size[1] + MARGIN_PX)
        if (need := pictures + one * area / (model.size[0] * model.size[1])) > free:
            raise RecipeError(
                f"tile {tile} (--tile): with tiles so large the dream takes {need / gib:.1f} GiB, and {free / gib:.1f} "
                "GiB are free; take smaller ones, or leave the choice"
            )

    def _guided(self, guide: Tensor | str | Path) -> Objective:
        """The objective that a guide makes of the whole layer."""
        ((weight, leaf),) = self.objective.terms
        (tap,) = leaf.taps
        shown = fitted(read_photo("guide", guide, self.original)[None], self.octaves[-1].tile)
        with torch.no_grad():
            return guided(tap.layer, tapped(self.original, shown, [tap])) * weight

    def __call__(self) -> Dream:
        self.began = time.perf_counter()
        try:
            state = self._dreamt()
        except KeyboardInterrupt:
            if not self.num_steps:
                raise
            state = "interrupted"
        return self._result(state)

    def _dreamt(self) -> State:
        """Go through the octaves; how it ended."""
        moved = False
        for number, tiles in enumerate(self.octaves):
            base = resized(self.photo.to(self.device), tiles.size).clamp(0, 1)
            image = (base + resized(self.detail, tiles.size)).clamp(0, 1)
            self.batch = _most_at_once(self.model, self.objective, tiles, self.device)
            self.done.append(Octave(tiles.size, tiles.tile, ()))
            for step in range(self.recipe.steps):
                score, gradient = self._gradient(image, tiles, self._shift(number, step, tiles.margin))
                mean = gradient.abs().mean()
                if not mean.isfinite():
                    return "nonfinite"
                if mean > 0:
                    image = (image + gradient * (self.recipe.rate / mean)).clamp(0, 1)
                    moved = True
                self.num_steps += 1
                self.detail = image - base
                self.done[-1] = replace(self.done[-1], scores=(*self.done[-1].scores, score))
            if self.keep:
                self.done[-1] = replace(self.done[-1], image=image.cpu())
        return "done" if moved else "dead"

    def _shift(self, octave: int, step: int, margin: int) -> tuple[int, int]:
        """Where the picture lies in its frame in a step (row, col): seams are elsewhere each time."""
        down, right = (self.draws.child(f"octave {octave}").at(step).uniform(2)[0] * (margin + 1)).int().tolist()
        return down, right

    def _gradient(self, image: Tensor, tiles: Tiles, shift: tuple[int, int]) -> tuple[float, Tensor]:
        """The mean score over the tiles of the shifted picture, and the gradient by the picture."""
        frame = tiles.framed(image, shift)
        gradient, score, at = torch.zeros_like(frame), 0.0, 0
        while at < len(tiles):
            places = tiles.places[at : at + self.batch]
            try:
                scores, to_shown = self._both_ways(tiles.cut(frame, places))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if self.batch == 1:
                    height, width = tiles.tile
                    raise RecipeError(
                        f"tile: memory does not hold one of {height} x {width} px; take a smaller one (--tile)"
                    ) from error
                self.batch //= 2
                continue
            tiles.add(gradient, to_shown, places)
            score += float(scores.sum())
            at += len(places)
            self._say(len(places))
        return score / len(tiles), tiles.unframed(gradient, shift)

    def _both_ways(self, shown: Tensor) -> tuple[Tensor, Tensor]:
        """Scores [b] of some tiles, and their gradients."""
        shown.requires_grad_()
        scores = self._scores(shown)
        if not scores.requires_grad:  # nothing depends on the picture
            return scores, torch.zeros_like(shown)
        return scores.detach(), torch.autograd.grad(scores.sum(), shown)[0]

    def _scores(self, shown: Tensor) -> Tensor:
        return self.objective(tapped(self.model, shown, self.objective.taps).with_image(shown))

    def _say(self, num_tiles: int) -> None:
        """Show the progress to whoever asked for it, and stop where they want no more."""
        self.num_tiles += num_tiles
        seconds = time.perf_counter() - self.began
        progress = DreamProgress(self.num_tiles, self.total, len(self.done), len(self.octaves), seconds)
        if self.show is not None:
            self.show(progress)
        if self.callback is not None and self.callback(progress) is True:
            raise KeyboardInterrupt

    def _result(self, state: State) -> Dream:
        """The whole picture, at its full size also when the last octave was not reached."""
        tiles = self.octaves[-1]
        photo = resized(self.photo.to(self.device), tiles.size).clamp(0, 1)
        image = (photo + resized(self.detail, tiles.size)).clamp(0, 1)
        score, photo_score = (
            (math.nan, math.nan) if state == "interrupted" else (self._score(image), self._score(photo))
        )
        return Dream(
            image=image.cpu(),
            score=score,
            photo_score=photo_score,
            octaves=tuple(self.done),
            status=Status(state, self.num_steps),
            target=self.label,
            recipe=self.recipe,
            model_name=self.original.name,
            model_hash=self.original.weights_hash,
        )

    def _score(self, image: Tensor) -> float:
        """The mean score over the tiles of the last octave, the picture in the middle of its frame."""
        tiles = self.octaves[-1]
        frame = tiles.framed(image, (tiles.margin // 2, tiles.margin // 2))
        with torch.no_grad():
            return sum(float(self._scores(tiles.cut(frame, [place]))) for place in tiles.places) / len(tiles)


def _objective(target: Any, model: Model, *, with_guide: bool) -> tuple[str, Objective]:
    """What to call the target, and what is maximised; with a guide, the whole layer that it is to be looked at with.

    Raises:
        TargetError: an unknown layer or class, several targets, or a guide with something else than a layer.
    """
    if isinstance(target, Objective) and not with_guide:
        return f"objective {target.hash[:8]}", target
    target = Target.parse(target) if isinstance(target, str) else target
    if not isinstance(target, Target):
        raise TargetError(f"a target is a text, a Target or an Objective, not {type(target).__name__}")
    if any(term.is_several for term in target.terms):
        raise TargetError(f"a dream has one target, and '{target}' is several; write a sum, such as 'a:1 + a:2'")
    term = target.terms[0]
    if with_guide and (len(target.terms) > 1 or term.kind != "layer" or term.position is not None or term.negative):
        raise TargetError(f"a guide goes with a whole layer, such as 'mixed4a', not '{target}'")
    return f"{target} guided" if with_guide else str(target), objective_of(target, model)


def _most_at_once(model: Model, objective: Objective, tiles: Tiles, device: torch.device) -> int:
    """How many tiles a batch may have: by what one keeps between forward and backward."""
    _, size = bytes_between(model, objective.taps, images_for(model, 1, tiles.tile, device))
    return max(1, min(len(tiles), _BATCH_BYTES[device.type] // max(1, size)))
