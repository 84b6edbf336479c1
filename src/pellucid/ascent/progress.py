"""How far a run has come, as a value and as a bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bars

__all__ = ["DreamProgress", "Progress", "bars", "duration", "progress_bar"]


@dataclass(frozen=True)
class Progress:
    """How far a run has come, after each step of the batch; image-steps count every image's own steps."""

    image_steps: int
    total_image_steps: int
    images_done: int
    num_images: int
    seconds: float

    @property
    def seconds_left(self) -> float:
        """By the rate so far."""
        return self.seconds / max(1, self.image_steps) * (self.total_image_steps - self.image_steps)

    @property
    def fields(self) -> dict[str, str | int]:
        """What a bar of rich shows of it: `rate` and `left` are the texts behind the bar."""
        rate = self.image_steps / max(self.seconds, 1e-9)
        return {
            "completed": self.image_steps,
            "total": self.total_image_steps,
            "description": f"{self.images_done}/{self.num_images} images",
            "rate": f"{rate:.1f} steps/s" if rate < 100 else f"{rate:.0f} steps/s",
            "left": f"{duration(self.seconds_left)} left",
        }


@dataclass(frozen=True)
class DreamProgress(Progress):
    """How far a dream has come, after each batch of tiles: its images are octaves, begun and in all, and its steps are
    counted by the tiles that the network saw."""

    @property
    def fields(self) -> dict[str, str | int]:
        """The same texts, in a dream's words."""
        rate = f"{self.image_steps / max(self.seconds, 1e-9):.1f} tiles/s"
        return {**super().fields, "description": f"octave {self.images_done}/{self.num_images}", "rate": rate}


def bars(console: Console, *, disable: bool = False) -> Bars:
    """A bar with the texts `rate` and `left` behind it, gone when it is done."""
    behind = TextColumn("{task.fields[rate]}  {task.fields[left]}")
    return Bars(TextColumn("{task.description}"), BarColumn(), behind, console=console, transient=True, disable=disable)


@contextmanager
def progress_bar() -> Iterator[Callable[[Progress], None]]:
    """A bar on standard error, or in a notebook, for as long as this lasts; call it with each `Progress`."""
    with bars(Console(stderr=True)) as bar:
        task = bar.add_task("", total=None, rate="starting", left="")
        yield lambda progress: bar.update(task, **progress.fields)  # type: ignore[arg-type]


def duration(seconds: float) -> str:
    """`42 s`, `3:05 min` or `2:10 h`."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes}:{seconds:02} min"
    return f"{minutes // 60}:{minutes % 60:02} h"
