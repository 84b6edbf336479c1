"""What the units of an atlas feed, worked out and put beside the pictures."""

from __future__ import annotations

from pellucid.app.cli.progress import Watch
from pellucid.ascent.machine import find_device
from pellucid.atlas.store import Atlas
from pellucid.errors import AtlasError, TableError
from pellucid.explain.feeding import feeds
from pellucid.models.model import Model

__all__ = ["FEEDS", "lacks_feeds", "put_feeds"]

FEEDS = "feeds"
"""The table's name beside the atlas."""


def put_feeds(model: Model, atlas: Atlas, watch: Watch) -> int:
    """Work out what every unit of an atlas feeds, and what feeds it; how many units that is.

    Raises:
        AtlasError: the atlas has one layer alone, or is of another network.
        KeyboardInterrupt: it was stopped; the atlas is as it was.
    """
    card = atlas.card
    if len(atlas.layers) < 2:
        raise AtlasError(f"{atlas.place.url!r} has {atlas.layers[0]} alone, and layers feed each other")
    here = model.at(device=find_device(card.recipe.device, model))
    units = {name: card.units[name] for name in atlas.layers}
    with watch.stops_on_interrupt():
        table = feeds(
            here,
            units,
            size=card.recipe.size,
            progress=lambda share: watch.goes_on("what each unit feeds", share),
        )
    atlas.put_table(FEEDS, table)
    return len(table)


def lacks_feeds(atlas: Atlas) -> bool:
    """Whether there are layers that feed each other, and no whole table of it for all their units."""
    if len(atlas.layers) < 2:
        return False
    try:
        return FEEDS not in atlas.tables or len(atlas.table(FEEDS)) != atlas.card.num_units
    except TableError:  # it is damaged
        return True
