"""What in a network a photo excites, what else does, and why: photos, units and classes explained.

    import pellucid as pl

    pl.explain.explain(pl.load("default"), "photo.jpg").save("explained")

Names are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pellucid.explain.attribution import attribute
    from pellucid.explain.class_audit import audit
    from pellucid.explain.contributions import between, contributions
    from pellucid.explain.photo import explain

_HOMES = {
    "attribute": "pellucid.explain.attribution",
    "audit": "pellucid.explain.class_audit",
    "between": "pellucid.explain.contributions",
    "contributions": "pellucid.explain.contributions",
    "explain": "pellucid.explain.photo",
}

__all__ = ["attribute", "audit", "between", "contributions", "explain"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'pellucid.explain' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
