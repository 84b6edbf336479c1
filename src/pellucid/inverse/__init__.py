"""From an image back to the objective that it visualizes (Grad-IFV), and networks compared by it.

    import pellucid as pl

    cat = pl.render(model, "mixed4a:12", transforms="none")
    print(pl.inverse.invert(model, cat).ranked())

Names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid.first_used import loaded_when_used

if TYPE_CHECKING:
    from pellucid.inverse.choosing import choose_critical_space
    from pellucid.inverse.comparing import compare
    from pellucid.inverse.comparison import Comparison
    from pellucid.inverse.critical_spaces import CriticalSpace, critical_space
    from pellucid.inverse.evaluation import evaluate, evaluate_each
    from pellucid.inverse.evaluation_files import save_evaluation, save_evaluations
    from pellucid.inverse.inversion import Inversion
    from pellucid.inverse.inverting import evidence_of, invert
    from pellucid.inverse.sampling import sparse_objectives
    from pellucid.objectives.response_direction import response_direction

# No module of this room is named like a public function: importing it would take the function's place here.
_HOMES = {
    "Comparison": "pellucid.inverse.comparison",
    "CriticalSpace": "pellucid.inverse.critical_spaces",
    "Inversion": "pellucid.inverse.inversion",
    "compare": "pellucid.inverse.comparing",
    "critical_space": "pellucid.inverse.critical_spaces",
    "choose_critical_space": "pellucid.inverse.choosing",
    "evaluate": "pellucid.inverse.evaluation",
    "evaluate_each": "pellucid.inverse.evaluation",
    "evidence_of": "pellucid.inverse.inverting",
    "invert": "pellucid.inverse.inverting",
    "response_direction": "pellucid.objectives.response_direction",
    "save_evaluation": "pellucid.inverse.evaluation_files",
    "save_evaluations": "pellucid.inverse.evaluation_files",
    "sparse_objectives": "pellucid.inverse.sampling",
}

__all__ = [
    "Comparison",
    "CriticalSpace",
    "Inversion",
    "choose_critical_space",
    "compare",
    "critical_space",
    "evaluate",
    "evaluate_each",
    "evidence_of",
    "invert",
    "response_direction",
    "save_evaluation",
    "save_evaluations",
    "sparse_objectives",
]

__getattr__, __dir__ = loaded_when_used(__name__, _HOMES, __all__)
