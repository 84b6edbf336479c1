"""Item 3, last part: the first units of every stage of an inception, a plain and a residual network.

Source: reference document 002, "Feature Visualization I: Feature Maps": first colours, then simple patterns, then parts
and objects, with and without parallel layers; grey pictures belong to units without a gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

import pellucid as pl
from gallery.exhibit import Claim, Exhibit, Picture, Table
from gallery.hall import SURE, Hall, stages_of
from gallery.measures import high_frequency, rank_correlation, scale_px
from gallery.plots import chart, sheet

__all__ = ["ITEMS"]

_UNITS, _STEPS = 6, 96
_GREY = 0.01  # spread of pixel values below which nothing is to be seen

_SEEN = {
    "inception": "Colours, then stripes and mazes, then spots, weaves, scales and eyes, at last white roses, a carved "
    "vase, a window and apes' faces. Pictures of the first stage are blots with ragged edges; most deeper ones repeat "
    "one part all over, and few are whole things.",
    "plain": "Colours, stripes, scales, then eyes and fur everywhere, at last knots without a name, in garish colours.",
    "residual": "Colours, stripes, scales, and at last horses, a ship and deer, as far as 32 px can show them.",
}


@dataclass(frozen=True)
class Grid:
    """The first units of every stage of one network."""

    name: str
    stages: tuple[str, ...]
    drawn: pl.Rendering

    @property
    def scales(self) -> Float[Tensor, "stages units"]:
        """How large the parts of every picture are, in px."""
        return scale_px(self.drawn.images).view(len(self.stages), -1)

    @property
    def greys(self) -> list[bool]:
        """Which pictures show nothing."""
        return [bool(spread < _GREY) for spread in self.drawn.pictures.flatten(1).std(1)]


def _grid(hall: Hall, name: str, model: pl.Model) -> Grid:
    stages = stages_of(model)
    targets = [f"{stage}:{unit}" for stage in stages for unit in range(_UNITS)]
    return Grid(name, stages, pl.render(model, targets, recipe=SURE, steps=hall.steps(_STEPS)))


def stages(hall: Hall) -> Exhibit:
    """The first units of every stage, for this network and the other kinds at hand."""
    own = "inception" if hall.is_default else "own"
    grids = [_grid(hall, name, model) for name, model in {own: hall.model, **hall.others}.items()]
    depth = {
        grid.name: rank_correlation(torch.arange(len(grid.stages)).float(), grid.scales.median(1).values)
        for grid in grids
    }
    grey = {grid.name: sum(grid.greys) for grid in grids}
    unexplained = [
        target
        for grid in grids
        for target, status, is_grey in zip(grid.drawn.targets, grid.drawn.status, grid.greys, strict=True)
        if is_grey and status.is_good
    ]
    claims = [
        Claim(
            "From stage to stage the pictures' parts get larger, in every kind of network.",
            "in each network, depth and the median size of parts in a stage have a rank correlation above 0.5",
            ", ".join(f"{name} {value:.2f}" for name, value in depth.items()),
            all(value > 0.5 for value in depth.values()),
        ),
        Claim(
            "Grey pictures belong to units without a gradient.",
            "no unit that got a gradient has a grey picture",
            f"grey: {', '.join(f'{name} {count}' for name, count in grey.items())}; "
            f"of these with a gradient: {', '.join(unexplained) or 'none'}",
            not unexplained,
        ),
    ]
    rows = [
        (grid.name, target, str(status), float(score), float(fine), float(scale), int(is_grey))
        for grid in grids
        for target, status, score, fine, scale, is_grey in zip(
            grid.drawn.targets,
            grid.drawn.status,
            grid.drawn.scores,
            high_frequency(grid.drawn.images),
            grid.scales.flatten(),
            grid.greys,
            strict=True,
        )
    ]
    head = ("network", "target", "status", "score", "high-frequency share", "size of parts in px", "grey")
    kinds = {"plain": "SqueezeNet 1.1", "residual": "ResNet-20 (CIFAR-10)"}
    missing = [f"no {kind} network ({kinds[kind]}) was at hand" for kind in kinds if kind not in hall.others]
    return Exhibit(
        "The first units of every stage",
        "Feature Visualization I (S2)",
        f"The first {_UNITS} channels of every stage, by the default recipe in {hall.steps(_STEPS)} steps: "
        f"{', '.join([hall.model.name, *(kinds[kind] for kind in hall.others)])}.",
        claims,
        [
            *(
                Picture(
                    grid.name,
                    sheet(list(grid.drawn.pictures), grid.drawn.targets, _UNITS),
                    f"The first units of every stage: {grid.drawn.model_name}",
                    _SEEN.get(grid.name, ""),
                    grid.name != own,
                )
                for grid in grids
            ),
            Picture(
                "sizes",
                _sizes(grids),
                "How large the parts are, stage by stage",
                "A steep fall from the first stage's flat colours to the second's stripes, then hardly a trend. "
                "The mean frequency is a crude number for what an eye sees grow, which is the order of the parts.",
            ),
        ],
        [Table("units", head, rows)],
        [f"{'; '.join(missing).capitalize()}: set PELLUCID_SHARED to a folder with `models/`."] if missing else [],
    )


def _sizes(grids: list[Grid]) -> Image.Image:
    with chart() as drawn:
        axes = drawn.axes[0]
        for grid in grids:
            depth = torch.linspace(0, 1, len(grid.stages)).tolist()
            axes.plot(
                depth,
                grid.scales.median(1).values.tolist(),
                "o-",
                label=f"{grid.name} ({grid.drawn.images.shape[-1]} px)",
            )
        axes.set(xlabel="depth (0: first stage, 1: last)", ylabel="median size of parts (px)")
        axes.legend()
    return drawn.image


ITEMS = {"stages": stages}
