"""The front door of the ascent: a network and targets in, pictures out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pellucid.ascent.asked import Asked, TargetLike, ask
from pellucid.ascent.facets import starts_from_folder
from pellucid.ascent.growing import Grower, at_size, best_of, joined, octave_recipes, refuse_too_large
from pellucid.ascent.image_for import image_for
from pellucid.ascent.jobs import Finished, ImageMaker, Job
from pellucid.ascent.lanes import Lane, Lanes, Waiting
from pellucid.ascent.machine import find_device
from pellucid.ascent.memory import kept_memory
from pellucid.ascent.plan import Plan, make_plan
from pellucid.ascent.progress import Progress, progress_bar
from pellucid.ascent.realization import Realization
from pellucid.ascent.recipe import Recipe
from pellucid.ascent.rendering import Rendering
from pellucid.errors import ModelError, RecipeError
from pellucid.images import files
from pellucid.models.model import Model
from pellucid.objectives.probes import Probe
from pellucid.objectives.response_direction import family_of

__all__ = ["TargetLike", "plan", "render", "stream"]


def render(
    model: Model,
    targets: TargetLike | Sequence[TargetLike],
    *,
    recipe: Recipe | Mapping[str, Any] | None = None,
    start: Tensor | None = None,
    parameters: Tensor | None = None,
    groups: Sequence[int] | None = None,
    probes: Mapping[str, Probe] | None = None,
    make_image: ImageMaker | None = None,
    progress: bool = False,
    callback: Callable[[Progress], bool | None] | None = None,
    **settings: Any,
) -> Rendering:
    """Make pictures of what targets of a network look for.

    Targets are texts (`"mixed4a:12"`, `"mixed4a:*"`), `Target`s or `Objective`s; all are optimised in one batch of
    slots, and no picture depends on which others were asked for. A target given twice gives two different pictures.

    Args:
        recipe: how; `settings` are fields of `Recipe` that change it, e.g. `steps=128`.
        start: picture [c, h, w] in [0, 1] to start from, instead of noise; or one for each picture, [b, c, h, w].
        parameters: what is optimised [b, m], to start from exactly: a rendering's own, to go on from it.
        groups: a number for each picture; those of one number are a group, which diversity, alignment and
            shared_low_res couple (-1: in none). By default the `members` of a target are one.
        probes: what `probe:NAME` means.
        make_image: what is optimised, instead of the recipe's `image`: (how many, (height, width)) -> `Image`, for
            instance a `Generator`.
        progress: show a bar with rate and time left.
        callback: called after every step; returning True stops the run, which gives what there is, as Ctrl-C does.

    Raises:
        TargetError: an unknown layer or class, a channel out of range, a position outside the map.
        RecipeError: an unknown or bad setting, or settings that contradict each other.
        ModelError: the network cannot run at this size.
    """
    given = {"start": start, "parameters": parameters, "groups": groups, "probes": probes, "make_image": make_image}
    run = _Run(model, targets, recipe, callback, given, settings)
    with progress_bar() if progress else nullcontext(None) as run.show:
        finished = sorted(run, key=lambda done: done.job.index)
    if not finished:
        raise KeyboardInterrupt
    return run.rendering(finished)


def stream(
    model: Model,
    targets: TargetLike | Sequence[TargetLike],
    *,
    recipe: Recipe | Mapping[str, Any] | None = None,
    start: Tensor | None = None,
    parameters: Tensor | None = None,
    groups: Sequence[int] | None = None,
    probes: Mapping[str, Probe] | None = None,
    make_image: ImageMaker | None = None,
    callback: Callable[[Progress], bool | None] | None = None,
    slots_for: int = 0,
    **settings: Any,
) -> Iterator[Rendering]:
    """Like `render`, but yields each picture, a rendering of one, as soon as it has finished.

    Where these are the rest, or a part, of more pictures, `slots_for` is how many: with as many slots as for all of
    them, each is the same bit for bit as it would be among all.
    """
    given: dict[str, Any] = {"start": start, "parameters": parameters, "groups": groups, "probes": probes}
    given |= {"make_image": make_image, "slots_for": slots_for}
    run = _Run(model, targets, recipe, callback, given, settings)
    return (run.rendering([finished]) for finished in run)


def plan(
    model: Model,
    targets: TargetLike | Sequence[TargetLike],
    *,
    recipe: Recipe | Mapping[str, Any] | None = None,
    **settings: Any,
) -> Plan:
    """What `render` would do with the same arguments: device, precision, layout, batch, and why. Renders nothing."""
    return _Run(model, targets, recipe, None, {}, settings).plan


class _Run:
    """One call of `render` or `stream`: everything is checked when it is built, before the first step."""

    def __init__(
        self,
        model: Model,
        targets: TargetLike | Sequence[TargetLike],
        recipe: Recipe | Mapping[str, Any] | None,
        callback: Callable[[Progress], bool | None] | None,
        given: Mapping[str, Any],
        settings: Mapping[str, Any],
    ) -> None:
        if not isinstance(model, Model):
            raise ModelError(
                f"render takes a pl.Model, not {type(model).__name__}: wrap it, pl.Model(net, mean=…, size=…)"
            )
        self.model, self.callback = model, callback
        self.show: Callable[[Progress], None] | None = None
        self.recipe = Recipe.of(recipe, **settings)
        self.make_image: ImageMaker | None = given.get("make_image")
        # One after another: the octaves, or the recipe as it is.
        self.recipes = octave_recipes(self.recipe)
        size = self.recipes[-1].size or model.size
        probes, groups = given.get("probes"), given.get("groups")
        start = self._start_picture(given.get("start"), lambda: ask(targets, model, self.recipe, size, probes=probes))
        from_there = given.get("parameters")
        asked = ask(targets, model, self.recipe, size, start=start, parameters=from_there, probes=probes, groups=groups)
        self.labels, self.jobs, self.taps = asked.labels, asked.jobs, asked.taps
        self.largest_group = asked.largest_group
        if self.recipe.octaves:
            refuse_too_large(model, self.taps, self.recipe, torch.device(find_device(self.recipe.device, model)))
        num_images = max(len(self.jobs), given.get("slots_for", 0))
        self.plans = [make_plan(one, model, num_images, self.taps, self.largest_group) for one in self.recipes]
        self.plan = self.plans[-1]
        self.resolved = self.plan.resolved
        one = image_for(self.recipes[-1], self.resolved, model.channels, self.make_image, 1)  # can it be made at all?
        if from_there is not None and from_there.shape[1:] != one.flat().shape[1:]:
            wanted = one.flat().shape[1]
            raise RecipeError(f"parameters of these pictures are [b, {wanted}], not {list(from_there.shape)}")
        self._began, self._past_steps, self._stopped = 0.0, 0, False

    def __iter__(self) -> Iterator[Finished]:
        """The pictures, each as soon as it has finished."""
        self._began = time.perf_counter()
        made = self._grown() if self.recipe.octaves else self._ascended(self.recipe, self.plan, self.jobs)
        return best_of(made, self.recipe.best_of)

    def _grown(self) -> Iterator[Finished]:
        """Some pictures through all octaves, then the next."""
        together = max(1, self.resolved.batch)
        growers = [
            Grower(self.model.channels, recipe, plan.resolved, self.make_image)
            for recipe, plan in zip(self.recipes, self.plans, strict=True)
        ]
        for first in range(0, len(self.jobs), together):
            so_far: dict[int, Finished] = {}
            going = list(self.jobs[first : first + together])
            for number, (recipe, plan) in enumerate(zip(self.recipes, self.plans, strict=True)):
                jobs = [
                    growers[number - 1].job(job, so_far[job.index], plan.resolved) if number else job for job in going
                ]
                for one in self._ascended(recipe, plan, jobs):
                    so_far[one.job.index] = joined(so_far.get(one.job.index), one)
                going = [job for job in going if job.index in so_far and so_far[job.index].status.is_good]
                if self._stopped:
                    break
            size = self.recipes[-1].size or self.model.size
            yield from (at_size(so_far[index], size, growers) for index in sorted(so_far))
            if self._stopped:
                return

    def _ascended(self, recipe: Recipe, plan: Plan, jobs: Sequence[Job]) -> Iterator[Finished]:
        """Continuous batching: what has finished leaves, and the next job takes its slot."""
        waiting, done = Waiting(jobs), 0
        one = plan.resolved.of_lane()
        lanes = Lanes(
            [
                Lane(self.model, recipe, one, self.taps, waiting, self.make_image)
                for _ in range(min(plan.resolved.lanes, len(jobs)))
            ],
            one.threads,
        )
        total = self.recipe.total_steps * len(self.jobs)
        with kept_memory():
            for finished in lanes:
                if any(lane.resolved is not one for lane in lanes.lanes):  # memory ran out in one of them
                    self.resolved = replace(self.resolved, batch=sum(lane.resolved.batch for lane in lanes.lanes))
                seconds = time.perf_counter() - self._began
                steps = min(self._past_steps + lanes.image_steps, total)
                if self._wants_no_more(Progress(steps, total, done, len(self.jobs), seconds)):
                    self._stopped = True
                    lanes.stop()
                for picture in finished:
                    done += 1
                    yield picture
        self._stopped = self._stopped or lanes.was_stopped
        self._past_steps += lanes.image_steps

    def _wants_no_more(self, progress: Progress) -> bool:
        """Show the progress to whoever asked for it; True when they stop the run."""
        try:
            if self.show is not None:
                self.show(progress)
            return self.callback is not None and self.callback(progress) is True
        except KeyboardInterrupt:
            return True

    def rendering(self, finished: Sequence[Finished]) -> Rendering:
        """The finished images as one value."""
        length = max(len(one.history) for one in finished)
        history = torch.full((length, len(finished)), float("nan"))
        for column, one in enumerate(finished):
            history[: len(one.history), column] = torch.tensor(one.history)
        missing = torch.full_like(finished[0].image, float("nan"))
        kept = sorted({step for one in finished for step in one.snapshots})
        return Rendering(
            images=torch.stack([one.image for one in finished]),
            scores=torch.tensor([one.score for one in finished]),
            history=history,
            snapshots={step: torch.stack([one.snapshots.get(step, missing) for one in finished]) for step in kept},
            status=tuple(one.status for one in finished),
            targets=tuple(self.labels[one.job.index // self.recipe.best_of] for one in finished),
            recipe=self.recipe,
            resolved=self.resolved,
            model_name=self.model.name,
            model_hash=self.model.weights_hash,
            parameters=torch.stack([one.parameters for one in finished]),
            value_range=self.model.value_range,
            realizations=tuple(
                Realization(family_of(one.job.objective), one.residual, one.job.key, self.make_image is not None)
                for one in finished
            ),
        )

    def _start_picture(self, start: Tensor | None, asked: Callable[[], Asked]) -> Tensor | None:
        if start is not None and self.recipe.start is not None:
            raise RecipeError("start is given twice: as a picture and as the recipe's file")
        if self.recipe.start is not None and Path(self.recipe.start).is_dir():
            objectives = [job.objective for job in asked().jobs[:: self.recipe.best_of]]
            size = self.recipes[-1].size or self.model.size
            return starts_from_folder(self.model, Path(self.recipe.start), objectives, self.recipe.members, size)
        if start is None and self.recipe.start is not None:
            start = files.read(Path(self.recipe.start), channels=self.model.channels)
        if start is not None and (start.ndim not in (3, 4) or start.shape[-3] != self.model.channels):
            channels = self.model.channels
            raise RecipeError(f"start must be [{channels}, h, w] or [b, {channels}, h, w], not {list(start.shape)}")
        return start
