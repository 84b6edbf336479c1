"""Part of a map by a mask, and the raster: the first neurons of a map in reading order."""

from __future__ import annotations

from pathlib import Path
from typing import SupportsIndex

import numpy as np
from numpy.typing import ArrayLike

from pellucid.errors import TargetError
from pellucid.models.positions import Mask, Position
from pellucid.objectives.objective import Objective
from pellucid.objectives.response import Reduction
from pellucid.objectives.units import region

__all__ = ["masked", "raster", "read_mask"]


def masked(mask: ArrayLike) -> Position:
    """The cells of a map where a boolean array [h, w] is true, for `region`, `layer`, `direction` and the others.

    Raises:
        TargetError: the array has not two axes, holds something else than yes and no, or nothing but no.
    """
    cells = np.asarray(mask)
    if cells.ndim != 2 or not (cells.dtype == bool or np.isin(cells, (0, 1)).all()):
        raise TargetError(f"a mask is a boolean array [h, w], not {cells.dtype} {list(cells.shape)}")
    size = (int(cells.shape[0]), int(cells.shape[1]))
    return Position("mask", mask=Mask(size, tuple(np.flatnonzero(cells).tolist())))


def read_mask(file: str | Path) -> Position:
    """The mask in a `.npy` file.

    Raises:
        TargetError: the file cannot be read, or holds no mask.
    """
    try:
        with open(file, "rb") as opened:
            return masked(np.lib.format.read_array(opened, allow_pickle=False))
    except TargetError as error:
        raise TargetError(f"{file}: {error}") from None
    except (OSError, ValueError, EOFError) as error:
        raise TargetError(f"cannot read the mask {file}: {error}") from None


def raster(layer: str, channel: SupportsIndex, count: int, *, reduction: Reduction = "mean") -> Objective:
    """Score each image by the first `count` neurons of a channel, row by row from the upper left.

    Source: "Feature Visualization I: Feature Maps", where the loss of whole rows and that of the rest of a row add up.
    """
    return region(layer, channel, Position("raster", count=count), reduction=reduction)
