"""The way from one unit to another: a row of pictures that change step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pellucid.ascent.progress import Progress
from pellucid.ascent.recipe import Recipe
from pellucid.ascent.render import render
from pellucid.ascent.rendering import Rendering
from pellucid.errors import TargetError
from pellucid.models.model import Model
from pellucid.models.targets import Target, Term

__all__ = ["ALIGNMENT", "interpolate", "ways"]

ALIGNMENT = 1.0
"""How strongly neighbours of a row are aligned when nothing else is said. At 0.1 shapes jump from picture to picture,
and at 10 the ends lose what makes them different: so it looks for `mixed4c` of the embedded network, whose means are 4.
"""


def interpolate(
    model: Model,
    first: str | Target,
    second: str | Target,
    *,
    pictures: int = 6,
    recipe: Recipe | Mapping[str, Any] | None = None,
    progress: bool = False,
    callback: Callable[[Progress], bool | None] | None = None,
    **settings: Any,
) -> Rendering:
    """Make the row of pictures between two channels or directions of one layer, first and last included.

    Picture t = 0 … 1 maximises the mean over positions of (1 - t) z_a + t z_b. All start from the same noise and see
    the same transforms, and neighbours are aligned, so that shapes stay in their places while they change. `recipe` and
    `settings` are those of `render`; its `alignment` is 1 and `shared_start` is on, unless they say otherwise
    (`alignment=0` lets every picture go its own way). The labels are targets, to be rendered by themselves.

    Raises:
        TargetError: ends on different layers, or that are no channel or direction, or fewer than two pictures.
        RecipeError: an unknown or bad setting, or one that a group cannot have (see `Recipe`).

    Source: Olah et al., "Feature Visualization", Distill 2017; Lucid's `channel_interpolate` and `alignment`.
    """
    wanted = Recipe.of(recipe, **_given(recipe, settings))
    row = ways(first, second, pictures)
    groups = [0] * len(row) if wanted.couples else None
    return render(model, row, recipe=wanted, groups=groups, progress=progress, callback=callback)


def ways(first: str | Target, second: str | Target, pictures: int) -> list[Target]:
    """The targets between two ends: `a`, `0.8*a + 0.2*b`, …, `b`.

    Raises:
        TargetError: ends on different layers, or that are no channel or direction, or fewer than two pictures.
    """
    if pictures < 2:
        raise TargetError(f"an interpolation has two ends, and {pictures} pictures were asked for; ask for 2 or more")
    a, b = _end(first), _end(second)
    if (a.layer, a.position) != (b.layer, b.position):
        raise TargetError(
            f"an interpolation goes between channels or directions of one layer at one place, not from {a} to {b}"
        )
    if a == b:
        raise TargetError(f"both ends of the interpolation are {a}; name two different ones")
    shares = [number / (pictures - 1) for number in range(pictures)]
    return [Target(tuple(_shared(end, share) for end, share in ((a, 1 - t), (b, t)) if share)) for t in shares]


def _end(text: str | Target) -> Term:
    target = Target.parse(text) if isinstance(text, str) else text
    (term, *others) = target.terms
    if others or term.kind not in ("unit", "dir") or term.is_several or term.negative:
        raise TargetError(
            f"an interpolation ends at a channel or a direction, such as mixed4a:3 or dir:mixed4a@FILE.npy, "
            f"not at {target}"
        )
    return term


def _shared(term: Term, share: float) -> Term:
    return replace(term, weight=round(term.weight * share, 6))  # 0.2 and not 0.19999999999999996


def _given(recipe: Recipe | Mapping[str, Any] | None, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with those of a row, where nothing else is said."""
    said = recipe if isinstance(recipe, Mapping) else {}
    usual = Recipe()
    row = {"alignment": ALIGNMENT, "shared_start": True}
    unsaid = {
        name: value
        for name, value in row.items()
        if name not in said and getattr(recipe, name, getattr(usual, name)) == getattr(usual, name)
    }
    return {**unsaid, **settings}
