"""Item 4: what the slides on feature visualization show, in the order in which they show it.

Source: reference document 003, Johannes Vogt, "Feature Visualization", 2018, after Olah et al., Distill 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gallery import aims, directions, facets, frequency_penalties, grid, noise, priors, robustness
from gallery.exhibit import Exhibit
from gallery.hall import Hall

__all__ = ["ITEMS"]

_ALL = {
    **aims.ITEMS,
    **facets.ITEMS,
    **directions.ITEMS,
    **noise.ITEMS,
    **grid.ITEMS,
    **frequency_penalties.ITEMS,
    **robustness.ITEMS,
    **priors.ITEMS,
}
_ORDER = (
    "aims",
    "depth",
    "facets",
    "diversity",
    "directions",
    "between",
    "rates",
    "grid",
    "penalties",
    "robust",
    "prior",
    "fourier",
    "photo",
)
ITEMS: Mapping[str, Callable[[Hall], Exhibit]] = {key: _ALL[key] for key in _ORDER}
