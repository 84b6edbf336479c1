"""Photos on their way to a network: read, checked and resized."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from pellucid.errors import ImageError
from pellucid.images import files
from pellucid.models.model import Model
from pellucid.models.taps import Activations, Tap
from pellucid.models.value_range import in_range

__all__ = ["read_photo", "resized", "tapped"]


def read_photo(name: str, given: Any, model: Model) -> Float[Tensor, "c h w"]:
    """A photo for a network as float32 in [0, 1] on the CPU, from a tensor or a file; `name` is what errors call it.

    Raises:
        ImageError: it is neither, or has other channels than the network, or other values.
    """
    if isinstance(given, (str, Path)):
        return files.read(given, channels=model.channels)
    if not isinstance(given, Tensor) or given.ndim != 3 or len(given) != model.channels or not given.numel():
        what = list(given.shape) if isinstance(given, Tensor) else type(given).__name__
        raise ImageError(f"a {name} for {model.name} is a file or a tensor [{model.channels}, h, w], not {what}")
    photo = given.detach().float().cpu()
    low, high = (float(value) for value in photo.aminmax())
    if not given.is_floating_point() or not (low >= 0 and high <= 1):  # also where there are NaNs
        kind = str(given.dtype).removeprefix("torch.")
        raise ImageError(f"a {name} has floats in [0, 1], not {kind} from {low:g} to {high:g}")
    return photo


def tapped(model: Model, pictures: Float[Tensor, "b c h w"], taps: Sequence[Tap | str]) -> Activations:
    """What a network's layers make of pictures in [0, 1], which go to its device and range."""
    return model.tap(in_range(pictures.to(model.device), model.value_range), taps)


def resized(picture: Float[Tensor, "c h w"], size: tuple[int, int]) -> Float[Tensor, "c h2 w2"]:
    """A picture at another (height, width); itself where that is its own. Values may overshoot."""
    if picture.shape[1:] == size:
        return picture
    return F.interpolate(picture[None], size=size, mode="bicubic", antialias=True, align_corners=False)[0]
