"""What a transform is, and the numbers that its settings are made of."""

from __future__ import annotations

import functools
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.draws import Draws
from pellucid.errors import RecipeError

__all__ = ["Chained", "Choice", "Length", "Range", "Spread", "Transform", "at_least", "filling", "spread"]

MAX_CHOICES = 10_000  # a list longer than this is a typing slip such as `0..1/1e-9`, not a wish


@runtime_checkable
class Transform(Protocol):
    """A random, differentiable change of pictures: what they show should survive it.

    Images [b, c, h, w] -> images [b, c, h2, w2]. What happens to image i depends on `draws` of image i alone; the same
    draws give the same change.
    """

    def __call__(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h2 w2"]: ...


class Chained(ABC):
    """A transform that `>>` works on: `Jitter(8) >> Rotate(5)` is one after the other, fused where they can be."""

    @abstractmethod
    def __call__(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h2 w2"]:
        """Change each image by its own draw."""

    def __rshift__(self, other: Transform) -> Transform:
        from pellucid.transforms.compose import chain

        return chain(self, other)

    def __rrshift__(self, other: Transform) -> Transform:
        from pellucid.transforms.compose import chain

        return chain(other, self)


@dataclass(frozen=True)
class Length:
    """A whole number of pixels; with `at`, the number for pictures whose longer side has `at` pixels or more.

    Smaller pictures get proportionally less, but never under one pixel (0 stays 0).
    """

    px: int
    at: int | None = None

    def __post_init__(self) -> None:
        if self.px < 0:
            raise RecipeError(f"{self.px} px is less than nothing. Give 0 px or more")
        if self.at is not None and self.at < 1:
            raise RecipeError(f"a length cannot be given at a picture of {self.at} px. Give 1 px or more")

    def on(self, size: tuple[int, int]) -> int:
        """Pixels on a picture of `size` (height, width)."""
        if self.at is None or max(size) >= self.at or self.px == 0:
            return self.px
        return max(1, round(self.px * max(size) / self.at))

    def __str__(self) -> str:
        return f"{self.px}" if self.at is None else f"{self.px}@{self.at}"


def length(px: int | Length) -> Length:
    """`px` as a `Length`: a plain number is meant literally."""
    return px if isinstance(px, Length) else Length(px)


@dataclass(frozen=True)
class Range:
    """Any number from `low` to `high`, all equally likely."""

    low: float | int
    high: float | int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise RecipeError(f"{self.low:g}..{self.high:g} is no range. Give two numbers, the smaller first")

    def draw(self, draws: Draws) -> Float[Tensor, " b"]:
        """One number per image."""
        return self.low + (self.high - self.low) * draws.uniform(1)[:, 0]

    @property
    def limits(self) -> tuple[float | int, float | int]:
        """The smallest and the largest number."""
        return self.low, self.high

    def __str__(self) -> str:
        return f"{_written(self.low)}..{_written(self.high)}"


@dataclass(frozen=True)
class Choice:
    """One of a list of numbers, all equally likely; a number listed twice is twice as likely."""

    values: tuple[float | int, ...]

    def __post_init__(self) -> None:
        if not self.values or not all(math.isfinite(value) for value in self.values):
            raise RecipeError(f"{list(self.values)} is no list of numbers to choose from. Give at least one number")
        if len(self.values) > MAX_CHOICES:
            raise RecipeError(f"{len(self.values)} numbers to choose from. Give at most {MAX_CHOICES}, or a range")

    def draw(self, draws: Draws) -> Float[Tensor, " b"]:
        """One number per image."""
        place = (draws.uniform(1)[:, 0] * len(self.values)).long()
        # 26 * (1 - 2^-24) rounds to 26 in float32: keep it inside.
        return _table(self.values, place.device)[place.clamp(max=len(self.values) - 1)]

    @property
    def limits(self) -> tuple[float | int, float | int]:
        """The smallest and the largest number."""
        return min(self.values), max(self.values)

    def __str__(self) -> str:
        text = ",".join(_runs(self.values))
        # Alone, `5` would be read as "up to 5" and `1..2` as a range.
        return f"1*{text}" if len(self.values) == 1 else text


Spread = Range | Choice


@functools.lru_cache(maxsize=256)
def _table(values: tuple[float | int, ...], device: torch.device) -> Tensor:
    """`values` on a device: kept, because a copy to an accelerator at every step would stall it."""
    return torch.tensor(values, dtype=torch.float32, device=device)


def _written(value: float | int) -> str:
    """A number as text that reads back as the same number, without a needless `.0`."""
    return repr(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def _runs(values: Sequence[float | int]) -> list[str]:
    """A list of numbers in short: `-10..10/1` for steps, `5*0` for repeats."""
    parts: list[str] = []
    rest = list(values)
    while rest:
        repeats = sum(1 for _ in next(itertools.groupby(rest))[1])
        steps = _step_count(rest)
        taken = max(repeats, steps)
        if steps >= 3:
            parts.append(f"{_written(rest[0])}..{_written(rest[steps - 1])}/{_written(round(rest[1] - rest[0], 10))}")
        else:
            parts.append(f"{repeats}*{_written(rest[0])}" if repeats > 1 else _written(rest[0]))
        rest = rest[taken:]
    return parts


def _step_count(values: Sequence[float | int]) -> int:
    """How many of the first numbers `low..high/step` gives back exactly; 1 where that is under three."""
    if len(values) < 3 or values[1] <= values[0]:
        return 1
    step = round(values[1] - values[0], 10)
    if step == 0:
        return 1
    matching = itertools.takewhile(lambda i: values[i] == stepped(values[0], step, i), range(len(values)))
    count = sum(1 for _ in matching)
    return count if count >= 3 else 1


def stepped(low: float | int, step: float | int, index: int) -> float | int:
    """The `index`-th number of `low..high/step`, free of binary dust (0.9 + 5 * 0.02 is 1)."""
    return round(low + index * step, 10)


def spread(values: Sequence[float | int] | Spread) -> Spread:
    """A range or a list of numbers, as a `Spread`."""
    return values if isinstance(values, (Range, Choice)) else Choice(tuple(float(value) for value in values))


def at_least(value: float | int, least: float | int, name: str, unit: str) -> None:
    """Raise RecipeError for a number under the least, or none."""
    if not (math.isfinite(value) and value >= least):
        raise RecipeError(f"{name} by {value:g} is not possible. Give {least:g} or more {unit}")


def filling(
    fill: float | int | tuple[float | int, ...], images: Float[Tensor, "b c h w"]
) -> float | int | Float[Tensor, "1 c 1 1"]:
    """What lies outside a picture: one value, or one per channel.

    Raises:
        RecipeError: there are more or fewer values than channels.
    """
    if not isinstance(fill, tuple):
        return fill
    if len(fill) != images.shape[1]:
        raise RecipeError(f"{len(fill)} fill values for {images.shape[1]} channels. Give one value, or one per channel")
    return _table(fill, images.device).to(images.dtype)[None, :, None, None]
