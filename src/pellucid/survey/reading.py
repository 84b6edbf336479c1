"""Pictures on their way from a dataset to a network: read ahead, cut as the network sees them, in batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from pellucid.errors import ImageError
from pellucid.images.fitting import fitted
from pellucid.models.model import Model
from pellucid.models.value_range import in_range
from pellucid.survey.dataset import Dataset, Entry

__all__ = ["Batch", "Skipped", "batches", "to_network"]

_READERS = 4  # threads that decode: Pillow lets go of Python's lock
_AHEAD = 3  # batches under way at once


@dataclass(frozen=True)
class Skipped:
    """A picture that could not be read, and why."""

    index: int
    name: str
    reason: str


@dataclass(frozen=True)
class Batch:
    """Some entries in a row: the pictures that could be read, in [0, 1] as the network sees them, and the others.

    `images` [b, c, h, w], `places` [b] in the dataset, `labels` [b] (-1: none); `stop` is the place behind the last.
    """

    images: Float[Tensor, "b c h w"]
    places: Int64[Tensor, " b"]
    labels: Int64[Tensor, " b"]
    names: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    stop: int


def batches(
    dataset: Dataset, model: Model, size: int, start: int = 0, wanted: Iterable[int] | None = None
) -> Iterator[Batch]:
    """The pictures from `start` on, or those of the `wanted` places, `size` entries at a time, read ahead by threads.

    A batch is made of the same entries wherever the reading began, if that was a multiple of `size`. A picture that
    cannot be read is left out, and said to be.
    """
    entries = dataset.entries(start, wanted)
    with ThreadPoolExecutor(_READERS, thread_name_prefix="reader") as readers:
        under_way: deque[list[tuple[Entry, Future[Tensor | ImageError]]]] = deque()
        while True:
            while len(under_way) < _AHEAD and (some := list(islice(entries, size))):
                under_way.append([(entry, readers.submit(_read, entry, model)) for entry in some])
            if not under_way:
                return
            yield _collected(under_way.popleft(), model)


def _read(entry: Entry, model: Model) -> Tensor | ImageError:
    try:
        return fitted(entry.read(model.channels)[None], model.size)[0]
    except ImageError as error:
        return error


def _collected(some: list[tuple[Entry, Future[Tensor | ImageError]]], model: Model) -> Batch:
    good: list[tuple[Entry, Tensor]] = []
    skipped = []
    for entry, reading in some:
        result = reading.result()
        if isinstance(result, ImageError):
            skipped.append(Skipped(entry.index, entry.name, str(result)))
        else:
            good.append((entry, result))
    empty = torch.zeros(0, model.channels, *model.size)
    return Batch(
        images=torch.stack([picture for _, picture in good]) if good else empty,
        places=torch.tensor([entry.index for entry, _ in good], dtype=torch.int64),
        labels=torch.tensor([-1 if entry.label is None else entry.label for entry, _ in good], dtype=torch.int64),
        names=tuple(entry.name for entry, _ in good),
        skipped=tuple(skipped),
        stop=some[-1][0].index + 1,
    )


def to_network(images: Float[Tensor, "b c h w"], model: Model) -> Float[Tensor, "b c h w"]:
    """Pictures in [0, 1] on a network's device, in its value range."""
    return in_range(images.to(model.device), model.value_range)
