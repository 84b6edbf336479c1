"""The ascent loop: a fixed number of slots, each with an image, an objective and a history of its own.

A slot knows nothing of its neighbours: it has its own random stream, step count, optimiser state and rescue. So an
image that has finished can leave while the others go on, and what enters its slot starts afresh.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.ascent.optimizers import build_optimizer
from pellucid.ascent.plan import Resolved
from pellucid.ascent.recipe import Recipe
from pellucid.ascent.rendering import State, Status
from pellucid.ascent.rescue import Rescue
from pellucid.ascent.stopwatch import Stopwatch
from pellucid.ascent.trial import prepared
from pellucid.draws import Draws
from pellucid.images.build import build_image
from pellucid.models.gradients import RedirectedReLU
from pellucid.models.model import Model, Precision
from pellucid.models.taps import Tap
from pellucid.objectives.objective import Objective, PerImage
from pellucid.transforms.presets import parse

__all__ = ["Finished", "Job", "Slots", "is_on_plateau"]


@dataclass(frozen=True)
class Job:
    """One picture to make: `index` is its place among those asked for, `key` names its random stream."""

    index: int
    objective: Objective
    key: str
    start: Float[Tensor, "c h w"] | None = None


@dataclass(frozen=True)
class Finished:
    """One picture made. `image` [c, h, w] in the network's range; `parameters` [m] are what was optimised."""

    job: Job
    image: Tensor
    parameters: Tensor
    score: float
    history: list[float]
    snapshots: dict[int, Tensor]
    status: Status


@dataclass
class _Slot:
    job: Job
    rescue: Rescue
    step: int = 0
    restarts: int = 0
    history: list[float] = field(default_factory=list)
    snapshots: dict[int, Tensor] = field(default_factory=dict)
    ended: State | None = None


