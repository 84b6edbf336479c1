"""Options of the commands that explain by a page: where it goes, of which layer, where its pictures come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pellucid.app.cli.progress import Watch
    from pellucid.ascent.source import RenderingSource
    from pellucid.models.model import Model

__all__ = ["AtlasOption", "PageFolder", "Pictures", "SpatialLayer", "SurveyOption", "sources"]

PageFolder = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="DIR", help="Where the page goes, with CSV and JSON.", show_default=False),
]
SpatialLayer = Annotated[
    str | None,
    typer.Option(metavar="LAYER", help="By default the last layer with positions (pellucid layers MODEL)."),
]
SurveyOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="A survey of this network (pellucid survey): percentiles, and dataset examples."),
]
AtlasOption = Annotated[
    str | None, typer.Option(metavar="DIR", help="An atlas of this network, for the pictures that it has.")
]
Pictures = Annotated[
    bool, typer.Option("--pictures/--no-pictures", help="Pictures of the units, rendered where no atlas has them.")
]


def sources(net: Model, atlas: str | None, watch: Watch, *, rendered: bool) -> list[RenderingSource]:
    """Where pictures come from: the atlas first, then the ascent, with its progress on the bar."""
    from pellucid.ascent.source import RenderNow

    found: list[RenderingSource] = []
    if atlas is not None:
        from pellucid.app.atlas_source import AtlasPortraits
        from pellucid.atlas.store import Atlas

        found.append(AtlasPortraits(Atlas.open(atlas), net))
    if rendered:
        found.append(RenderNow(net, callback=watch))
    return found
