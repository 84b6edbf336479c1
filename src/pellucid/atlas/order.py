"""From what a user asks for to an atlas's card: which layers and units, which views, by which recipe."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch

from pellucid import __version__
from pellucid.ascent.recipe import Recipe
from pellucid.atlas.card import Card, LayerCard, ModelCard, unspan
from pellucid.errors import RecipeError, TargetError, did_you_mean
from pellucid.models.blocks import blocks
from pellucid.models.layers import Layer
from pellucid.models.model import Model

__all__ = ["DIVERSITY", "card_for"]

DIVERSITY = 2.0
"""Weight of the term that keeps a diverse set apart, unless the recipe has one."""


def card_for(
    model: Model,
    *,
    layers: str | Sequence[str] | None = None,
    units: str | Sequence[int] | None = None,
    images: int = 1,
    negative: bool = False,
    recipe: Recipe | Mapping[str, Any] | None = None,
    source: Mapping[str, Any] | None = None,
    about: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Card:
    """What an atlas of a network is to hold; see `sweep`.

    Raises:
        TargetError: a pattern that fits no layer, or units that no layer has.
        RecipeError: a bad setting, or one that an atlas decides itself.
        ModelError: the network cannot run at the recipe's size.
    """
    wanted = Recipe.of(recipe, **settings)
    if wanted.members != 1:
        raise RecipeError("an atlas has its own sets of pictures: leave members out, and give images (--images N)")
    if images < 1:
        raise RecipeError(f"images are 1, or the picture and a diverse set of 2 or more, not {images}")
    if images > 1:
        of_view(wanted, diverse=images)
    size = wanted.size or model.size
    found = model.layers_at(size)
    chosen = _chosen(found, layers, model)
    return Card(
        model=ModelCard(
            name=model.name,
            hash=model.weights_hash,
            source=dict(source) if source is not None else None,
            size=model.size,
            channels=model.channels,
            value_range=model.value_range,
            classes=model.classes,
        ),
        layers={name: LayerCard(**asdict(layer)) for name, layer in found.items()},
        units=_units(chosen, units),
        recipe=replace(wanted, snapshots=()),
        negative=negative,
        diverse=images if images > 1 else 0,
        about=dict(about or {}),
        versions={"pellucid": __version__, "torch": torch.__version__, "python": platform.python_version()},
    )


def of_view(recipe: Recipe, *, diverse: int = 0) -> Recipe:
    """The recipe for single pictures, or for diverse sets of so many: these go without what chooses picture by picture.

    Raises:
        RecipeError: the recipe cannot make diverse sets.
    """
    if diverse:
        return replace(recipe, members=diverse, diversity=recipe.diversity or DIVERSITY, refine=0, best_of=1)
    return replace(recipe, members=1, diversity=0.0, alignment=0.0, group_layer=None, shared_low_res=False)


def _chosen(found: Mapping[str, Layer], patterns: str | Sequence[str] | None, model: Model) -> list[Layer]:
    """The layers that patterns fit, in forward order; without a pattern, every block that has weights, but not what
    only holds blocks in a row."""
    if patterns is None:
        shown = [layer for layer in blocks(found) if layer.has_weights]
        return [one for one in shown if not any(other.name.startswith(f"{one.name}.") for other in shown)]
    wanted = [patterns] if isinstance(patterns, str) else list(patterns)
    wanted = [part.strip() for text in wanted for part in text.split(",") if part.strip()]
    fits = {pattern: _pattern(pattern) for pattern in wanted}
    for pattern in wanted:
        if not any(fits[pattern].fullmatch(name) for name in found):
            hint = did_you_mean(pattern, found)
            raise TargetError(f"no layer of {model.name} fits {pattern!r}.{hint} (pellucid layers {model.name} --all)")
    if not wanted:
        raise TargetError("no layer was given: leave the layers out for all blocks, or name some, such as 'mixed4*'")
    return [layer for name, layer in found.items() if any(one.fullmatch(name) for one in fits.values())]


def _pattern(text: str) -> re.Pattern[str]:
    """As in a shell, with dots for slashes: `*` and `?` stay within a part of a name, `**` crosses its dots."""
    words = {"**": ".*", "*": r"[^.]*", "?": r"[^.]"}
    parts = re.split(r"(\*\*|\*|\?)", text)
    return re.compile("".join(words.get(part) or re.escape(part) for part in parts))


def _units(layers: Sequence[Layer], units: str | Sequence[int] | None) -> dict[str, tuple[int, ...]]:
    """Layer -> its units that are asked for; layers without any are left out."""
    try:
        asked = unspan(units.replace(" ", "")) if isinstance(units, str) else units
    except ValueError:
        raise TargetError(f"units are numbers and ranges, such as 0-15,40, not {units!r}") from None
    if asked is not None and (not asked or min(asked) < 0):
        raise TargetError(f"units are numbers from 0, such as 0-15,40, not {units!r}")
    chosen = {
        layer.name: tuple(range(layer.units) if asked is None else sorted({u for u in asked if u < layer.units}))
        for layer in layers
    }
    if not any(chosen.values()):
        widest = max((layer.units for layer in layers), default=0)
        raise TargetError(f"no layer that was asked for has units {units}; the widest has {widest}, 0 to {widest - 1}")
    return {name: numbers for name, numbers in chosen.items() if numbers}
