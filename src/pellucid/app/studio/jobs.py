"""Jobs: what pages asked to have rendered, one at a time, by a worker that lives in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from pellucid.app.studio.source import Source
from pellucid.app.studio.wishes import Wish
from pellucid.errors import PellucidError

__all__ = ["Busy", "Job", "Workshop"]

_WAITING = 12  # jobs that may wait; more is a page gone wild
_KEPT = 64  # ended jobs whose pictures are still shown, some 50 kB each
_PATIENCE = 10.0  # seconds that the worker has to stop a job before it is ended by force
_HEARTBEAT = 15.0  # seconds between signs of life to a page, by which one that vanished is noticed
_ENDS = ("done", "cancelled", "failed")
_LINE = 64 * 2**20  # bytes of the worker's longest line: pictures


class Busy(PellucidError):
    """Too many jobs wait already."""


class Job:
    """One job: what was asked, and what is known of it. `watch` tells when that changes."""

    def __init__(self, number: int, wish: Wish) -> None:
        self.number, self.wish = number, wish
        self.now: dict[str, Any] = {"state": "queued", "ahead": 0}
        self.is_stopped = False
        self._changed = asyncio.Event()

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will become of it."""
        return self.now["state"] in _ENDS

    def as_data(self) -> dict[str, Any]:
        """What a page needs to follow it."""
        return {
            "id": self.number,
            "title": self.wish.title,
            "target": self.wish.target,
            "unit": self.wish.unit,
            "state": self.now["state"],
        }

    def tell(self, now: Mapping[str, Any]) -> None:
        """Something has become of it."""
        self.now = {key: value for key, value in now.items() if key != "job"}
        self._changed.set()
        self._changed = asyncio.Event()

    async def watch(self) -> AsyncIterator[dict[str, Any] | None]:
        """What becomes of it, the latest alone for those who are slow; None as a sign of life. Ends with the job."""
        while True:
            changed, now = self._changed, self.now
            yield now
            if now["state"] in _ENDS:
                return
            while not changed.is_set():
                try:
                    await asyncio.wait_for(changed.wait(), _HEARTBEAT)
                except asyncio.TimeoutError:
                    yield None


class Workshop:
    """The queue and its worker, which starts with the first job and is kept for the next."""

    def __init__(self, source: Source | None) -> None:
        self.source = source
        self.jobs: OrderedDict[int, Job] = OrderedDict()
        self._waiting: asyncio.Queue[Job] = asyncio.Queue()
        self._worker: Process | None = None
        self._running: Job | None = None
        self._task: asyncio.Task[None] | None = None
        self._count = 0

    async def add(self, wish: Wish) -> Job:
        """Put a job into the queue.

        Raises:
            Busy: too many wait.
        """
        ahead = [job for job in self.jobs.values() if not job.has_ended]
        if len(ahead) > _WAITING:
            raise Busy(f"{len(ahead)} jobs wait already; stop some of them first")
        self._count += 1
        job = Job(self._count, wish)
        job.now["ahead"] = len(ahead)
        self.jobs[job.number] = job
        for old in [number for number, one in self.jobs.items() if one.has_ended][: max(0, len(self.jobs) - _KEPT)]:
            del self.jobs[old]
        await self._waiting.put(job)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        return job

    async def stop(self, job: Job) -> None:
        """End a job: at once when it waits, after its step when it is under way."""
        if job.has_ended or job.is_stopped:
            return
        job.is_stopped = True
        if job is not self._running:
            job.tell({"state": "cancelled", "text": "stopped"})
            return
        await self._send({"stop": job.number})
        asyncio.get_running_loop().call_later(_PATIENCE, self._force, job)

    async def close(self) -> None:
        """End the worker and whatever it does."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._end_worker()

    def _force(self, job: Job) -> None:
        if not job.has_ended and self._worker is not None and self._worker.returncode is None:
            self._worker.kill()

    async def _work(self) -> None:
        while True:
            job = await self._waiting.get()
            if job.has_ended:
                continue
            self._running = job
            try:
                await self._done(job)
            except (OSError, ConnectionError, ValueError) as error:
                job.tell({"state": "failed", "text": f"the worker cannot be started or heard: {error}"})
                await self._end_worker()
            finally:
                self._running = None

    async def _done(self, job: Job) -> None:
        """Have the worker do one job, to its end."""
        worker = await self._awake()
        assert worker.stdout is not None
        await self._send({"render": job.number, "target": job.wish.target, "recipe": dict(job.wish.recipe)})
        while not job.has_ended:
            line = await worker.stdout.readline()
            if not line:
                code = await worker.wait()
                self._worker = None
                ended = "cancelled" if job.is_stopped else "failed"
                job.tell({"state": ended, "text": f"the worker ended ({code}): out of memory, perhaps"})
                return
            message = json.loads(line)
            if message.get("job") == job.number:
                job.tell(message)

    async def _awake(self) -> Process:
        if self._worker is None or self._worker.returncode is not None:
            assert self.source is not None
            command = (sys.executable, "-m", "pellucid.app.studio.worker")
            env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            self._worker = await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, limit=_LINE, env=env, start_new_session=True
            )
            await self._send(asdict(self.source))
        return self._worker

    async def _send(self, message: Mapping[str, Any]) -> None:
        if self._worker is None or self._worker.stdin is None:
            return
        with suppress(ConnectionError):  # it ended: whoever reads from it finds out
            self._worker.stdin.write((json.dumps(message) + "\n").encode())
            await self._worker.stdin.drain()

    async def _end_worker(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None and worker.returncode is None:
            with suppress(ProcessLookupError):
                worker.kill()
            await worker.wait()
