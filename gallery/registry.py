"""The items of the gallery, in the order of the page. A new one is a function `Hall -> Exhibit` and its line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gallery import boost, feature_maps, forum, joint, places, slides, stages
from gallery.exhibit import Exhibit
from gallery.hall import Hall

__all__ = ["ITEMS", "Item"]

Item = Callable[[Hall], Exhibit]

ITEMS: Mapping[str, Item] = {
    **forum.ITEMS,
    **boost.ITEMS,
    **places.ITEMS,
    **feature_maps.ITEMS,
    **joint.ITEMS,
    **stages.ITEMS,
    **slides.ITEMS,
}
"""Key (that of files and of `--only`) -> item."""
