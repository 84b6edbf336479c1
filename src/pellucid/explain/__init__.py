"""What in a network a photo excites, what else does, and why: photos, units and classes explained.

    import pellucid as pl

    model = pl.load("default")
    pl.explain.explain(model, "photo.jpg").save("explained")
    pl.explain.attribute(model, "photo.jpg", "logit:tabby").map

Names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid.first_used import loaded_when_used

if TYPE_CHECKING:
    from pellucid.explain.attribution import Attribution, attribute
    from pellucid.explain.audit_result import Audit
    from pellucid.explain.class_audit import audit
    from pellucid.explain.closed_forms import ClosedForm, closed_form
    from pellucid.explain.contributions import Contributions, between, contributions_to
    from pellucid.explain.explanation import Explanation
    from pellucid.explain.feeding import feeds, weights_between
    from pellucid.explain.grids import ActivationGrid, activation_grid
    from pellucid.explain.photo import explain
    from pellucid.explain.similarity import ResponseMatrix, nearest_units, response_matrix
    from pellucid.explain.traces import Trace, trace
    from pellucid.explain.unit_groups import Groups, groups

# No module of this room is named like a public function: importing it would take the function's place here.
_HOMES = {
    "ActivationGrid": "pellucid.explain.grids",
    "Attribution": "pellucid.explain.attribution",
    "Audit": "pellucid.explain.audit_result",
    "ClosedForm": "pellucid.explain.closed_forms",
    "Contributions": "pellucid.explain.contributions",
    "Explanation": "pellucid.explain.explanation",
    "Groups": "pellucid.explain.unit_groups",
    "ResponseMatrix": "pellucid.explain.similarity",
    "Trace": "pellucid.explain.traces",
    "activation_grid": "pellucid.explain.grids",
    "attribute": "pellucid.explain.attribution",
    "audit": "pellucid.explain.class_audit",
    "between": "pellucid.explain.contributions",
    "closed_form": "pellucid.explain.closed_forms",
    "contributions_to": "pellucid.explain.contributions",
    "explain": "pellucid.explain.photo",
    "feeds": "pellucid.explain.feeding",
    "groups": "pellucid.explain.unit_groups",
    "nearest_units": "pellucid.explain.similarity",
    "response_matrix": "pellucid.explain.similarity",
    "trace": "pellucid.explain.traces",
    "weights_between": "pellucid.explain.feeding",
}

__all__ = [
    "ActivationGrid",
    "Attribution",
    "Audit",
    "ClosedForm",
    "Contributions",
    "Explanation",
    "Groups",
    "ResponseMatrix",
    "Trace",
    "activation_grid",
    "attribute",
    "audit",
    "between",
    "closed_form",
    "contributions_to",
    "explain",
    "feeds",
    "groups",
    "nearest_units",
    "response_matrix",
    "trace",
    "weights_between",
]

__getattr__, __dir__ = loaded_when_used(__name__, _HOMES, __all__)
