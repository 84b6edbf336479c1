"""A worker as the benchmark holds it: a process that computes only while it is asked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["Worker", "WorkerError", "holding"]


class WorkerError(RuntimeError):
    """A worker could not do what it was asked; the message is its own."""


@contextmanager
def holding(process: subprocess.Popen[str]) -> Iterator[None]:
    """Let a process run within the block, and stop it outside: an idle worker takes no processor time."""
    process.send_signal(signal.SIGCONT)
    try:
        yield
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGSTOP)


class Worker:
    """One side of the comparison in a process of its own.

    Args:
        python: its interpreter.
        script: its file here.
        threads: for every library that counts its own.
        log: file to which what it prints is appended.
    """

    def __init__(self, python: Path | str, script: str, threads: int, log: Path) -> None:
        self.script, self.log = script, log
        count = str(threads)
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": count,
            "MKL_NUM_THREADS": count,
            "OPENBLAS_NUM_THREADS": count,
            "CUDA_VISIBLE_DEVICES": "",  # Lucent takes a GPU wherever there is one
            "PYTHONWARNINGS": "ignore",
        }
        with log.open("a") as errors:
            self.process = subprocess.Popen(
                [str(python), str(Path(__file__).with_name(script))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
            )

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and wait for its reply.

        Raises:
            WorkerError: the worker reported an error, or ended.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with holding(self.process):
            try:
                self.process.stdin.write(json.dumps(request) + "\n")
                self.process.stdin.flush()
                line = self.process.stdout.readline()
            except BrokenPipeError:
                line = ""
        if not line:
            raise WorkerError(f"{self.script} ended: see {self.log}")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise WorkerError(reply["error"])
        return reply

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.process.send_signal(signal.SIGCONT)
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
