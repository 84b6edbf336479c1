"""What comparing two layers gives: which unit of B is which of A, by their pictures and by their activations."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from pellucid.ascent.rendering import Rendering

__all__ = ["Comparison", "Match", "assigned", "best"]


@dataclass(frozen=True)
class Match:
    """One unit of A and what it is in B.

    `by_pictures` is the unit with the most weight in the objective that A's picture realises in B, None where no unit
    has any; `weight` is that weight, 1 when the picture is of that unit alone; `runner_up` is the next one's.
    `responds` is the unit that answers A's picture most, on its own scale. `by_activations` is the unit whose responses
    to the data correlate most with those of A's, and `correlation` by how much; `correlation_of_pictures` is that of
    the unit `by_pictures`. None without data, or for a unit that is silent on it.

    `drift` is the similarity (SSIM) of A's picture to what became of it in B; `turned_deg` by how much the objective
    read from it turned meanwhile.
    """

    unit: int
    by_pictures: int | None
    weight: float
    runner_up: float
    responds: int | None
    drift: float
    turned_deg: float
    by_activations: int | None = None
    correlation: float | None = None
    correlation_of_pictures: float | None = None

    @property
    def agrees(self) -> bool | None:
        """Whether pictures and activations name the same unit; None where one of them names none."""
        if self.by_pictures is None or self.by_activations is None:
            return None
        return self.by_pictures == self.by_activations


@dataclass(frozen=True)
class Comparison:
    """Two layers, unit by unit.

    `read` [rounds + 1, u, m] are the objectives (length 1, nonnegative, in B's units on their own scales) that A's
    pictures realise in B: at first, and after each round of redrawing them there. `responses` [u, m] are B's to A's
    pictures, each unit on its own scale. `ssim` [rounds, u] compares what was redrawn with A's pictures.
    `correlations` [u, m] are those of activations on `num_images` pictures, if there were any; NaN for silent units.

    `drawn` are A's pictures of its `units`, `redrawn` what became of them in B, `matched` B's own pictures of
    `matched_units`.
    """

    models: tuple[str, str]
    model_hashes: tuple[str, str]
    layers: tuple[str, str]
    units: tuple[int, ...]
    read: Float[Tensor, "r u m"]
    responses: Float[Tensor, "u m"]
    ssim: Float[Tensor, "rounds u"]
    correlations: Float[Tensor, "u m"] | None
    num_images: int
    silent: tuple[tuple[int, ...], tuple[int, ...]]
    settings: dict[str, Any]
    drawn: Rendering = field(repr=False)
    redrawn: Rendering = field(repr=False)
    matched_units: tuple[int, ...] = ()
    matched: Rendering | None = field(default=None, repr=False)

    @property
    def matches(self) -> tuple[Match, ...]:
        """One for each unit of A, in order."""
        return tuple(self._match(row) for row in range(len(self.units)))

    @property
    def agreement(self) -> float | None:
        """The share of units for which pictures and activations name the same unit; None without data."""
        said = [match.agrees for match in self.matches if match.agrees is not None]
        return sum(said) / len(said) if said else None

    @property
    def one_to_one(self) -> dict[int, int]:
        """Units of A -> of B, each at most once, with the most weight in all (the Hungarian method)."""
        return {self.units[row]: column for row, column in assigned(self.read[-1]).items()}

    def as_dict(self) -> dict[str, Any]:
        """Plain data, without the pictures."""
        return {
            "models": list(self.models),
            "model_hashes": list(self.model_hashes),
            "layers": list(self.layers),
            "num_units": [len(self.units), int(self.read.shape[-1])],
            "num_images": self.num_images,
            "silent": [list(units) for units in self.silent],
            "settings": self.settings,
            "agreement": self.agreement,
            "median_drift": float(self.ssim[-1].median()) if len(self.ssim) else None,
            "one_to_one": {str(a): b for a, b in self.one_to_one.items()},
            "matches": [_plain(match) for match in self.matches],
        }

    def csv(self) -> str:
        """A row for each unit of A, as a spreadsheet reads it."""
        rows = [_plain(match) for match in self.matches]
        text = io.StringIO()
        writer = csv.DictWriter(text, ["layer", "unit", "layer_b", *list(rows[0])[1:]] if rows else ["layer", "unit"])
        writer.writeheader()
        writer.writerows({"layer": self.layers[0], "layer_b": self.layers[1]} | row for row in rows)
        return text.getvalue()

    def _match(self, row: int) -> Match:
        read = self.read[-1, row]
        found = best(read)
        top = read.sort(descending=True).values
        by_activations = None if self.correlations is None else best(self.correlations[row])
        return Match(
            unit=self.units[row],
            by_pictures=found,
            weight=float(top[0]),
            runner_up=float(top[1]) if len(top) > 1 else 0.0,
            responds=best(self.responses[row]),
            drift=float(self.ssim[-1, row]) if len(self.ssim) else 1.0,
            turned_deg=_angle_deg(self.read[0, row], read),
            by_activations=by_activations,
            correlation=_entry(self.correlations, row, by_activations),
            correlation_of_pictures=_entry(self.correlations, row, found),
        )


def best(values: Float[Tensor, " m"]) -> int | None:
    """The place of the largest positive value; None where there is none."""
    known = values.nan_to_num(nan=-math.inf)
    place = int(known.argmax())
    return place if float(known[place]) > 0 else None


def assigned(weights: Float[Tensor, "u m"]) -> dict[int, int]:
    """Rows -> columns, each at most once, with the largest sum of weights; pairs without weight are left out.

    Source: Kuhn 1955, as scipy has it; Li et al., "Convergent Learning", 2015, match units so.
    """
    values = weights.double().nan_to_num(nan=0.0).clamp(min=0)
    rows, columns = linear_sum_assignment(values.numpy(), maximize=True)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return {row: column for row, column in pairs if float(values[row, column]) > 0}


def _entry(table: Tensor | None, row: int, column: int | None) -> float | None:
    if table is None or column is None or not bool(table[row, column].isfinite()):
        return None
    return float(table[row, column])


def _angle_deg(a: Float[Tensor, " m"], b: Float[Tensor, " m"]) -> float:
    return math.degrees(2 * math.atan2(float((a - b).norm()), float((a + b).norm())))


def _plain(match: Match) -> dict[str, Any]:
    return {
        "unit": match.unit,
        "by_pictures": match.by_pictures,
        "weight": round(match.weight, 4),
        "runner_up": round(match.runner_up, 4),
        "responds": match.responds,
        "drift": round(match.drift, 4),
        "turned_deg": round(match.turned_deg, 2),
        "by_activations": match.by_activations,
        "correlation": _rounded(match.correlation),
        "correlation_of_pictures": _rounded(match.correlation_of_pictures),
        "agrees": match.agrees,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
