"""The ascent loop: a fixed number of slots, each with an image, an objective and a history of its own.

A slot knows nothing of its neighbours, unless they are of its group: it has its own random stream, step count,
optimiser state and rescue. So an image that has finished can leave while the others go on, and what enters its slot
starts afresh.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from pellucid.ascent.image_for import image_for, with_prior
from pellucid.ascent.jobs import Finished, ImageMaker, Job, Slot
from pellucid.ascent.lbfgs import ascend
from pellucid.ascent.optimizers import build_optimizer
from pellucid.ascent.parameter_noise import View, mean_view, shifts
from pellucid.ascent.plan import Resolved
from pellucid.ascent.recipe import Recipe
from pellucid.ascent.rendering import State, Status
from pellucid.ascent.rescue import Rescue, raise_contrast, rests
from pellucid.ascent.schedule import is_on_plateau, rate_at
from pellucid.ascent.scoring import Sight
from pellucid.ascent.stationarity import residuals
from pellucid.draws import Draws
from pellucid.images.image import Image
from pellucid.images.shared import SharedLowRes
from pellucid.models.model import Model
from pellucid.models.taps import Tap
from pellucid.transforms.conditioning import blur_images

__all__ = ["Slots"]


class Slots:
    """A batch of fixed shape that images enter and leave."""

    def __init__(
        self,
        model: Model,
        recipe: Recipe,
        resolved: Resolved,
        taps: Sequence[Tap],
        make_image: ImageMaker | None = None,
    ) -> None:
        """`taps` are all that the jobs to come look at; `make_image` makes other images than the recipe's."""
        self.recipe, self.resolved = recipe, resolved
        self.device = torch.device(resolved.device)
        self._new_image = partial(image_for, recipe, resolved, model.channels, make_image)
        self.image = self._new_image(resolved.batch)
        self.sight = Sight(model, recipe, resolved, taps, self.image.ranges)
        self.parameters = list(self.image.parameters())
        self.optimizer = build_optimizer(recipe.optimizer, [p.data for p in self.parameters])
        self.slots: list[Slot | None] = [None] * resolved.batch
        self.draws = Draws.from_keys(["empty"] * resolved.batch)  # on the CPU: tiny, and nothing to launch or wait for
        self._is_stale = True  # what is looked at changes when an image enters, leaves, starts to move or climbs a rung

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
            self.slots[row] = Slot(job, Rescue(self.recipe.rescue))
        if isinstance(self.image, SharedLowRes):
            self.image.regroup(self._groups())
        self._start(rows)

    def step(self) -> None:
        """One step of ascent for every image under way."""
        if self._is_stale:
            self.sight.look_at(self.slots)
            self._is_stale = False
        seen = mean_view(self._viewed(shift) for shift in self._shifts())
        with self.sight.watch.time("optimizer"):
            peaks = torch.stack([_largest(gradient.flatten(1)) for gradient in seen.gradients]).amax(0)
            if seen.deaf is not None:
                peaks = torch.where(seen.deaf & torch.isfinite(peaks), 0, peaks)
            self._move(seen.scores.cpu().tolist(), peaks.cpu().tolist(), seen.gradients)

    def _shifts(self) -> Sequence[Tensor | None]:
        """The noise of this step on what is optimised; one None without."""
        if not self.recipe.parameter_noise:
            return [None]
        steps = torch.tensor([slot.step if slot else 0 for slot in self.slots])
        return shifts(self.draws, self.recipe.parameter_noise, self.recipe.noise_draws, self.image.flat(), 1 + steps)

    def _viewed(self, shift: Tensor | None) -> View:
        """The pictures at a place beside their parameters, or at them, scored, with the gradients back."""
        watch = self.sight.watch
        with watch.time("image"):
            images = self.image() if shift is None else self.image.at(self.image.flat() + shift)
            canvas = images.detach().requires_grad_()
            self._keep_snapshots(canvas)
        seen = self.sight.see(canvas, self.draws)
        with watch.time("image"):
            to_image = torch.autograd.grad(images, self.parameters, seen.gradient, materialize_grads=True)
            return View(seen.scores, list(with_prior(self.image, self.recipe.prior, to_image)), seen.deaf)

    def end(self, state: State) -> None:
        """End every image under way, as it is."""
        for slot in self.slots:
            if slot is not None and slot.ended is None:
                slot.ended = state

    def leave(self) -> list[Finished]:
        """Take out the images that have ended, and whose group has, scored without transforms in float32 or better."""
        busy = {slot.job.group for slot in self.slots if slot is not None and slot.ended is None} - {-1}
        leaving = [
            (row, slot)
            for row, slot in enumerate(self.slots)
            if slot is not None and slot.ended is not None and slot.job.group not in busy
        ]
        if not leaving:
            return []
        rows, slots = [row for row, _ in leaving], [slot for _, slot in leaving]
        pictures, flat = self._refined(rows, slots)
        scores = self.sight.judged(pictures, slots).cpu().tolist()
        left = residuals(self.sight, self._new_image, flat, slots)
        images, flat = self.sight.in_range(pictures).cpu(), flat.cpu()
        finished = [self._finished(slot, images[i], flat[i], scores[i], left[i]) for i, slot in enumerate(slots)]
        for row in rows:
            self.slots[row] = None
        self._is_stale = True
        return finished

    def _finished(
        self, slot: Slot, image: Tensor, parameters: Tensor, score: float, residual: float | None
    ) -> Finished:
        assert slot.ended is not None
        state = slot.ended
        if slot.rescue.is_carried and state in ("done", "converged") and not score > 0:
            state = "dead"  # its gradient was woken, but the unit never fired
        if slot.step in self.recipe.snapshots:
            slot.snapshots[slot.step] = image.float()
        status = Status(state, slot.step, slot.rescue.how)
        return Finished(slot.job, image.float(), parameters, score, slot.history, slot.snapshots, status, residual)

    @torch.no_grad()
    def _refined(self, rows: list[int], slots: list[Slot]) -> tuple[Tensor, Tensor]:
        """The pictures [m, c, h, w] and parameters [m, n] of these rows, after L-BFGS where the recipe asks for it."""
        flat = self.image.flat()[rows]
        whole = [i for i, slot in enumerate(slots) if slot.ended in ("done", "converged")]
        if not self.recipe.refine or not whole:
            return self.image()[rows], flat
        image, chosen = self._new_image(len(whole)), [slots[i] for i in whole]
        around: Sequence[Tensor | None] = [None]
        if self.recipe.parameter_noise:  # the same noise at every point, or no line search could compare two
            own = Draws.from_keys([slot.job.key for slot in chosen])
            around = shifts(own, self.recipe.parameter_noise, self.recipe.refine_draws, flat[whole])
        scores = [partial(self._climbed, image, chosen, shift) for shift in around]
        best, histories = ascend(scores, flat[whole], self.recipe.refine)
        flat = flat.index_copy(0, torch.tensor(whole, device=flat.device), best)
        for slot, history in zip(chosen, histories, strict=True):
            slot.history.extend(history)
        image = self._new_image(len(rows))
        image.unflat(flat)
        return image(), flat

    def _climbed(self, image: Image, slots: Sequence[Slot], shift: Tensor | None, parameters: Tensor) -> Tensor:
        """The scores [m] of pictures with these parameters, or beside them."""
        return self.sight.climbed(image.at(parameters if shift is None else parameters + shift), slots)

    @torch.no_grad()
    def _start(self, rows: list[int]) -> None:
        """Fill rows from their jobs' starts; each restart of a rescue is another, twice as bold one."""
        slots = [slot for row in rows if (slot := self.slots[row]) is not None]
        names = [f"{slot.job.key} start {slot.restarts}" if slot.restarts else slot.job.key for slot in slots]
        own = Draws.from_keys(names)
        keys = self.draws.keys.clone()
        keys[rows] = own.keys
        self.draws = Draws(keys)
        if not all(slot.restarts == 0 and slot.job.parameters is not None for slot in slots):
            self._start_afresh(rows, slots, own.child("start"))
        for row, slot in zip(rows, slots, strict=True):
            first = slot.restarts == 0
            if first and slot.job.parameters is not None:
                flat = self.image.flat()
                flat[row] = slot.job.parameters.to(flat)
                self.image.unflat(flat)
            elif first and slot.job.start is not None:
                self.image.set_rows([row], slot.job.start[None].to(self.parameters[0]))
            for parameter in self.parameters if slot.restarts else ():
                parameter[row] *= 2.0**slot.restarts
            if slot.rescue.has_rested:
                raise_contrast(self.image, row)
        self.optimizer.reset_rows(rows)
        self._is_stale = True

    def _start_afresh(self, rows: list[int], slots: list[Slot], draws: Draws) -> None:
        """From noise, where there is nothing else to start from. A group that shares parameters starts whole."""
        if isinstance(self.image, SharedLowRes):
            together = {slot.job.group for slot in slots} - {-1}
            behind = [row for row, slot in enumerate(self.slots) if slot is not None and slot.job.group in together]
            if set(behind) - set(rows):  # one of a group starts again: its own part only
                self.image.own.reset_rows(rows, draws)
                return
        self.image.reset_rows(rows, draws)

    def _groups(self) -> list[list[int]]:
        """The rows of each group under way."""
        rows: dict[int, list[int]] = defaultdict(list)
        for row, slot in enumerate(self.slots):
            if slot is not None and slot.job.group >= 0:
                rows[slot.job.group].append(row)
        return list(rows.values())

    def _keep_snapshots(self, images: Tensor) -> None:
        for row, slot in enumerate(self.slots):
            if slot is not None and slot.ended is None and slot.step in self.recipe.snapshots:
                slot.snapshots[slot.step] = self.sight.in_range(images[row : row + 1].detach())[0].float().cpu().clone()

    def _move(self, scores: list[float], peaks: list[float], gradients: Sequence[Tensor]) -> None:
        """Judge every image by its score and its largest gradient; move those that can."""
        moving, restarting = [], []
        for row, slot in enumerate(self.slots):
            if slot is None or slot.ended is not None:
                continue
            if not (math.isfinite(scores[row]) and math.isfinite(peaks[row])):
                slot.ended = "nonfinite"
                self._is_stale = True
            elif peaks[row] > 0:
                moving.append(row)
            else:
                self._is_stale = True
                rung = slot.rescue.saw_none()
                if slot.rescue.is_dead:
                    slot.ended = "dead"
                elif rung == "another start":
                    restarting.append(row)
        self._update(moving, gradients)
        for row in moving:
            self._advance(row, scores[row])
            if self._rests(row):
                restarting.append(row)
        for row in restarting:
            slot = self.slots[row]
            assert slot is not None
            slot.restarts, slot.step, slot.history = slot.restarts + 1, 0, []
        if restarting:
            self._start(restarting)

    def _rests(self, row: int) -> bool:
        """Whether an image that began as faint noise has not got away from it and is to start again."""
        slot = self.slots[row]
        assert slot is not None
        from_noise = slot.job.start is None and slot.job.parameters is None
        can_rest = from_noise and slot.ended is None and slot.job.objective.can_rest
        return can_rest and rests(slot.history, self.recipe.steps) and slot.rescue.saw_rest()

    @torch.no_grad()
    def _update(self, moving: list[int], gradients: Sequence[Tensor]) -> None:
        if not moving:
            return
        done = {row: slot.step / self.recipe.steps for row in moving if (slot := self.slots[row]) is not None}
        self.optimizer.step(gradients, {row: rate_at(self.recipe, share) for row, share in done.items()})
        self.image.project()
        if self.recipe.blur is not None:
            first, last = self.recipe.blur
            sigmas = [first + (last - first) * share for share in done.values()]
            self.image.set_rows(moving, blur_images(self.image()[moving], sigmas))

    def _advance(self, row: int, score: float) -> None:
        slot, recipe = self.slots[row], self.recipe
        assert slot is not None
        read_before = slot.rescue.reads_before_rectifier
        slot.rescue.saw_gradient()
        if slot.rescue.reads_before_rectifier != read_before:
            self._is_stale = True
        slot.history.append(score)
        slot.step += 1
        if slot.step >= recipe.steps:
            slot.ended = "done"
        elif score >= (recipe.level if recipe.level is not None else math.inf) or is_on_plateau(
            slot.history, recipe.plateau, recipe.plateau_gain
        ):
            slot.ended = "converged"


def _largest(gradient: Tensor) -> Tensor:
    """The largest absolute value of each row [b], NaN where there is one: eight times as fast as a norm on a CPU."""
    return torch.maximum(gradient.amax(1), -gradient.amin(1))
