"""What the pages show of a whole atlas and of a layer, as plain data. Server and static site give the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pellucid import __version__
from pellucid.app.site.addresses import SHARD
from pellucid.app.site.finite import finite
from pellucid.app.site.known import Column
from pellucid.app.site.shelf import Shelf, Volume
from pellucid.app.site.thumbs import SMALL_PX
from pellucid.ascent.recipe import Recipe
from pellucid.atlas.shards import Picture

__all__ = ["book", "layer_contents", "names"]

_SAID = ("steps", "image", "transforms", "optimizer")  # settings that are named even where they are the usual ones
_SAMPLES = 14  # pictures in a layer's line on the first page


def book(shelf: Shelf, *, live: dict[str, Any], notes: dict[str, Any]) -> dict[str, Any]:
    """The whole: atlases with their layers, and what the pages can do."""
    return {
        "version": __version__,
        "atlases": [_atlas(volume) for volume in shelf.volumes],
        "main": shelf.main,
        "compare": shelf.compare,
        "checkpoints": list(shelf.checkpoints),
        "shard_units": SHARD,
        "live": live,
        "notes": notes,
    }


def _atlas(volume: Volume) -> dict[str, Any]:
    card = volume.atlas.card
    return {
        "name": card.model.name,
        "side": volume.name,
        "model": card.model.name,
        "model_hash": card.model.hash,
        "step": volume.step,
        "damaged": list(volume.atlas.damaged),
        "facts": _facts(volume),
        "layers": [_layer(volume, name) for name in volume.layers],
    }


def _facts(volume: Volume) -> list[tuple[str, str]]:
    card = volume.atlas.card
    settings = card.recipe.as_dict()
    usual = Recipe().as_dict()
    said = {name: value for name, value in settings.items() if name in _SAID or value != usual[name]}
    recipe = ", ".join(f"{name} {value}" for name, value in said.items()) + "; else as usual"
    source = card.model.source
    facts = [
        ("network", card.model.name),
        ("weights", card.model.hash),
        (
            "loaded as",
            " ".join(f"{name} {value}" for name, value in source.items() if value) if source else "made in Python",
        ),
        ("input", f"{card.model.size[0]} × {card.model.size[1]} px, {card.model.channels} channels"),
        ("units", f"{sum(len(volume.units(name)) for name in volume.layers):,} of {card.num_units:,}"),
        ("pictures of each", str(card.pictures_per_unit)),
        ("recipe", recipe),
        *((f"with {name}", str(version)) for name, version in card.versions.items()),
        *((str(name), str(value)) for name, value in card.about.items()),
    ]
    if volume.known.tables:
        facts.append(("tables", ", ".join(volume.known.tables)))
    if volume.known.unread:
        facts.append(("tables not shown (damaged, or of another network)", ", ".join(volume.known.unread)))
    return facts


def _layer(volume: Volume, name: str) -> dict[str, Any]:
    card = volume.atlas.layer(name)
    units = volume.units(name)
    good = [one.unit for one in units if one.is_good] or [one.unit for one in units]
    samples = [good[len(good) * at // _SAMPLES] for at in range(_SAMPLES)] if len(good) > _SAMPLES else good
    return {
        "name": name,
        "kind": card.kind,
        "shape": list(card.shape),
        "units": card.units,
        "have": len(units),
        "samples": samples,
        "small": all(max(one.height, one.width) <= SMALL_PX for one in units),
        "spans": _spans([one.unit for one in units]),
    }


def _spans(units: Sequence[int]) -> list[list[int]]:
    """Ascending numbers as runs `[first, last]`."""
    runs: list[list[int]] = []
    for unit in units:
        if runs and unit == runs[-1][1] + 1:
            runs[-1][1] = unit
        else:
            runs.append([unit, unit])
    return runs


def layer_contents(volume: Volume, name: str) -> dict[str, Any]:
    """A layer's units, in columns: number, name, how it ended, and all numbers that are known of it."""
    units = volume.units(name)
    first = units[0] if units else None
    targets = [one.target for one in units]
    columns = [
        {
            "key": "score",
            "title": "score",
            "about": "how much the unit fires at its picture, in the layer's own units",
            "values": [finite(one.score) for one in units],
        }
    ]
    columns += [
        {"key": key, "title": title, "about": about, "values": values}
        for key, title, about, values in (*_views(volume, name, units), *_measured(volume, targets))
        if any(value is not None for value in values)
    ]
    return {
        "name": name,
        "units": [one.unit for one in units],
        "labels": volume.labels(name),
        "status": [one.status for one in units],
        "columns": columns,
        "size": None if first is None else [first.height, first.width],
    }


def _views(volume: Volume, name: str, units: Sequence[Picture]) -> list[tuple[str, str, str, list[float | None]]]:
    negatives = {one.unit: one.score for one in volume.atlas.pictures(name, "negative")}
    steps = [float(one.steps) for one in units]
    return [
        (
            "negative",
            "score of the negative",
            "how strongly the unit is driven down by its negative picture, before its nonlinearity",
            [finite(negatives.get(one.unit)) for one in units],
        ),
        (
            "steps",
            "steps",
            "of ascent that the picture took",
            list(steps) if len(set(steps)) > 1 else [None] * len(steps),
        ),
    ]


def _measured(volume: Volume, targets: list[str]) -> list[tuple[str, str, str, list[Any]]]:
    def values(column: Column) -> list[Any]:
        return [finite(value) for value in volume.known.values(column, targets)]

    return [(column.key, column.title, column.about, values(column)) for column in volume.known.of_kind("number")]


def names(volume: Volume) -> list[tuple[int, int, str]]:
    """Every unit that has a name: number of its layer, its own, and the name."""
    return [
        (at, one.unit, label)
        for at, layer in enumerate(volume.layers)
        for one, label in zip(volume.units(layer), volume.labels(layer), strict=True)
        if label
    ]
