"""What a unit's page shows, as plain data."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from pellucid.app.site.addresses import Addresses
from pellucid.app.site.examples import example_caption, is_example
from pellucid.app.site.finite import finite
from pellucid.app.site.known import Column
from pellucid.app.site.shelf import Shelf, Volume
from pellucid.errors import PellucidError
from pellucid.models.targets import Target

__all__ = ["alike_contents", "unit_contents"]

_MOST_LINKS = 48
_MOST_EXAMPLES = 48
_MOST_CLASSES = 6
_WIRING = ("feeds", "fed_by")  # columns that tell how units are wired, and not which are like each other
# Names under which tables keep the number and the words that belong to one entry of a list.
_NUMBERS = ("activation", "response", "score", "similarity", "weight", "value", "cosine", "correlation")


def unit_contents(shelf: Shelf, number: int, layer: int, unit: int, addresses: Addresses) -> dict[str, Any] | None:
    """Everything known of one unit; None where the atlas has no picture of it. `layer` is the layer's number."""
    volume = shelf.volumes[number]
    first = volume.picture(layer, unit)
    if first is None:
        return None
    name = volume.layers[layer]
    known = volume.known
    return {
        "target": first.target,
        "layer": name,
        "unit": unit,
        "label": volume.labels(name, [first])[0],
        "is_class": volume.is_output(name),
        "pictures": _pictures(volume, number, layer, first.target, addresses),
        "measures": _measures(volume, first.target),
        "texts": [
            {"title": column.title, "about": column.about, "value": value}
            for column in (*known.of_kind("text"), *known.of_kind("label"))
            if (value := _words(known.value(column, first.target)))
        ],
        "histograms": _histograms(volume, first.target),
        "examples": _examples(volume, number, layer, unit, first.target, addresses),
        "links": [group for column in known.of_kind("links") if (group := _links(volume, column, first.target))],
        "provenance": _provenance(volume, first.target),
    }


def alike_contents(volume: Volume, target: str) -> dict[str, Any] | None:
    """The units whose pictures look like this one's, as another group of links."""
    items = [
        {"layer": one.layer, "unit": one.unit, "value": round(one.likeness, 3)} for one in volume.likeness.of(target)
    ]
    about = (
        "By the colours of the pictures, and the scale and direction of their strokes; not by what the units answer to."
    )
    return {"title": "Look alike", "about": about, "items": items} if items else None


def _pictures(volume: Volume, number: int, layer: int, target: str, addresses: Addresses) -> list[dict[str, Any]]:
    return [
        {
            "view": one.view,
            "member": one.member,
            "src": addresses.picture(number, layer, one) if one.status not in ("failed", "nonfinite") else None,
            "score": finite(one.score),
            "status": one.status,
            "steps": one.steps,
            "rescue": one.rescue,
            "seed": one.seed,
            "error": one.error,
            "width": one.width,
            "height": one.height,
        }
        for one in volume.atlas.unit(target)
    ]


def _measures(volume: Volume, target: str) -> list[dict[str, Any]]:
    pictures = {one.view: one for one in reversed(volume.atlas.unit(target))}
    own = [
        ("score", "score", "how much the unit fires at its picture, in the layer's own units", "picture"),
        ("negative", "score of the negative", "how strongly its negative picture drives it down", "negative"),
    ]
    measures = [
        {"key": key, "title": title, "about": about, "value": finite(pictures[view].score)}
        for key, title, about, view in own
        if view in pictures
    ]
    measures += [
        {
            "key": column.key,
            "title": column.title,
            "about": column.about,
            "value": finite(volume.known.value(column, target)),
        }
        for column in volume.known.of_kind("number")
    ]
    return measures


