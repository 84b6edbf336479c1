"""Which atlases the pages show: one, perhaps another to compare it with, and the checkpoints of a training run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pellucid.app.site.known import Known
from pellucid.app.site.likeness import Likeness
from pellucid.atlas.card import CARD
from pellucid.atlas.place import Place
from pellucid.atlas.shards import Picture
from pellucid.atlas.store import Atlas
from pellucid.errors import AtlasError

__all__ = ["Shelf", "Volume"]


class Volume:
    """One atlas as the pages show it: its pictures, and what its tables know. `name` tells it from the others."""

    def __init__(self, atlas: Atlas, name: str) -> None:
        self.atlas, self.name = atlas, name
        self.known = Known.of(atlas)
        self.likeness = Likeness(atlas)

    @property
    def step(self) -> int | None:
        """The step of the training run that it is a checkpoint of."""
        step = self.atlas.card.about.get("step")
        return step if isinstance(step, int) and not isinstance(step, bool) else None

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that it shows, in forward order; their place here is their number in addresses of data."""
        return self.atlas.layers

    def units(self, layer: str) -> list[Picture]:
        """The first picture of every unit of a layer, in the order of their numbers."""
        return self.atlas.pictures(layer)

    def labels(self, layer: str, units: Sequence[Picture] | None = None) -> list[str | None]:
        """What some units of a layer are called, or all: by the class that each stands for, or by a table."""
        shown = self.units(layer) if units is None else units
        classes = self.atlas.card.model.classes
        if classes is not None and self.is_output(layer):
            return [classes[one.unit] for one in shown]
        return self.known.labels([one.target for one in shown])

    def is_output(self, layer: str) -> bool:
        """Whether a layer's units stand for the classes of the network, one for one."""
        classes, card = self.atlas.card.model.classes, self.atlas.layer(layer)
        return classes is not None and card.units == len(classes) and math.prod(card.shape) == card.units

    def find(self, layer: str, unit: int) -> Picture | None:
        """The first picture of a unit, by the name of its layer; None where there is none."""
        return self._by_number(layer).get(unit) if layer in self.layers else None

    def picture(self, layer: int, unit: int) -> Picture | None:
        """The first picture of a unit, by the number of its layer; None where there is none."""
        if not 0 <= layer < len(self.layers):
            return None
        return self._by_number(self.layers[layer]).get(unit)

    def _by_number(self, layer: str) -> dict[int, Picture]:
        kept: dict[tuple[str, int], dict[int, Picture]] = self.__dict__.setdefault("_numbers", {})
        key = (layer, len(self.atlas))
        if key not in kept:
            kept[key] = {one.unit: one for one in self.units(layer)}
        return kept[key]

    def refresh(self) -> None:
        """Take in what a sweep has written since."""
        if self.atlas.refresh():
            self.likeness = Likeness(self.atlas)
        self.known = Known.of(self.atlas) if self.known.names != self.atlas.tables else self.known


@dataclass
class Shelf:
    """Some volumes, by their numbers: the one that the pages are of, another beside it, and checkpoints in order."""

    volumes: list[Volume]
    main: int
    compare: int | None
    checkpoints: tuple[int, ...]

    @classmethod
    def open(cls, url: str | Path, *, compare: str | Path | None = None) -> Shelf:
        """The atlas at a path or URL, or the atlases of a training run in a folder, of which the last is shown.

        Raises:
            AtlasError: there is no atlas, or the two to compare have no layer in common.
        """
        found = _atlases(Place.of(url))
        by_step = sorted(found, key=lambda atlas: (atlas.card.about.get("step") or 0, atlas.place.url))
        volumes = [Volume(atlas, atlas.card.model.name) for atlas in by_step]
        checkpoints = tuple(range(len(volumes))) if len(volumes) > 1 else ()
        main = len(volumes) - 1
        if compare is None:
            return cls(volumes, main, None, checkpoints)
        other = _atlases(Place.of(compare))[-1]
        if not set(other.layers) & set(volumes[main].layers):
            raise AtlasError(
                f"{other.place.url!r} and {volumes[main].atlas.place.url!r} have no layer in common to compare: "
                f"{', '.join(other.layers[:5])} and {', '.join(volumes[main].layers[:5])}"
            )
        beside, mine = Volume(other, other.card.model.name), volumes[main]
        if beside.name == mine.name:  # two atlases of one network: told apart by where they lie
            beside.name, mine.name = _folder(other), _folder(mine.atlas)
        return cls([*volumes, beside], main, len(volumes), checkpoints)

    def volume(self, number: int) -> Volume | None:
        """A volume by its number; None where there is none."""
        return self.volumes[number] if 0 <= number < len(self.volumes) else None

    def refresh(self) -> None:
        """Take in what sweeps have written since."""
        for volume in self.volumes:
            volume.refresh()


def _atlases(place: Place) -> list[Atlas]:
    """The atlas at a place, or those in its folders."""
    if _is_there(place):
        return [Atlas.open(place)]
    inside = [Place.of(folder) for folder in _folders(place)]
    found = [Atlas.open(one) for one in inside if _is_there(one)]
    return found or [Atlas.open(place)]  # whose error says what is missing


def _is_there(place: Place) -> bool:
    return bool(place.fs.exists(place.path(CARD)))


def _folders(place: Place) -> Iterable[str]:
    try:
        entries = place.fs.ls(place.root, detail=True)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []
    folders = sorted(entry["name"] for entry in entries if entry["type"] == "directory")
    return folders if place.is_local else [place.fs.unstrip_protocol(folder) for folder in folders]


def _folder(atlas: Atlas) -> str:
    return atlas.place.root.rstrip("/").rpartition("/")[2] or atlas.place.url
