"""What an inversion needs to know of a picture, beside its parameters: what it can have been made for, and how well."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pellucid.objectives.response_direction import Family

__all__ = ["Realization"]


@dataclass(frozen=True)
class Realization:
    """A picture as the realization of some objective of a family.

    `family` is None where no inversion applies. `residual` is |gradient| / cos(r, t)^k where the ascent ended, known
    for runs without transforms, penalties and noise. `key` names the picture's random streams; `is_custom` says that
    what was optimised is no image of the recipe's.
    """

    family: Family | None
    residual: float | None = None
    key: str = ""
    is_custom: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def of(cls, record: dict[str, Any]) -> Realization:
        """From plain data."""
        family = record.get("family")
        return cls(**{**record, "family": Family(**family) if family else None})
