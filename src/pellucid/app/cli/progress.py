"""A bar on standard error while pictures are made, and Ctrl-C that ends a run instead of the program."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import Progress as Bars

from pellucid.ascent.progress import Progress, bars, duration

__all__ = ["Watch", "watched"]


class Watch:
    """The callback of a run: moves the bar, and stops the run once Ctrl-C was pressed."""

    def __init__(self, bar: Bars) -> None:
        self.bar, self.interrupted = bar, False
        self._began = time.perf_counter()
        self._task = bar.add_task("", total=None, rate="starting", left="")

    def __call__(self, run: Progress) -> bool:
        """One step was made."""
        self.bar.update(self._task, **run.fields)  # type: ignore[arg-type]
        return self.interrupted

    def goes_on(self, what: str, fraction: float) -> bool:
        """A longer work is at some part of it, and `fraction` of the whole is done."""
        seconds = time.perf_counter() - self._began
        left = f"{duration(seconds / fraction * (1 - fraction))} left" if fraction > 0.02 else ""
        self.bar.update(self._task, description=what, completed=fraction, total=1, rate="", left=left)
        return self.interrupted

    def says(self, what: str) -> None:
        """What is being done now, before the first step of it."""
        self._began = time.perf_counter()
        self.bar.update(self._task, description=what, total=None, completed=0, rate="", left="")

    @contextmanager
    def stops_on_interrupt(self) -> Iterator[None]:
        """While this lasts, Ctrl-C ends the run after its step, so that what there is can be saved; twice, at once."""
        if threading.current_thread() is not threading.main_thread():  # only the main thread may take signals
            yield
            return
        before = signal.getsignal(signal.SIGINT)

        def stop(signum: int, frame: Any) -> None:
            self.interrupted = True
            signal.signal(signal.SIGINT, before)
            sys.stderr.write("\npellucid: stopping after this step (Ctrl-C again: at once)\n")

        signal.signal(signal.SIGINT, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


@contextmanager
def watched(*, quiet: bool = False) -> Iterator[Watch]:
    """A `Watch` for the length of a run. `quiet`, or a standard error that is no terminal, shows no bar."""
    console = Console(stderr=True)
    with bars(console, disable=quiet or not console.is_terminal) as bar:
        yield Watch(bar)
