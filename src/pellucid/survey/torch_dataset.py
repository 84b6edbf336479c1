"""Pictures from a torch Dataset: whatever its items are, as pictures in [0, 1]."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from pellucid.errors import DatasetError, ImageError
from pellucid.survey.dataset import Dataset, Entry, checked_label

__all__ = ["TorchDataset"]


class TorchDataset(Dataset):
    """A map-style torch Dataset (`len` and `[i]`): items are pictures, or start with (picture, label).

    A picture is a PIL image, a tensor [c, h, w] or an array [h, w, c]; floats lie in [0, 1], bytes from 0 to 255.
    Pictures must not be normalised: the network's own contract does that. `[i]` must give the same item every time.

    Raises:
        DatasetError: it has no length or no items.
    """

    def __init__(self, items: Any, classes: Sequence[str] | None = None) -> None:
        if not hasattr(items, "__getitem__") or not hasattr(items, "__len__"):
            raise DatasetError(
                f"a dataset has a length and items by number; {type(items).__name__} has not: give a map-style one"
            )
        self.items, self.name = items, type(items).__name__
        own = getattr(items, "classes", None)
        named = classes if classes is not None else own if isinstance(own, (list, tuple)) else None
        self.classes = None if named is None else tuple(str(name) for name in named)
        if not len(self):
            raise DatasetError(f"the dataset {self.name} is empty")

    def __len__(self) -> int:
        return len(self.items)

    @property
    def identity(self) -> str:
        """A hash of its kind and length: what it holds cannot be seen."""
        return hashlib.sha256(f"{self.name} {len(self)}".encode()).hexdigest()[:16]

    def entries(self, start: int = 0, wanted: Iterable[int] | None = None) -> Iterator[Entry]:
        """See `Dataset`."""
        for index in range(start, len(self)) if wanted is None else sorted(wanted):
            item = self.items[index]
            given, label = (item[0], item[1]) if isinstance(item, (tuple, list)) and len(item) > 1 else (item, None)
            given = given[0] if isinstance(given, (tuple, list)) and len(given) == 1 else given
            name = f"item {index}"
            number = None if label is None else checked_label(_whole(label, name), self.classes, name)
            yield Entry(index, name, number, partial(_picture, given, name))


def _whole(label: Any, name: str) -> int:
    try:
        number = int(label)
    except (TypeError, ValueError):
        raise DatasetError(f"labels do not match classes: {name} has label {label!r}, which is no number") from None
    return number


def _picture(given: Any, name: str, channels: int) -> Float[Tensor, "c h w"]:
    """An item as [channels, h, w] in [0, 1]."""
    if isinstance(given, Image.Image):
        given = np.asarray(given.convert("RGB" if channels == 3 else "L"))
    if isinstance(given, np.ndarray):
        given = torch.from_numpy(np.ascontiguousarray(given if given.ndim == 3 else given[..., None])).movedim(-1, 0)
    if not isinstance(given, Tensor) or given.ndim != 3 or not given.numel():
        what = list(given.shape) if isinstance(given, Tensor) else type(given).__name__
        raise ImageError(f"'{name}' is no picture but {what}: give a PIL image or a tensor [c, h, w]")
    shown = given.float() / 255 if given.dtype == torch.uint8 else given.float()
    if len(shown) == 1 and channels == 3:
        shown = shown.expand(3, -1, -1)
    low, high = (float(value) for value in shown.aminmax())
    if len(shown) != channels or not (low >= 0 and high <= 1):
        raise ImageError(
            f"'{name}' has {len(shown)} channels from {low:g} to {high:g}, not {channels} from 0 to 1: "
            "give pictures before they are normalised"
        )
    return shown
