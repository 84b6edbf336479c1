"""Photos on their way to a network: read, checked and resized."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from pellucid.errors import ImageError
from pellucid.images import files
from pellucid.models.model import Model

__all__ = ["covering", "in_range", "read_photo", "resized"]


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


def in_range(pictures: Float[Tensor, "b c h w"], model: Model) -> Float[Tensor, "b c h w"]:
    """From [0, 1] to the range that the network was declared to take."""
    low, high = model.value_range
    return pictures if (low, high) == (0.0, 1.0) else low + pictures * (high - low)


def resized(picture: Float[Tensor, "c h w"], size: tuple[int, int]) -> Float[Tensor, "c h2 w2"]:
    """A picture at another (height, width); itself where that is its own. Values may overshoot."""
    if picture.shape[1:] == size:
        return picture
    return F.interpolate(picture[None], size=size, mode="bicubic", antialias=True, align_corners=False)[0]


def covering(picture: Float[Tensor, "c h w"], size: tuple[int, int]) -> Float[Tensor, "c h2 w2"]:
    """The middle of a picture in [0, 1], as large as covers `size`."""
    scale = max(size[0] / picture.shape[1], size[1] / picture.shape[2])
    height, width = (max(least, round(side * scale)) for least, side in zip(size, picture.shape[1:], strict=True))
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    return resized(picture, (height, width))[:, top : top + size[0], left : left + size[1]].clamp(0, 1)
