"""The same pages as a folder of files, which opens from a disk as well as from any web server."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pellucid.app.site import contents
from pellucid.app.site.addresses import SHARD, Files
from pellucid.app.site.examples import example_bytes
from pellucid.app.site.pages import FRONT_END, front_end, page
from pellucid.app.site.shelf import Shelf, Volume
from pellucid.app.site.thumbs import SMALL_PX, nothing, smaller
from pellucid.app.site.unit_contents import alike_contents, unit_contents
from pellucid.atlas.shards import Picture
from pellucid.errors import AtlasError

__all__ = ["Exported", "export"]

_OWN = ("index.html", "static", "data", "pictures", "thumbs", "examples")
_MARK = "pellucid-site.json"

OnProgress = Callable[[int, int], "bool | None"]
"""Told how many units are written, of how many."""


@dataclass(frozen=True)
class Exported:
    """What was written."""

    index: Path
    num_units: int
    num_files: int
    num_bytes: int


def export(
    shelf: Shelf, folder: Path, *, notes: dict[str, Any] | None = None, on_progress: OnProgress | None = None
) -> Exported:
    """Write the pages of a shelf into a folder: `index.html` and what it shows, all by relative addresses.

    Data are scripts and there is no module among them, for browsers refuse both modules and `fetch` to a page from a
    disk. A unit's data lie with those of its shard of 100, so that a layer of any length stays fast. A site that is
    there already is replaced.

    Raises:
        AtlasError: the folder holds something else, or cannot be written.
    """
    try:
        _clear(folder)
        site = _Site(folder)
        site.write("index.html", page(shelf.volumes[shelf.main].name, root="", kind="static").encode())
        site.write(_MARK, b'{"pellucid": "site", "format": 1}\n')
        for name in FRONT_END:
            site.write(f"static/{name}", front_end(name))
        why = "Pages of an exported atlas do not render: pellucid view does."
        whole = contents.book(shelf, live={"can": False, "why": why, "steps": 0}, notes={"can": False, "why": ""})
        site.data("book", {**whole, "token": ""})
        site.data("names", contents.names(shelf.volumes[shelf.main]))
        site.data("notes", notes or {})
        total = sum(len(volume.units(name)) for volume in shelf.volumes for name in volume.layers)
        done = 0
        for number, volume in enumerate(shelf.volumes):
            for layer, name in enumerate(volume.layers):
                site.data(f"{number}/{layer}/layer", contents.layer_contents(volume, name))
                for units in _shards(volume.units(name)):
                    _write_shard(site, shelf, number, layer, units)
                    done += len(units)
                    if on_progress and on_progress(done, total):
                        raise KeyboardInterrupt
    except OSError as error:
        raise AtlasError(f"cannot write '{folder}': {error.strerror or error}") from None
    return Exported(folder / "index.html", total, site.num_files, site.num_bytes)


class _Site:
    """Writes files below one folder, and counts them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.num_files, self.num_bytes = folder, 0, 0

    def write(self, name: str, data: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.num_files += 1
        self.num_bytes += len(data)

    def data(self, name: str, value: Any) -> None:
        """A value as a script that hands it to the page."""
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        self.write(f"data/{name}.js", f"P.receive({json.dumps(name)},{text});\n".encode())


def _shards(units: list[Picture]) -> Iterable[list[Picture]]:
    numbers = sorted({one.unit // SHARD for one in units})
    return ([one for one in units if one.unit // SHARD == number] for number in numbers)


def _write_shard(site: _Site, shelf: Shelf, number: int, layer: int, units: list[Picture]) -> None:
    """The data and pictures of up to 100 units."""
    volume, shown = shelf.volumes[number], {}
    for first in units:
        data = unit_contents(shelf, number, layer, first.unit, Files())
        assert data is not None
        data["alike"] = alike_contents(volume, first.target) if number == shelf.main else None
        shown[first.unit] = data
        _write_pictures(site, volume, number, layer, first)
        for column in volume.known.of_kind("examples"):
            at = volume.known.columns.index(column)
            for place, entry in enumerate(volume.known.value(column, first.target) or []):
                if (picture := example_bytes(entry, volume.known.pictures)) is not None:
                    site.write(Files().example(number, layer, first.unit, at, place), picture)
    site.data(f"{number}/{layer}/units-{units[0].unit // SHARD}", shown)


def _write_pictures(site: _Site, volume: Volume, number: int, layer: int, first: Picture) -> None:
    small = all(max(one.height, one.width) <= SMALL_PX for one in volume.units(volume.layers[layer]))
    for one in volume.atlas.unit(first.target):
        image = volume.atlas.image(one.target, one.view, one.member)
        if image is None and one.view != "picture":
            continue
        image = image or nothing()
        site.write(Files().picture(number, layer, one), image)
        if one.view == "picture" and not small:
            site.write(Files().thumb(number, layer, one), smaller(image))


def _clear(folder: Path) -> None:
    """Make room for a site: in a new folder, an empty one, or in place of a site.

    Raises:
        AtlasError: something else is there.
    """
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / _MARK).is_file():
            raise AtlasError(f"'{folder}' holds something that is no exported atlas; choose a new folder")
        for name in _OWN:
            place = folder / name
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)
            else:
                place.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
