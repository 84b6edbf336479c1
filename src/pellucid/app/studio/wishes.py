"""What a page may have rendered: read with care, for what asks may be a stranger's page or a stranger's atlas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pellucid.ascent.recipe import Recipe
from pellucid.atlas.card import Card
from pellucid.errors import RecipeError, TargetError, did_you_mean
from pellucid.models.targets import Target, Term

__all__ = ["MOST_STEPS", "WAYS", "Wish"]

MOST_STEPS = 2048
_MEMBERS, _DIVERSITY = 4, 2.0
WAYS = {
    "again": "More like this",
    "diverse": "A diverse set",
    "negative": "The opposite",
    "strongest": "One strong spot",
    "target": "As asked",
}
# Of the others, some read files whose names stand in the target, and probes exist in Python only.
_KINDS = ("unit", "layer", "logit", "prob", "logprob")


@dataclass(frozen=True)
class Wish:
    """Pictures to make: which, of which unit's page, and how, as the worker is told."""

    way: str
    target: str
    unit: str
    recipe: Mapping[str, Any]

    @property
    def title(self) -> str:
        """In a page's words."""
        return WAYS[self.way]

    @classmethod
    def read(cls, document: Mapping[str, Any], card: Card) -> Wish:
        """What a page sent, for the network of an atlas: `way`, `target`, `unit`, `steps`, `seed`.

        Raises:
            TargetError: the target is none, reads a file, or is not of the network.
            RecipeError: another way, or a number out of range.
        """
        way = document.get("way")
        if not isinstance(way, str) or way not in WAYS:
            raise RecipeError(f"no way {str(way)[:80]!r} to render. There are: {', '.join(WAYS)}")
        steps = _number(document, "steps", 1, MOST_STEPS)
        seed = _number(document, "seed", 0, 2**32 - 1)
        target = _changed(_target(document.get("target"), card), way)
        several = {"members": _MEMBERS, "diversity": card.recipe.diversity or _DIVERSITY} if way == "diverse" else {}
        unit = document.get("unit")
        if not isinstance(unit, str) or len(unit) > 300:
            raise TargetError("the unit is the text of the page's target")
        return cls(way, str(target), unit, _recipe(card.recipe, steps=steps, seed=seed, **several).as_dict())


def _recipe(recipe: Recipe, **changes: Any) -> Recipe:
    """The atlas's recipe for one picture, here: nothing of it reads a file, and nothing is of another machine."""
    plain: dict[str, Any] = {"start": None, "octaves": "", "members": 1, "diversity": 0.0, "alignment": 0.0}
    plain |= {"snapshots": (), "shared_low_res": False, "shared_start": False, "group_layer": None, "best_of": 1}
    plain |= {"device": "auto", "batch": Recipe().batch, "lanes": 1, "plateau": 0, "level": None}
    return replace(recipe, **{**plain, **changes})


def _number(document: Mapping[str, Any], name: str, least: int, most: int) -> int:
    value = document.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise RecipeError(f"{name} is a whole number from {least} to {most}, not {str(value)[:40]!r}")
    return value


def _target(text: Any, card: Card) -> Target:
    if not isinstance(text, str) or len(text) > 300:
        raise TargetError("a target is a text of at most 300 characters, such as mixed4a:12")
    target = Target.parse(text)
    for term in target.terms:
        if term.kind not in _KINDS:
            raise TargetError(f"{term.kind} reads a file or is of Python: on a page there are {', '.join(_KINDS)}")
        if term.position is not None and term.position.kind in ("mask", "raster"):
            raise TargetError(f"a {term.position.kind} is read from a file, which pages may not name")
        if term.is_several:
            raise TargetError(f"{text!r} are several targets; a page renders one at a time")
        _known(term, card)
    return target


def _known(term: Term, card: Card) -> None:
    if not term.layer:
        return
    if term.layer not in card.layers:
        hint = did_you_mean(term.layer, card.layers) or " The atlas's pages list some."
        raise TargetError(f"no layer {term.layer!r} in {card.model.name}.{hint}")
    units = card.layers[term.layer].units
    if isinstance(term.channels, int) and term.channels >= units:
        raise TargetError(f"{term.layer} has {units} units (0 to {units - 1}), and no {term.channels}")


def _changed(target: Target, way: str) -> Target:
    if way == "negative":
        return -target
    if way == "strongest":
        return Target(
            tuple(replace(term, score="max", position=None) if term.kind == "unit" else term for term in target.terms)
        )
    return target
