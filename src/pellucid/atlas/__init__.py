"""Every unit of a model, rendered and stored: plan, run, resume, read.

import pellucid as pl

pl.atlas.sweep(model, "my-atlas", layers="mixed4*")
atlas = pl.atlas.Atlas.open("my-atlas")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid.first_used import loaded_when_used

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

__getattr__, __dir__ = loaded_when_used(__name__, _HOMES, __all__)
