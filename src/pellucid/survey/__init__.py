"""A dataset seen through a network in one pass: what each unit does on real pictures, one row a unit.

    import pellucid as pl

    found = pl.survey.survey(pl.load("default"), "photos", "survey")
    found.table.row("mixed4a:12")["highest"]

Names are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pellucid.survey.result import Survey
    from pellucid.survey.streaming import survey
    from pellucid.survey.unit_table import About, UnitTable

_HOMES = {
    "About": "pellucid.survey.unit_table",
    "Survey": "pellucid.survey.result",
    "UnitTable": "pellucid.survey.unit_table",
    "survey": "pellucid.survey.streaming",
}

__all__ = ["About", "Survey", "UnitTable", "survey"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'pellucid.survey' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
