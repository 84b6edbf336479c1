"""An inversion to look at: each picture, what it became when drawn for its answer, and the answer's units as bars."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from pellucid.inverse.inversion import Inversion

__all__ = ["chart"]

_BARS = 12
_MOST_PICTURES = 8
_POSITIVE, _NEGATIVE, _RESPONSE = "#2a7f62", "#c8553d", "#8d99ae"


def chart(
    inversion: Inversion,
    pictures: Float[Tensor, "b c h w"],
    *,
    drawn: Float[Tensor, "b c h2 w2"] | None = None,
) -> Figure:
    """A row for each picture (the first eight): the picture, the picture optimised on for the answer with its SSIM
    where it was verified, the answer `drawn` anew, and its strongest units beside what they respond.

    Pictures are in [0, 1].
    """
    shown = min(len(inversion), _MOST_PICTURES)
    again = inversion.verification.images if inversion.verification is not None else None
    num_panels = 1 + (again is not None) + (drawn is not None)
    figure = Figure(figsize=(2.3 * num_panels + 4.6, 2.9 * shown), layout="constrained")
    grid = figure.subplots(shown, num_panels + 1, squeeze=False, width_ratios=[*[1] * num_panels, 2])
    for row in range(shown):
        panels: list[tuple[str, Tensor]] = [(inversion.targets[row], pictures[row])]
        if again is not None and inversion.verification is not None:
            ssim = float(inversion.verification.ssim[row])
            panels.append((f"optimised on for the answer\nSSIM {ssim:.3f}", again[row]))
        if drawn is not None:
            panels.append(("the answer, drawn from noise", drawn[row]))
        for axes, (title, picture) in zip(grid[row], panels, strict=False):
            _show(axes, picture, title)
        _bars(grid[row][-1], inversion, row)
    return figure


def _show(axes: Axes, picture: Tensor, title: str) -> None:
    values = picture.clamp(0, 1).permute(1, 2, 0).numpy()
    axes.imshow(values if values.shape[2] == 3 else np.repeat(values.mean(2, keepdims=True), 3, 2))
    axes.set_title(title if len(title) <= 60 else f"{title[:57]}…", fontsize=8)
    axes.set_axis_off()


def _bars(axes: Axes, inversion: Inversion, row: int) -> None:
    ranked = inversion.ranked(row, _BARS)
    units, weights = [unit for unit, _ in ranked], [weight for _, weight in ranked]
    response = inversion.responses[row]
    scaled = (response / response.norm())[units].tolist() if units else []
    places: Sequence[int] = range(len(units))
    colors = [_POSITIVE if weight > 0 else _NEGATIVE for weight in weights]
    axes.barh([place - 0.2 for place in places], weights, height=0.4, color=colors, label="objective")
    axes.barh([place + 0.2 for place in places], scaled, height=0.4, color=_RESPONSE, label="response")
    axes.set_yticks(places, [f"{inversion.family.layer}:{unit}" for unit in units], fontsize=7)
    axes.invert_yaxis()
    axes.tick_params(axis="x", labelsize=7)
    axes.axvline(0, color="black", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    title = "units, by their weight" + (" (exploratory)" if inversion.exploratory[row] else "")
    axes.set_title(title, fontsize=8)
    axes.legend(frameon=False, fontsize=7)
