"""What an explanation of a photo holds: values to compute with, tables to save, a page to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from pellucid.ascent.source import Portrait
from pellucid.explain.saved_page import framed, save_page
from pellucid.survey.unit_table import UnitTable

__all__ = ["ExampleOf", "Explanation", "FiringUnit"]

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class ExampleOf:
    """A picture of a dataset that excites a unit: encoded, what it is called, and the part (px of `size`) it sees."""

    webp: bytes
    name: str
    value: float
    box: Box
    size: tuple[int, int]


@dataclass(frozen=True)
class FiringUnit:
    """One unit on the photo.

    `activation` is its mean over positions; `place` (row, column) where it is highest; `box` the part of the photo that
    this position sees (top, left, bottom, right, px of the network's input); `map` [h, w] its activations. What is not
    known, for want of a survey, a class or a picture, is None or empty.
    """

    target: str
    rank: int
    activation: float
    place: tuple[int, int]
    box: Box
    map: Float[Tensor, "h w"]
    contribution: float | None = None
    percentile: float | None = None
    histogram: Mapping[str, Any] | None = None
    portrait: Portrait | None = None
    examples: tuple[ExampleOf, ...] = ()
    classes: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Explanation:
    """What the units of a layer do on a photo.

    `photo` [c, h, w] in [0, 1] as the network saw it, `shown` the same part of it, larger. `predictions` are the five
    likeliest classes with their probabilities; `aim` is the class that contributions are to, by the way `way`. `table`
    has a row for every unit of the layer; `units` are the first by rank. Shows itself in a notebook.
    """

    model_name: str
    model_hash: str
    photo_name: str
    photo: Float[Tensor, "c h w"]
    shown: Float[Tensor, "c h2 w2"]
    layer: str
    by: str
    predictions: tuple[tuple[str, float], ...]
    aim: str | None
    way: str | None
    table: UnitTable
    units: tuple[FiringUnit, ...]
    value_range: tuple[float, float] = (0.0, 1.0)
    num_surveyed: int = 0

    def record(self) -> dict[str, Any]:
        """All but the pictures, as plain data."""
        return {
            "pellucid": "explanation",
            "model": self.model_name,
            "model_hash": self.model_hash,
            "photo": self.photo_name,
            "layer": self.layer,
            "ranked_by": self.by,
            "predictions": [{"class": name, "probability": share} for name, share in self.predictions],
            "class": self.aim,
            "contribution_by": self.way,
            "pictures_surveyed": self.num_surveyed,
            "units": [
                {
                    "target": unit.target,
                    "rank": unit.rank,
                    "activation": unit.activation,
                    "percentile": unit.percentile,
                    "contribution": unit.contribution,
                    "row": unit.place[0],
                    "col": unit.place[1],
                    "box": list(unit.box),
                    "picture_score": unit.portrait.score if unit.portrait else None,
                    "classes": dict(unit.classes),
                }
                for unit in self.units
            ],
        }

    def html(self) -> str:
        """The page: one file that asks nothing of anyone."""
        from pellucid.explain.photo_page import photo_page

        return photo_page(self)

    def save(self, folder: str | Path) -> Path:
        """Write `explanation.html`, `units.csv` (every unit of the layer) and `explanation.json`; gives the page.

        Raises:
            ImageError: it cannot be written there.
        """
        return save_page(folder, "explanation", self.html(), self.table.sorted_by("activation"), self.record())

    def _repr_html_(self) -> str:
        """What a notebook shows: the page in a frame of its own, so that its style stays there."""
        return framed(self.html(), "explanation")
