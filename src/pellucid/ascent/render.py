"""The front door of the ascent: a network and targets in, pictures out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pellucid.ascent.lanes import Lane, Lanes, Waiting
from pellucid.ascent.memory import kept_memory
from pellucid.ascent.plan import Plan, make_plan
from pellucid.ascent.progress import Progress, progress_bar
from pellucid.ascent.recipe import Recipe
from pellucid.ascent.rendering import Rendering
from pellucid.ascent.slots import Finished, Job
from pellucid.errors import ModelError, RecipeError, TargetError
from pellucid.images import files
from pellucid.models.model import Model
from pellucid.models.targets import Target
from pellucid.objectives.from_target import expand_targets, objective_of
from pellucid.objectives.objective import Objective

__all__ = ["TargetLike", "plan", "render", "stream"]

TargetLike = str | Target | Objective


def render(
    model: Model,
    targets: TargetLike | Sequence[TargetLike],
    *,
    recipe: Recipe | Mapping[str, Any] | None = None,
    start: Tensor | None = None,
    progress: bool = False,
    callback: Callable[[Progress], bool | None] | None = None,
    **settings: Any,
) -> Rendering:
    """Make pictures of what targets of a network look for.

    Targets are texts (`"mixed4a:12"`, `"mixed4a:*"`), `Target`s or `Objective`s; all are optimised in one batch of
    slots, and no picture depends on which others were asked for. A target given twice gives two different pictures.

    Args:
        recipe: how; `settings` are fields of `Recipe` that change it, e.g. `steps=128`.
        start: picture [c, h, w] in [0, 1] to start from, instead of noise.
        progress: show a bar with rate and time left.
        callback: called after every step; returning True stops the run, which gives what there is, as Ctrl-C does.

    Raises:
        TargetError: an unknown layer or class, a channel out of range, a position outside the map.
        RecipeError: an unknown or bad setting.
        ModelError: the network cannot run at this size.
    """
    run = _Run(model, targets, recipe, start, callback, settings)
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
    callback: Callable[[Progress], bool | None] | None = None,
    **settings: Any,
) -> Iterator[Rendering]:
    """Like `render`, but yields each picture, a rendering of one, as soon as it has finished."""
    run = _Run(model, targets, recipe, start, callback, settings)
    return (run.rendering([finished]) for finished in run)


def plan(
    model: Model,
    targets: TargetLike | Sequence[TargetLike],
    *,
    recipe: Recipe | Mapping[str, Any] | None = None,
    **settings: Any,
) -> Plan:
    """What `render` would do with the same arguments: device, precision, layout, batch, and why. Renders nothing."""
    return _Run(model, targets, recipe, None, None, settings).plan


class _Run:
    """One call of `render` or `stream`: everything is checked when it is built, before the first step."""

    def __init__(
        self,
        model: Model,
        targets: TargetLike | Sequence[TargetLike],
        recipe: Recipe | Mapping[str, Any] | None,
        start: Tensor | None,
        callback: Callable[[Progress], bool | None] | None,
        settings: Mapping[str, Any],
    ) -> None:
        if not isinstance(model, Model):
            raise ModelError(
                f"render takes a pl.Model, not {type(model).__name__}: wrap it, pl.Model(net, mean=…, size=…)"
            )
        self.model, self.callback = model, callback
        self.show: Callable[[Progress], None] | None = None
        self.recipe = Recipe.of(recipe, **settings)
        size = self.recipe.size or model.size
        start = self._start_picture(start)
        self.labels, objectives = _objectives(targets, model, size)
        seen: Counter[str] = Counter()
        self.jobs = []
        for index, objective in enumerate(objectives):
            key = f"seed {self.recipe.seed} objective {objective.hash} member {seen[objective.hash]}"
            seen[objective.hash] += 1
            self.jobs.append(Job(index, objective, key, start))
        self.taps = tuple(dict.fromkeys(tap for objective in objectives for tap in objective.taps))
        self.plan = make_plan(self.recipe, model, len(self.jobs), self.taps)
        self.resolved = self.plan.resolved

    def __iter__(self) -> Iterator[Finished]:
        """Continuous batching: what has finished leaves, and the next job takes its slot."""
        began, done = time.perf_counter(), 0
        waiting, total = Waiting(self.jobs), self.recipe.steps * len(self.jobs)
        one = self.resolved.of_lane()
        lanes = Lanes(
            [Lane(self.model, self.recipe, one, self.taps, waiting) for _ in range(self.resolved.lanes)], one.threads
        )
        with kept_memory():
            for finished in lanes:
                if any(lane.resolved is not one for lane in lanes.lanes):  # memory ran out in one of them
                    self.resolved = replace(self.resolved, batch=sum(lane.resolved.batch for lane in lanes.lanes))
                seconds = time.perf_counter() - began
                progress = Progress(min(lanes.image_steps, total), total, done, len(self.jobs), seconds)
                if self._wants_no_more(progress):
                    lanes.stop()
                for picture in finished:
                    done += 1
                    yield picture

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
            targets=tuple(self.labels[one.job.index] for one in finished),
            recipe=self.recipe,
            resolved=self.resolved,
            model_name=self.model.name,
            model_hash=self.model.weights_hash,
            parameters=torch.stack([one.parameters for one in finished]),
            value_range=self.model.value_range,
        )

    def _start_picture(self, start: Tensor | None) -> Tensor | None:
        if start is not None and self.recipe.start is not None:
            raise RecipeError("start is given twice: as a picture and as the recipe's file")
        if start is None and self.recipe.start is not None:
            start = files.read(Path(self.recipe.start), channels=self.model.channels)
        if start is not None and (start.ndim != 3 or start.shape[0] != self.model.channels):
            raise RecipeError(f"start must be [{self.model.channels}, h, w], not {list(start.shape)}")
        return start


def _objectives(
    targets: TargetLike | Sequence[TargetLike], model: Model, size: tuple[int, int]
) -> tuple[list[str], list[Objective]]:
    """What to call each picture, and what it maximises."""
    asked: Sequence[TargetLike] = [targets] if isinstance(targets, (str, Target, Objective)) else list(targets)
    labels: list[str] = []
    objectives: list[Objective] = []
    for one in asked:
        if isinstance(one, Objective):
            labels.append(f"objective {one.hash[:8]}")
            objectives.append(one)
            continue
        target = Target.parse(one) if isinstance(one, str) else one
        if not isinstance(target, Target):
            raise TargetError(f"a target is a text, a Target or an Objective, not {type(one).__name__}")
        for single in expand_targets([target], model):
            labels.append(str(single))
            objectives.append(objective_of(single, model, size))
    if not objectives:
        raise TargetError("no target was given; name at least one, such as 'mixed4a:12' (pellucid layers MODEL)")
    return labels, objectives
