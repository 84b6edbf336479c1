"""Making the demo: render every room, then write the pictures, the contact sheet and the page."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image

from pellucid.app.demo import rooms
from pellucid.app.demo.page import Exhibit, Hall, page
from pellucid.app.demo.rooms import Room
from pellucid.ascent.progress import Progress
from pellucid.ascent.recipe import Recipe
from pellucid.ascent.render import render
from pellucid.ascent.rendering import Rendering
from pellucid.images import files, sheets
from pellucid.models.model import Model

__all__ = ["Made", "make_demo"]

# 32 and 64 px are small on today's screens, and browsers enlarge less smoothly than Lanczos.
_PAGE_PX, _SHEET_PX = 192, 128

OnProgress = Callable[[str, float], "bool | None"]
"""Told which room is being made and how far the whole is, from 0 to 1."""


@dataclass(frozen=True)
class Made:
    """Where the demo lies."""

    page: Path
    sheet: Path
    num_pictures: int
    seconds: float


def make_demo(
    model: Model, folder: Path, *, steps: int | None = None, seed: int = 0, on_progress: OnProgress | None = None
) -> Made:
    """Fill a folder with `index.html`, `contact-sheet.png` and `pictures/`.

    `model` has the embedded network's layers and classes; `steps` is the most that any picture gets.

    Raises:
        TargetError: the network lacks a unit or class that the demo shows.
        ImageError: the folder cannot be written.
    """
    began = time.perf_counter()
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    planned = [_shortened(room, steps) for room in (*rooms.LADDER, rooms.GROWTH, rooms.OPPOSITES, rooms.STARTS)]
    costs = [len(room.targets) * room.steps * room.depth for room in planned]
    halls, sheet_parts, done = [], [], 0.0
    for room, cost in zip(planned, costs, strict=True):

        def on_step(run: Progress, room: Room = room, cost: float = cost, done: float = done) -> bool | None:
            share = run.image_steps / run.total_image_steps
            return on_progress(room.title, (done + cost * share) / sum(costs)) if on_progress else None

        rendering = _rendered(room, model, seed, on_step)
        halls.append(_hung(room, rendering, folder))
        if room.key in {known.key for known in rooms.LADDER}:
            sheet_parts.append(rendering)
        done += cost
    sheet = folder / "contact-sheet.png"
    files.write(sheet, _contact_sheet(sheet_parts), metadata={"pellucid": "contact sheet"})
    seconds = time.perf_counter() - began
    (folder / "index.html").write_text(page(halls, sheet_parts[-1], seconds), encoding="utf-8")
    return Made(folder / "index.html", sheet, sum(len(hall.exhibits) for hall in halls), seconds)


def _shortened(room: Room, steps: int | None) -> Room:
    if steps is None or steps >= room.steps:
        return room
    return replace(room, steps=steps, snapshots=tuple(sorted({round(s * steps / room.steps) for s in room.snapshots})))


def _rendered(room: Room, model: Model, seed: int, callback: Callable[[Progress], bool | None]) -> Rendering:
    size = None if room.size_px is None else (room.size_px, room.size_px)
    recipe = Recipe(steps=room.steps, snapshots=room.snapshots, size=size, transforms=room.transforms, seed=seed)
    return render(model, room.targets, recipe=recipe, callback=callback)


def _hung(room: Room, rendering: Rendering, folder: Path) -> Hall:
    """A room's pictures on disk, and what the page needs to know of them."""
    exhibits = []
    for row, target in enumerate(rendering.targets):
        one = rendering[row]
        file = f"pictures/{room.key}-{row + 1}.png"
        _write(one, folder / file)
        status = one.status[0]
        exhibits.append(Exhibit(target, file, float(one.scores[0]), status.state, status.step, status.rescue))
    stages = []
    for step, images in sorted(rendering.snapshots.items()):
        file = f"pictures/{room.key}-step-{step:04}.png"
        _write(replace(rendering, images=images), folder / file)
        stages.append((step, file))
    history = [float(score) for score in rendering.history[:, 0]]
    return Hall(room, tuple(exhibits), tuple(stages), tuple(history))


def _write(rendering: Rendering, file: Path) -> None:
    shown = sheets.picture(rendering.pictures[0]).resize((_PAGE_PX, _PAGE_PX), Image.Resampling.LANCZOS)
    files.write(file, shown, metadata={"pellucid": rendering.targets[0]})


def _contact_sheet(parts: list[Rendering]) -> Image.Image:
    pictures = [
        torch.nn.functional.interpolate(part.pictures, (_SHEET_PX, _SHEET_PX), mode="bicubic").clamp(0, 1)
        for part in parts
    ]
    labels = [target for part in parts for target in part.targets]
    title = f"Pellucid · {parts[0].model_name} ({parts[0].model_hash}), from its first layer to its last"
    return sheets.contact_sheet(torch.cat(pictures), labels, columns=len(parts[0]), enlarge=1, title=title)
