"""Pellucid: a microscope for vision models.

    import pellucid as pl

    model = pl.load("default")
    pl.render(model, "mixed4a:12").save("12.png")

Names are loaded when they are first used: importing the package imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid.first_used import loaded_when_used

if TYPE_CHECKING:
    from pellucid import atlas, explain, inverse, measure, survey
    from pellucid.ascent.accentuate import accentuate
    from pellucid.ascent.dream import dream
    from pellucid.ascent.dream_recipe import DreamRecipe
    from pellucid.ascent.dreams import Dream
    from pellucid.ascent.facets import diverse_starts, towards_facets
    from pellucid.ascent.interpolate import interpolate
    from pellucid.ascent.plan import Plan
    from pellucid.ascent.progress import Progress
    from pellucid.ascent.recipe import Recipe
    from pellucid.ascent.render import plan, render, stream
    from pellucid.ascent.rendering import Rendering, Status
    from pellucid.ascent.snapshots import video_steps
    from pellucid.errors import PellucidError
    from pellucid.models.ensemble import Ensemble
    from pellucid.models.model import Model
    from pellucid.models.targets import Target
    from pellucid.models.zoo import load

__version__ = "0.1.0"

_HOMES = {
    "Dream": "pellucid.ascent.dreams",
    "DreamRecipe": "pellucid.ascent.dream_recipe",
    "Ensemble": "pellucid.models.ensemble",
    "Model": "pellucid.models.model",
    "PellucidError": "pellucid.errors",
    "Plan": "pellucid.ascent.plan",
    "Progress": "pellucid.ascent.progress",
    "Recipe": "pellucid.ascent.recipe",
    "Rendering": "pellucid.ascent.rendering",
    "Status": "pellucid.ascent.rendering",
    "Target": "pellucid.models.targets",
    "accentuate": "pellucid.ascent.accentuate",
    "diverse_starts": "pellucid.ascent.facets",
    "dream": "pellucid.ascent.dream",
    "interpolate": "pellucid.ascent.interpolate",
    "load": "pellucid.models.zoo",
    "plan": "pellucid.ascent.render",
    "render": "pellucid.ascent.render",
    "stream": "pellucid.ascent.render",
    "towards_facets": "pellucid.ascent.facets",
    "video_steps": "pellucid.ascent.snapshots",
}

__all__ = [
    "Dream",
    "DreamRecipe",
    "Ensemble",
    "Model",
    "PellucidError",
    "Plan",
    "Progress",
    "Recipe",
    "Rendering",
    "Status",
    "Target",
    "__version__",
    "accentuate",
    "atlas",
    "diverse_starts",
    "dream",
    "explain",
    "interpolate",
    "inverse",
    "load",
    "measure",
    "plan",
    "render",
    "stream",
    "survey",
    "towards_facets",
    "video_steps",
]


_ROOMS = (
    "atlas",
    "explain",
    "inverse",
    "measure",
    "survey",
)  # whose functions are called by the room's name: pl.inverse.invert

__getattr__, __dir__ = loaded_when_used(__name__, _HOMES, __all__, _ROOMS)
