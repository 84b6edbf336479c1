"""A dataset seen through a network in one pass: what each unit does on real pictures, one row a unit.

    import pellucid as pl

    found = pl.survey.survey(pl.load("default"), "photos", "survey")
    found.table.row("mixed4a:12")["highest"]

Names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid.first_used import loaded_when_used

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

__getattr__, __dir__ = loaded_when_used(__name__, _HOMES, __all__)
