"""Every unit of a model, rendered and stored: plan, run, resume, read.

import pellucid as pl

pl.atlas.sweep(model, "my-atlas", layers="mixed4*")
atlas = pl.atlas.Atlas.open("my-atlas")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pellucid.atlas.checkpoints import Checkpoints
    from pellucid.atlas.merging import merge
    from pellucid.atlas.outcome import SweepProgress, SweepReport
    from pellucid.atlas.shards import Picture
    from pellucid.atlas.source import AtlasSource
    from pellucid.atlas.store import Atlas
    from pellucid.atlas.sweeping import sweep

_HOMES = {
    "Atlas": "pellucid.atlas.store",
    "AtlasSource": "pellucid.atlas.source",
    "Checkpoints": "pellucid.atlas.checkpoints",
    "Picture": "pellucid.atlas.shards",
    "SweepProgress": "pellucid.atlas.outcome",
    "SweepReport": "pellucid.atlas.outcome",
    "merge": "pellucid.atlas.merging",
    "sweep": "pellucid.atlas.sweeping",
}

__all__ = ["Atlas", "AtlasSource", "Checkpoints", "Picture", "SweepProgress", "SweepReport", "merge", "sweep"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'pellucid.atlas' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
