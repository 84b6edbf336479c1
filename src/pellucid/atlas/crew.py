"""Many workers on one sweep: chunks handed out, lost workers replaced, nothing lost and nothing done twice.

Pictures go from the workers straight into the atlas; whoever leads hears their scores only, so that its memory stays
what it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from pellucid.atlas.card import Card
from pellucid.atlas.chunk import Chunk, members
from pellucid.atlas.renderer import Post
from pellucid.atlas.shards import Picture
from pellucid.errors import AtlasError

__all__ = ["Crew", "Worker", "Workers"]

_BATCHES = 2  # of one worker's slots in a chunk: small, so that little is lost with a worker and all end together
_LOOKS = 0.5  # seconds between looks at who waits for the sweep
_MOST_LOSSES = 3  # of workers at one unit, or without a single chunk done in between


@runtime_checkable
class Worker(Protocol):
    """One process that renders; where and how it is run is its own affair."""

    def submit(self, method: str, *arguments: Any) -> Future[Any]:
        """Call a method of its `Renderer`."""
        ...

    def is_lost(self, error: BaseException) -> bool:
        """Whether an error says that the process is gone."""
        ...

    def restart(self) -> None:
        """Begin anew, in another process."""
        ...

    def stop(self) -> None:
        """End it, at once."""
        ...


Workers = Callable[[Post], Sequence[Worker]]
"""Starts the workers of a sweep."""


@dataclass(frozen=True)
class _Task:
    """A chunk, and how often a worker was lost at it."""

    chunk: Chunk
    losses: int = 0

    def halves(self) -> list[_Task]:
        units = self.chunk.units
        parts = (units[: len(units) // 2], units[len(units) // 2 :])
        return [_Task(replace(self.chunk, units=part), self.losses) for part in parts if part]


class Crew:
    """The workers of a sweep, and what each of them is at.

    Args:
        resolved: makes and keeps what is resolved for a layer, given the worker's answer.
        done: takes the pictures of a finished chunk, without images.
        present: what of a chunk is in the atlas, read anew.
        watch: called now and then; True stops the sweep.
    """

    def __init__(
        self,
        workers: Sequence[Worker],
        *,
        card: Callable[[], Card],
        resolved: Callable[[str, dict[str, Any]], None],
        done: Callable[[Sequence[Picture]], None],
        present: Callable[[Chunk], Sequence[Picture]],
        watch: Callable[[], bool],
    ) -> None:
        self.workers, self.card, self.resolved, self.done = workers, card, resolved, done
        self.present, self.watch = present, watch
        self.losses = 0
        self._lost_in_a_row = 0
        self._again: deque[_Task] = deque()
        self._idle = deque(workers)
        self._busy: dict[Future[Any], tuple[Worker, _Task]] = {}

    def run(self, todo: Iterator[Chunk]) -> bool:
        """Render chunks; False when it was stopped.

        Raises:
            AtlasError: workers die one after another, or what a worker raised.
        """
        tasks = (_Task(part) for chunk in todo for part in self._parts(chunk))
        while True:
            while self._idle and (task := self._again.popleft() if self._again else next(tasks, None)):
                worker = self._idle.popleft()
                self._busy[worker.submit("render", self.card(), task.chunk)] = worker, task
            if not self._busy:
                return True
            finished, _ = wait(self._busy, timeout=_LOOKS, return_when=FIRST_COMPLETED)
            if self.watch():
                return False
            for future in finished:
                self._take(future)

    def _take(self, future: Future[Any]) -> None:
        """What a worker gives back: pictures, or that it is lost."""
        worker, task = self._busy.pop(future)
        error = future.exception()
        if error is None:
            self._lost_in_a_row = 0
            self.done(future.result())
        elif worker.is_lost(error):
            self._replace(worker, error)
            self._regain(replace(task, losses=task.losses + 1))
        else:
            raise error
        self._idle.append(worker)

    def _replace(self, worker: Worker, error: BaseException) -> None:
        self.losses += 1
        self._lost_in_a_row += 1
        if self._lost_in_a_row > _MOST_LOSSES * len(self.workers):
            raise AtlasError(f"{self._lost_in_a_row} workers died one after another; the last: {_one_line(error)}")
        worker.restart()

    def _regain(self, task: _Task) -> None:
        """Put back what a lost worker had not yet stored; of what kills workers again and again, ever less at once."""
        there = self.present(task.chunk)
        self.done(there)
        count = members(self.card(), task.chunk.view)
        whole = {unit for unit in task.chunk.units if sum(one.unit == unit for one in there) == count}
        left = tuple(unit for unit in task.chunk.units if unit not in whole)
        if not left:
            return
        rest = replace(task, chunk=replace(task.chunk, units=left))
        self._again.extend(rest.halves() if task.losses >= 2 and len(left) > 1 else [rest])

    def _parts(self, chunk: Chunk) -> Iterator[Chunk]:
        """A chunk in pieces for workers, once it is known how its layer is rendered."""
        if chunk.layer not in self.card().resolved:
            self.resolved(chunk.layer, self._asked(chunk.layer))
        slots = int(self.card().resolved[chunk.layer]["batch"])
        size = max(1, _BATCHES * slots // members(self.card(), chunk.view))
        for first in range(0, len(chunk.units), size):
            yield replace(chunk, units=chunk.units[first : first + size])

    def _asked(self, layer: str) -> dict[str, Any]:
        """How a worker renders a layer; a lost one is replaced and asked again."""
        worker = self._idle[0]
        while True:
            future = worker.submit("resolve", self.card(), layer)
            while future not in wait([future], timeout=_LOOKS).done:
                if self.watch():
                    raise KeyboardInterrupt
            error = future.exception()
            if error is None:
                return dict(future.result())
            if not worker.is_lost(error):
                raise error
            self._replace(worker, error)


def _one_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
