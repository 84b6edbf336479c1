"""What a sweep will take, before it begins: counted, and timed over a few real steps."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from pellucid.ascent.memory import peak_bytes
from pellucid.ascent.progress import Progress
from pellucid.ascent.render import stream
from pellucid.atlas.card import Card
from pellucid.atlas.chunk import as_resolved, chunks, members, resolve
from pellucid.atlas.order import of_view
from pellucid.atlas.place import Place
from pellucid.atlas.shards import Key
from pellucid.models.model import Model
from pellucid.models.targets import Target

__all__ = ["Estimate", "estimate", "seconds_per_step"]

_WARM_UP = 3  # steps of a batch that are not timed: the first allocate, and wake the images that are blocked
_TIMED = 4  # steps at least, and
_LEAST_SECONDS = 0.5
_BYTES_PER_VALUE = 0.8  # of a finished 64-px picture as lossless WebP; 10 kB


@dataclass(frozen=True)
class Estimate:
    """What is to be made and what that takes.

    Attributes:
        card: of the atlas, with how each timed layer is resolved. num_images: to be made. present: there already.
        timed: layer -> seconds for one step of one image, measured. seconds: for all, by these.
        memory: the most that this process, or the accelerator, had taken while they were timed; None if unknown.
        disk: bytes of all pictures to be made. disk_free: bytes left there; None for a bucket.
    """

    card: Card
    num_images: int
    present: int
    timed: Mapping[str, float]
    seconds: float
    memory: int | None
    disk: int
    disk_free: int | None

    @property
    def resolved(self) -> Mapping[str, Any]:
        """How the first timed layer is rendered."""
        return next(iter(self.card.resolved.values()), {})


def estimate(model: Model, card: Card, place: Place, present: Iterable[Key] = ()) -> Estimate:
    """Plan the sweep that a card asks for, where some pictures are there already. Writes nothing.

    At most three layers are timed, the first, a middle one and the last of those with something to do; the time of the
    others is taken to lie between, by their place in the network.
    """
    there = set(present)
    todo = list(chunks(card, there))
    steps = dict.fromkeys(dict.fromkeys(chunk.layer for chunk in todo), 0)
    for chunk in todo:
        steps[chunk.layer] += len(chunk.units) * members(card, chunk.view) * card.recipe.total_steps
    order = {name: at for at, name in enumerate(card.layers)}
    layers = sorted(steps, key=lambda name: order[name])
    timed: dict[str, float] = {}
    for name in dict.fromkeys(layers[at] for at in (0, len(layers) // 2, -1)) if layers else ():
        if name not in card.resolved:
            card = replace(card, resolved={**card.resolved, name: resolve(model, card, name)})
        timed[name] = seconds_per_step(model, card, name)
    places = [order[name] for name in timed]
    seconds = math.fsum(
        count * card.recipe.best_of * float(np.interp(order[name], places, list(timed.values())))
        for name, count in steps.items()
    )
    height, width = card.recipe.size or model.size
    num_images = sum(len(chunk.units) * members(card, chunk.view) for chunk in todo)
    device = torch.device(next(iter(card.resolved.values()))["device"] if card.resolved else "cpu")
    return Estimate(
        card=card,
        num_images=num_images,
        present=len(there),
        timed=timed,
        seconds=seconds,
        memory=peak_bytes(device),
        disk=round(num_images * height * width * model.channels * _BYTES_PER_VALUE),
        disk_free=_disk_free(place),
    )


def seconds_per_step(model: Model, card: Card, layer: str) -> float:
    """How long one step of one image takes here, among as many as are rendered at once: measured in the real loop."""
    recipe, slots = as_resolved(of_view(card.recipe), model, card.resolved[layer])
    units = card.units[layer][: max(slots, 1)]
    marks: list[tuple[float, int]] = []

    def watch(progress: Progress) -> bool:
        marks.append((time.perf_counter(), progress.image_steps))
        warm = _WARM_UP * recipe.lanes
        return len(marks) >= warm + _TIMED * recipe.lanes and marks[-1][0] - marks[warm][0] >= _LEAST_SECONDS

    targets = [Target.unit(layer, unit) for unit in units]
    for _ in stream(model, targets, recipe=recipe, slots_for=slots, callback=watch):
        pass
    first = marks[min(_WARM_UP * recipe.lanes, len(marks) - 2)] if len(marks) > 1 else (marks[0][0] - 1e-3, 0)
    took, steps = marks[-1][0] - first[0], marks[-1][1] - first[1]
    return took / max(1, steps)


def _disk_free(place: Place) -> int | None:
    if not place.is_local:
        return None
    folder = place.root
    while folder:
        try:
            return shutil.disk_usage(folder).free
        except FileNotFoundError:
            folder = folder.rpartition("/")[0]
    return None
