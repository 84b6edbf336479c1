"""Workers as processes of this machine: one for each of its accelerators, or several on a CPU."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from typing import Any

import torch

from pellucid.atlas.renderer import Post, Renderer
from pellucid.errors import AtlasError

__all__ = ["ProcessWorker", "process_workers"]

_LOOKS = 2.0  # seconds between looks whether whoever leads is still there


class ProcessWorker:
    """A process of its own, replaced when it dies."""

    def __init__(self, post: Post) -> None:
        self.post = post
        self._pool = self._started()

    def _started(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")  # a fork would take over locks, and what CUDA cannot share
        return ProcessPoolExecutor(1, context, initializer=_begin, initargs=(self.post, os.getpid()))

    def submit(self, method: str, *arguments: Any) -> Future[Any]:
        """Call a method of its `Renderer`."""
        try:
            return self._pool.submit(_call, method, arguments)
        except BrokenProcessPool as error:  # it died while it was idle
            lost: Future[Any] = Future()
            lost.set_exception(error)
            return lost

    def is_lost(self, error: BaseException) -> bool:
        """Whether the process is gone."""
        return isinstance(error, BrokenProcessPool)

    def restart(self) -> None:
        """Begin anew."""
        self.stop()
        self._pool = self._started()

    def stop(self) -> None:
        """End it, at once: what it had not stored is lost."""
        for process in list((self._pool._processes or {}).values()):
            process.kill()
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def pids(self) -> tuple[int, ...]:
        """The numbers of its processes."""
        return tuple(self._pool._processes or {})


def process_workers(post: Post, count: int = 0) -> Sequence[ProcessWorker]:
    """So many workers; by default one for each CUDA device, or one for each two cores.

    Raises:
        AtlasError: fewer than one.
    """
    if count < 0:
        raise AtlasError(f"workers are 1 or more, not {count}")
    devices = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    number = count or len(devices) or max(1, torch.get_num_threads() // 2)
    threads = post.threads or max(1, torch.get_num_threads() // number)
    posts = [replace(post, threads=threads, device=devices[i % len(devices)] if devices else "") for i in range(number)]
    return [ProcessWorker(one) for one in posts]


_renderer: list[Renderer] = []  # of this worker's process; made by its first task, so that errors come back from it
_post: list[Post] = []


def _begin(post: Post, leader: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever leads, who then ends the workers
    threading.Thread(target=_ends_with, args=(leader,), daemon=True).start()
    _post.append(post)


def _call(method: str, arguments: Sequence[Any]) -> Any:
    if not _renderer:
        _renderer.append(Renderer(_post[0]))
    return getattr(_renderer[0], method)(*arguments)


def _ends_with(leader: int) -> None:
    """End this process when the one that started it has been killed."""
    while os.getppid() == leader:
        time.sleep(_LOOKS)
    os._exit(1)