class Slots:
    """A batch of fixed shape that images enter and leave."""

    def __init__(self, model: Model, recipe: Recipe, resolved: Resolved, taps: Sequence[Tap]) -> None:
        """`taps` are all that the jobs to come look at."""
        self.recipe, self.resolved = recipe, resolved
        self.device = torch.device(resolved.device)
        exact: Precision = "float64" if resolved.precision == "float64" else "float32"
        self.model = prepared(model, resolved.candidate, taps, self.device)
        self.exact_model = self.model if resolved.precision == exact else model.at(device=self.device, precision=exact)
        self.image = build_image(
            recipe.image,
            resolved.batch,
            resolved.size,
            channels=model.channels,
            decay=recipe.decay,
            sd=recipe.sd,
            squash=recipe.squash,
            color=recipe.color,
            device=self.device,
            dtype=torch.float64 if exact == "float64" else torch.float32,
        )
        self.parameters = list(self.image.parameters())
        self.optimizer = build_optimizer(recipe.optimizer, [p.data for p in self.parameters])
        self.transform = parse(recipe.transforms)
        self.watch = Stopwatch(self.device)
        self.slots: list[_Slot | None] = [None] * resolved.batch
        self.draws = Draws.from_keys(["empty"] * resolved.batch)  # on the CPU: tiny, and nothing to launch or wait for
        self._objective: PerImage | None = None  # built anew when an image enters, leaves or climbs a rung

    @property
    def free(self) -> list[int]:
        """Slots without an image."""
        return [row for row, slot in enumerate(self.slots) if slot is None]

    @property
    def jobs(self) -> list[Job]:
        """What is under way, in order."""
        return sorted((slot.job for slot in self.slots if slot is not None), key=lambda job: job.index)

    @property
    def is_empty(self) -> bool:
        """Whether no image is under way."""
        return all(slot is None for slot in self.slots)

    def enter(self, jobs: Sequence[Job]) -> None:
        """Put jobs into free slots, each from its own start."""
        rows = self.free[: len(jobs)]
        for row, job in zip(rows, jobs, strict=True):
            self.slots[row] = _Slot(job, Rescue(self.recipe.rescue))
        self._start(rows)

    def step(self) -> None:
        """One step of ascent for every image under way."""
        # The gradient is taken back part by part: each part's time can be told, and none holds on to another's tensors.
        with self.watch.time("image"):
            images = self.image()
            canvas = images.detach().requires_grad_()
            self._keep_snapshots(canvas)
        with self.watch.time("transforms"):
            steps = torch.tensor([slot.step if slot else 0 for slot in self.slots])
            shown = self.transform(canvas, self.draws.child("transform").at(steps))
        with self.watch.time("network"):
            scores, to_shown, to_canvas = self._scored(shown.detach().requires_grad_(), canvas)
        with self.watch.time("transforms"):
            (gradient,) = torch.autograd.grad(shown, canvas, to_shown)
            gradient = gradient if to_canvas is None else gradient + to_canvas
        with self.watch.time("image"):
            gradients = torch.autograd.grad(images, self.parameters, gradient)
        with self.watch.time("optimizer"):
            sizes = [torch.linalg.vector_norm(gradient.flatten(1), float("inf"), dim=1) for gradient in gradients]
            peaks = torch.stack(sizes).amax(0)
            self._move(scores.cpu().tolist(), peaks.cpu().tolist(), gradients)

    def _scored(self, shown: Tensor, canvas: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Scores [b], and the gradients of minus their sum: by what the network sees, and by the untransformed picture
        where an objective looks at it."""
        if self._objective is None:
            self._objective = self._build_objective()
        with ExitStack() as rules:
            if (redirected := self._redirected_rows()).any():
                rules.enter_context(RedirectedReLU(redirected))
            activations = self.model.tap(self._in_range(shown), self._objective.taps).with_image(canvas)
        scores = self._objective(activations)
        if not scores.requires_grad:  # nothing depends on the picture
            return scores, torch.zeros_like(shown), None
        gradients: tuple[Tensor | None, ...] = torch.autograd.grad(-scores.sum(), [shown, canvas], allow_unused=True)
        to_shown, to_canvas = gradients
        return scores.detach(), torch.zeros_like(shown) if to_shown is None else to_shown, to_canvas

    def end(self, state: State) -> None:
        """End every image under way, as it is."""
        for slot in self.slots:
            if slot is not None and slot.ended is None:
                slot.ended = state

    def leave(self) -> list[Finished]:
        """Take out the images that have ended, scored without transforms, in float32 or better."""
        rows = [row for row, slot in enumerate(self.slots) if slot is not None and slot.ended is not None]
        if not rows:
            return []
        with torch.no_grad():
            images = self._in_range(self.image())[rows]
            objective = PerImage([slot.job.objective for row in rows if (slot := self.slots[row]) is not None])
            scores = objective(self.exact_model.tap(images, objective.taps)).cpu().tolist()
            flat = self.image.flat()[rows].cpu()
            images = images.cpu()
        finished = [self._finished(row, images[i], flat[i], scores[i]) for i, row in enumerate(rows)]
        for row in rows:
            self.slots[row] = None
        self._objective = None
        return finished

    def _finished(self, row: int, image: Tensor, parameters: Tensor, score: float) -> Finished:
        slot = self.slots[row]
        assert slot is not None
        assert slot.ended is not None
        state = slot.ended
        if slot.rescue.how is not None and state in ("done", "converged") and not score > 0:
            state = "dead"  # its gradient was woken, but the unit never fired
        if slot.step in self.recipe.snapshots:
            slot.snapshots[slot.step] = image
        status = Status(state, slot.step, slot.rescue.how)
        return Finished(slot.job, image.float(), parameters, score, slot.history, slot.snapshots, status)

    def _start(self, rows: list[int]) -> None:
        """Fill rows from their jobs' starts; each restart of a rescue is another, twice as bold one."""
        keys = self.draws.keys.clone()
        for row in rows:
            slot = self.slots[row]
            assert slot is not None
            name = slot.job.key if not slot.restarts else f"{slot.job.key} start {slot.restarts}"
            own = Draws.from_keys([name])
            keys[row] = own.keys[0]
            if slot.job.start is not None and not slot.restarts:
                self.image.set_rows([row], slot.job.start[None].to(self.parameters[0]))
                continue
            self.image.reset_rows([row], own.child("start"))
            with torch.no_grad():
                for parameter in self.parameters:
                    parameter[row] *= 2.0**slot.restarts
        self.draws = Draws(keys)
        self.optimizer.reset_rows(rows)
        self._objective = None

    def _build_objective(self) -> PerImage:
        objectives = [slot.job.objective if slot else None for slot in self.slots]
        return PerImage(objectives, [bool(slot and slot.rescue.reads_before_rectifier) for slot in self.slots])

    def _redirected_rows(self) -> Tensor:
        return torch.tensor([bool(slot and slot.rescue.redirects) for slot in self.slots])

    def _in_range(self, images: Tensor) -> Tensor:
        """From [0, 1] to the range that the network was declared to take."""
        low, high = self.model.value_range
        return images if (low, high) == (0.0, 1.0) else low + images * (high - low)

    def _keep_snapshots(self, images: Tensor) -> None:
        for row, slot in enumerate(self.slots):
            if slot is not None and slot.step in self.recipe.snapshots:
                slot.snapshots[slot.step] = self._in_range(images[row].detach()).float().cpu().clone()

    def _move(self, scores: list[float], peaks: list[float], gradients: Sequence[Tensor]) -> None:
        """Judge every image by its score and its largest gradient; move those that can."""
        moving, restarting = [], []
        for row, slot in enumerate(self.slots):
            if slot is None or slot.ended is not None:
                continue
            if not (math.isfinite(scores[row]) and math.isfinite(peaks[row])):
                slot.ended = "nonfinite"
            elif peaks[row] > 0:
                moving.append(row)
            else:
                self._objective = None
                rung = slot.rescue.saw_none()
                if slot.rescue.is_dead:
                    slot.ended = "dead"
                elif rung == "another start":
                    restarting.append(row)
        self._update(moving, gradients)
        for row in moving:
            self._advance(row, scores[row])
        for row in restarting:
            slot = self.slots[row]
            assert slot is not None
            slot.restarts, slot.step, slot.history = slot.restarts + 1, 0, []
        if restarting:
            self._start(restarting)

    def _update(self, moving: list[int], gradients: Sequence[Tensor]) -> None:
        if not moving:
            return
        rates = {row: self._rate(slot.step) for row in moving if (slot := self.slots[row]) is not None}
        self.optimizer.step(gradients, rates)
        self.image.project()

    def _rate(self, step: int) -> float:
        done = step / self.recipe.steps
        factor = {"constant": 1.0, "linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}
        return self.recipe.learning_rate * factor[self.recipe.schedule]

    def _advance(self, row: int, score: float) -> None:
        slot = self.slots[row]
        assert slot is not None
        read_before = slot.rescue.reads_before_rectifier
        slot.rescue.saw_gradient()
        if slot.rescue.reads_before_rectifier != read_before:
            self._objective = None
        slot.history.append(score)
        slot.step += 1
        if slot.step >= self.recipe.steps:
            slot.ended = "done"
        elif is_on_plateau(slot.history, self.recipe.plateau, self.recipe.plateau_gain):
            slot.ended = "converged"


def is_on_plateau(history: Sequence[float], span: int, gain: float) -> bool:
    """Whether the last `span` scores are hardly better, on average, than those before them (relative `gain`)."""
    if not span or len(history) < 2 * span:
        return False
    now, before = (sum(part) / span for part in (history[-span:], history[-2 * span : -span]))
    return now - before <= gain * abs(before)
