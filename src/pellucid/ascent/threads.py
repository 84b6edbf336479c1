"""Work in threads of its own, each with its share of the cores."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

__all__ = ["side_by_side"]

T = TypeVar("T")


def side_by_side(threads: int, work: Sequence[Callable[[], T]]) -> list[T]:
    """Do pieces of work at the same time, torch using `threads` cores in each, and return what they return.

    One piece that may use all cores is done where it is. The first error is raised when all have ended.
    """
    before = torch.get_num_threads()
    if len(work) == 1 and threads == before:
        return [work[0]()]
    results: list[T | None] = [None] * len(work)
    faults: list[BaseException] = []

    def run(place: int) -> None:
        torch.set_num_threads(threads)
        try:
            results[place] = work[place]()
        except BaseException as fault:  # noqa: BLE001  raised below
            faults.append(fault)

    running = [threading.Thread(target=run, args=(place,), daemon=True) for place in range(len(work))]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    torch.set_num_threads(before)  # a thread's own number becomes that of later ones
    if faults:
        raise faults[0]
    return results  # type: ignore[return-value]
