"""Charts that can be read on a phone, as pictures."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from pellucid.images.sheets import contact_sheet

__all__ = ["Chart", "chart", "sheet"]

_WIDE_PX = 840  # of a sheet whose small pictures are enlarged

_STYLE: dict[Any, Any] = {
    "font.size": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 12,
    "legend.frameon": False,
    "legend.fontsize": 11,
}


class Chart:
    """Axes to draw on; `image` is there once the `with` has ended."""

    image: Image.Image

    def __init__(self, axes: list[Axes]) -> None:
        self.axes = axes


@contextmanager
def chart(rows: int = 1, *, columns: int = 1, height: float = 3.4) -> Iterator[Chart]:
    """A chart of `rows` x `columns` axes, 770 px wide; `height` of a row in inches."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(7, height * rows), dpi=110, layout="constrained")
        drawn = Chart(list(np.ravel(figure.subplots(rows, columns))))
        yield drawn
        written = io.BytesIO()
        figure.savefig(written, format="png")
        drawn.image = Image.open(written)


def sheet(images: Sequence[Float[Tensor, "c h w"]], labels: Sequence[str], columns: int) -> Image.Image:
    """Pictures in [0, 1] on a light page, each with its label; small ones enlarged by a whole number."""
    enlarge = max(1, _WIDE_PX // columns // max(one.shape[-1] for one in images))
    return contact_sheet(images, labels, columns=columns, enlarge=enlarge, background="light")
