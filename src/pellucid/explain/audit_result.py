"""What an audit of a class holds: recognition with and without the units that carry it, and a page."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from pellucid.ascent.source import Portrait
from pellucid.explain.explanation import ExampleOf
from pellucid.explain.saved_page import framed, save_page
from pellucid.survey.reading import Skipped
from pellucid.survey.unit_table import UnitTable

__all__ = ["Ablation", "Audit", "AuditedUnit"]


@dataclass(frozen=True)
class Ablation:
    """How photos are classified: the share of the class's own that is recognised, and of others taken for the class."""

    accuracy: float
    false_positives: float | None
    num_own: int
    num_others: int


@dataclass(frozen=True)
class AuditedUnit:
    """One unit that carries the class.

    `contribution` is what it adds to the logit, averaged over the class's own photos; `share` on how many of them it
    adds most of all units; `map` its activation averaged over them; `without` what happens when it is set to zero;
    `own` and `others` the photos of the class, and of other classes, on which it fires most.
    """

    target: str
    rank: int
    contribution: float
    share: float
    map: Float[Tensor, "h w"]
    without: Ablation
    portrait: Portrait | None
    own: tuple[ExampleOf, ...]
    others: tuple[ExampleOf, ...]


@dataclass(frozen=True)
class Audit:
    """What carries a class. `before` is the network as it is, `together` without all of `units` at once."""

    model_name: str
    model_hash: str
    size: tuple[int, int]
    class_name: str
    layer: str
    dataset: str
    before: Ablation
    together: Ablation
    table: UnitTable
    units: tuple[AuditedUnit, ...]
    value_range: tuple[float, float] = (0.0, 1.0)
    skipped: tuple[Skipped, ...] = ()

    def record(self) -> dict[str, Any]:
        """All but the pictures, as plain data."""
        return {
            "pellucid": "audit",
            "model": self.model_name,
            "model_hash": self.model_hash,
            "class": self.class_name,
            "layer": self.layer,
            "dataset": self.dataset,
            "before": asdict(self.before),
            "without_all": asdict(self.together),
            "units": [
                {
                    "target": unit.target,
                    "contribution": unit.contribution,
                    "adds_most_on": unit.share,
                    "without": asdict(unit.without),
                }
                for unit in self.units
            ],
            "skipped": [asdict(one) for one in self.skipped],
        }

    def html(self) -> str:
        """The page: one file that asks nothing of anyone."""
        from pellucid.explain.audit_page import audit_page

        return audit_page(self)

    def save(self, folder: str | Path) -> Path:
        """Write `audit.html`, `units.csv` (every unit of the layer) and `audit.json`; gives the page.

        Raises:
            ImageError: it cannot be written there.
        """
        return save_page(folder, "audit", self.html(), self.table.sorted_by("contribution"), self.record())

    def _repr_html_(self) -> str:
        """What a notebook shows: the page in a frame of its own."""
        return framed(self.html(), "audit")