def _histograms(volume: Volume, target: str) -> list[dict[str, Any]]:
    """Lists of counts, each with edges of the same table if there is one more of them than there are counts."""
    histograms = []
    for column in volume.known.of_kind("histogram"):
        value = volume.known.value(column, target)
        if isinstance(value, dict):
            counts: list[Any] = value["counts"] or []
            edges: Any = [value["low"] + at * value["width"] for at in range(len(counts) + 1)]
        else:
            counts = value or []
            beside = [one for one in volume.known.of_kind("edges") if one.table == column.table]
            edges = next(
                (e for one in beside if len(e := volume.known.value(one, target) or ()) == len(counts) + 1), None
            )
        if counts and all(isinstance(count, (int, float)) and math.isfinite(count) for count in counts):
            title = column.title.capitalize()
            histograms.append({"title": title, "about": column.about, "counts": counts, "edges": edges})
    return histograms


def _examples(
    volume: Volume, number: int, layer: int, unit: int, target: str, addresses: Addresses
) -> list[dict[str, Any]]:
    groups = []
    for column in volume.known.of_kind("examples"):
        entries = (volume.known.value(column, target) or [])[:_MOST_EXAMPLES]
        at = volume.known.columns.index(column)
        items = [
            {
                "src": addresses.example(number, layer, unit, at, place),
                "value": finite(_first(entry, _NUMBERS)) if isinstance(entry, dict) else None,
                "caption": example_caption(entry, volume.known.pictures),
            }
            for place, entry in enumerate(entries)
            if is_example(entry, volume.known.pictures)
        ]
        if items:
            groups.append({"title": column.title.capitalize(), "about": column.about, "items": items})
    return groups


def _links(volume: Volume, column: Column, target: str) -> dict[str, Any] | None:
    """Other units that a table names, those that the atlas has."""
    entries = (volume.known.value(column, target) or [])[:_MOST_LINKS]
    numbers = _numbers_beside(volume, column, target, len(entries))
    items = []
    for entry, number in zip(entries, numbers, strict=True):
        text = entry if isinstance(entry, str) else (entry or {}).get("target")
        place = _place(text)
        if place is None or volume.find(*place) is None:
            continue
        value = _first(entry, _NUMBERS) if isinstance(entry, dict) else number
        items.append({"layer": place[0], "unit": place[1], "value": finite(value)})
    if not items:
        return None
    return {
        "title": column.title.capitalize(),
        "about": column.about,
        "items": items,
        "is_wiring": column.name in _WIRING,
    }


def _numbers_beside(volume: Volume, column: Column, target: str, count: int) -> list[float | None]:
    """The numbers of a list of names: those of `nearest_units` are in `nearest_similarity`."""
    first = column.name.partition("_")[0]
    for one in volume.known.of_kind("values"):
        if one.table == column.table and one.name.startswith(f"{first}_"):
            values = volume.known.value(one, target) or []
            if len(values) >= count and all(isinstance(value, (int, float)) for value in values):
                return list(values[:count])
    return [None] * count


def _words(value: Any) -> str | None:
    """A text, or a list of classes with how often each is there."""
    if isinstance(value, list):
        return ", ".join(f"{one['name'].partition(',')[0]} ({one['count']})" for one in value[:_MOST_CLASSES]) or None
    return value or None


def _place(text: Any) -> tuple[str, int] | None:
    """Layer and unit of a target's text."""
    try:
        (term,) = Target.parse(str(text)).terms
    except (PellucidError, ValueError):
        return None
    return (term.layer, term.channels) if term.kind == "unit" and isinstance(term.channels, int) else None


def _first(entry: dict[str, Any], names: Sequence[str]) -> Any:
    return next((entry[name] for name in names if entry.get(name) is not None), None)


def _provenance(volume: Volume, target: str) -> list[tuple[str, Any]]:
    card = volume.atlas.card
    first = volume.atlas.unit(target)[0]
    resolved = card.resolved.get(first.layer, {})
    rows: list[tuple[str, Any]] = [
        ("target", target),
        ("network", f"{card.model.name}, weights {card.model.hash}"),
        ("recipe", {name: value for name, value in card.recipe.as_dict().items() if value not in (None, "", False)}),
        ("seed", first.seed),
        ("resolved", dict(resolved) or first.resolved or "unknown"),
        *card.versions.items(),
    ]
    for name, table in volume.known.tables.items():
        about = [table.about(column).provenance for column in table.columns]
        rows.append((f"table {name}", json.loads(json.dumps(about[0] if about else {}, default=str))))
    return rows
