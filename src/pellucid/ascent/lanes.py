"""Lanes: on a CPU, several small batches side by side, each on a core of its own, instead of one on all cores.

A step is hundreds of short operations, and cores that share each of them wait for one another after each. Independent
batches wait for nobody: on two cores 1.4 to 1.5 times as many image-steps a second (`docs/design/speed.md`).
"""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import takewhile

import torch

from pellucid.ascent.jobs import Finished, ImageMaker, Job
from pellucid.ascent.plan import Resolved
from pellucid.ascent.recipe import Recipe
from pellucid.ascent.slots import Slots
from pellucid.errors import is_out_of_memory
from pellucid.models.model import Model
from pellucid.models.taps import Tap

__all__ = ["Lane", "Lanes", "Waiting"]


class Waiting:
    """The jobs that no lane has taken yet, in order; those of a group stand together, where its first one stands."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        first = {job.group: place for place, job in reversed(list(enumerate(jobs))) if job.group >= 0}
        ordered = sorted(enumerate(jobs), key=lambda entry: first.get(entry[1].group, entry[0]))
        self._jobs = [job for _, job in reversed(ordered)]
        self.largest_group = max(Counter(job.group for job in jobs if job.group >= 0).values(), default=1)
        self._lock = threading.Lock()

    def take(self, count: int) -> list[Job]:
        """The next jobs, at most `count`; of a group all or none."""
        taken: list[Job] = []
        with self._lock:
            while self._jobs and len(taken) + self._next_group() <= count:
                taken += [self._jobs.pop() for _ in range(self._next_group())]
        return taken

    def _next_group(self) -> int:
        """How many jobs must be taken together."""
        group = self._jobs[-1].group
        return 1 if group < 0 else sum(1 for _ in takewhile(lambda job: job.group == group, reversed(self._jobs)))

    def put_back(self, jobs: Sequence[Job]) -> None:
        """Jobs that have to begin again come first."""
        with self._lock:
            self._jobs += reversed(jobs)

    def clear(self) -> None:
        """Nothing more is wanted."""
        with self._lock:
            self._jobs.clear()

    def __len__(self) -> int:
        return len(self._jobs)


class Lane:
    """One batch of slots, filled from the jobs that wait; halved when memory runs out.

    `image_steps` counts what has been done for pictures that are finished or under way.
    """

    def __init__(
        self,
        model: Model,
        recipe: Recipe,
        resolved: Resolved,
        taps: Sequence[Tap],
        waiting: Waiting,
        make_image: ImageMaker | None = None,
    ) -> None:
        self.model, self.recipe, self.resolved, self.taps, self.waiting = model, recipe, resolved, taps, waiting
        self.make_image = make_image
        self.image_steps = 0
        self._slots: Slots | None = None

    @property
    def is_done(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        return not len(self.waiting) and (self._slots is None or self._slots.is_empty)

    def advance(self) -> list[Finished]:
        """Fill free slots, make one step, and let out what has finished."""
        try:
            if self._slots is None:
                self._slots = Slots(self.model, self.recipe, self.resolved, self.taps, self.make_image)
            if entering := self.waiting.take(len(self._slots.free)):
                self._slots.enter(entering)
            if self._slots.is_empty:
                return []
            self._slots.step()
            self.image_steps += sum(slot is not None for slot in self._slots.slots)
            return self._slots.leave()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or self.resolved.batch // 2 < self.waiting.largest_group:
                raise
        # Here the error no longer holds on to tensors. Half as many at once; those under way begin again, from the
        # same start: the same pictures.
        if self._slots is not None:
            self.waiting.put_back(self._slots.jobs)
            self.image_steps -= sum(slot.step for slot in self._slots.slots if slot is not None)
        self._slots = None
        self.resolved = replace(self.resolved, batch=self.resolved.batch // 2)
        return []

    def end(self) -> list[Finished]:
        """Stop: what is under way leaves as it is."""
        self.waiting.clear()
        if self._slots is None:
            return []
        self._slots.end("interrupted")
        return self._slots.leave()


class Lanes:
    """All lanes of a run: iterating gives, after every step of one of them, the pictures that finished in it."""

    def __init__(self, lanes: Sequence[Lane], threads: int) -> None:
        self.lanes, self.threads = lanes, threads
        self.was_stopped = False  # before its time, by a caller or by Ctrl-C
        self._stopped = threading.Event()

    @property
    def image_steps(self) -> int:
        """Of all lanes."""
        return sum(lane.image_steps for lane in self.lanes)

    def stop(self) -> None:
        """Let every lane end after the step it is in; what is under way is still given."""
        self.was_stopped = True
        self._stopped.set()

    def __iter__(self) -> Iterator[list[Finished]]:
        return self._alone(self.lanes[0]) if len(self.lanes) == 1 else self._side_by_side()

    def _alone(self, lane: Lane) -> Iterator[list[Finished]]:
        """One lane needs no thread."""
        while not lane.is_done:
            try:
                yield lane.end() if self._stopped.is_set() else lane.advance()
            except KeyboardInterrupt:
                self.stop()

    def _side_by_side(self) -> Iterator[list[Finished]]:
        """A thread for each lane; they run ahead of whoever reads by a step or two."""
        happened: queue.Queue[list[Finished] | BaseException | None] = queue.Queue(maxsize=len(self.lanes))
        before, left, fault = torch.get_num_threads(), len(self.lanes), None
        running = [threading.Thread(target=self._run, args=(lane, happened), daemon=True) for lane in self.lanes]
        try:
            for thread in running:
                thread.start()
            while left:
                try:
                    event = happened.get()
                except KeyboardInterrupt:
                    self.stop()
                    continue
                if event is None:
                    left -= 1
                elif isinstance(event, BaseException):
                    self.stop()
                    fault = fault or event
                else:
                    yield event
        finally:
            self._stopped.set()
            while any(thread.is_alive() for thread in running):
                with suppress(queue.Empty):
                    happened.get(timeout=0.05)  # makes room for a lane that waits to report
            torch.set_num_threads(before)  # a thread's own number becomes that of later ones
        if fault is not None:
            raise fault

    def _run(self, lane: Lane, happened: queue.Queue[list[Finished] | BaseException | None]) -> None:
        torch.set_num_threads(self.threads)
        try:
            while not lane.is_done:
                happened.put(lane.end() if self._stopped.is_set() else lane.advance())
        except BaseException as fault:  # noqa: BLE001  raised again where the pictures are read
            happened.put(fault)
        finally:
            happened.put(None)
