"""Where the time of a step goes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

__all__ = ["Part", "Stopwatch"]

Part = Literal["image", "transforms", "network", "optimizer"]


class Stopwatch:
    """Seconds spent in each part of the steps: `seconds`. Stopped it costs nothing.

    Running it waits for the accelerator at each border between parts, which slows a step down there by a little.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self.running = False
        self.seconds: dict[Part, float] = defaultdict(float)
        self._waits = device is not None and device.type != "cpu"

    @contextmanager
    def time(self, part: Part) -> Iterator[None]:
        """Count what happens inside to `part`."""
        if not self.running:
            yield
            return
        began = self._now()
        yield
        self.seconds[part] += self._now() - began

    def _now(self) -> float:
        if self._waits:
            torch.accelerator.synchronize()
        return time.perf_counter()
