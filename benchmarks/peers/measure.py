"""What is measured: the time to an activation, speed at equal steps, and memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from judge import Judge, first_at_least, nearest
from process import Worker, WorkerError

__all__ = ["COUNTERPARTS", "OURS", "Pictures", "Plan", "equal_steps", "reach"]

OURS = "pellucid"
COUNTERPARTS = {"horama": f"{OURS} as horama"}
"""Peers whose method is another one of ours than the default (MACO), and what our side is called then."""
Made = tuple[list[int], list[float], np.ndarray]  # units, seconds and pictures
Pictures = dict[str, dict[int, np.ndarray]]  # by side and unit, the first round's: for the contact sheets


@dataclass(frozen=True)
class Plan:
    """What was asked for on the command line, as far as it decides what is measured."""

    units: tuple[int, ...]
    rounds: int = 1
    block: int = 8  # units in our batch, and how often sides take turns
    size: int = 224
    native: bool = False  # peers make pictures of their own default size
    our_steps: int | None = None
    peer_steps: int | None = None
    every: int = 8
    draws: int = 32
    steps_equal: int = 64
    images_equal: int = 8
    memory_batches: tuple[int, ...] = (1, 8, 32)
    peer_units: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def blocks(self) -> list[tuple[int, ...]]:
        """The units in blocks."""
        return [self.units[start : start + self.block] for start in range(0, len(self.units), self.block)]

    def render(self, name: str, units: Sequence[int], file: Path, **changes: Any) -> dict[str, Any]:
        """A request for pictures as this side makes them by default: ours in a batch, others one after another."""
        ours = name == OURS
        return {
            "units": list(units),
            "batch": ours,
            "file": str(file),
            "steps": self.our_steps if ours else self.peer_steps,
            "size": None if self.native and not ours else self.size,
            "seed": 0,
            **changes,
        }


def _turns(names: Sequence[str], turn: int) -> list[str]:
    """The sides in an order that rotates, so that none always comes first."""
    shift = turn % len(names)
    return [*names[shift:], *names[:shift]]


def reach(
    sides: dict[str, Worker], judge: Judge, plan: Plan, steps: int, folder: Path, pictures: Pictures
) -> Iterator[dict[str, Any]]:
    """Yield, block by block, what each side's pictures at its defaults reach and how long we take to reach the same.

    The sides take turns on a block of units; every peer's picture is timed by itself, ours together. Then, untimed, our
    same run is repeated with snapshots, and the judge looks at all of them.

    Args:
        steps: of our recipe.
        pictures: filled with the first round's pictures.
    """
    grid = sorted({*range(plan.every, steps + 1, plan.every), steps})
    for turn, (seed, units) in enumerate((seed, units) for seed in range(plan.rounds) for units in plan.blocks()):
        record: dict[str, Any] = {"round": seed, "units": list(units), "peers": {}, "errors": {}, "ours": {}}
        replies: dict[str, Made] = {}
        for name in _turns(list(sides), turn):
            own = [unit for unit in units if unit in plan.peer_units.get(name, units)]
            if not own:
                continue
            try:
                made = _made(sides, plan, name, own, seed, folder / "made.npy")
            except WorkerError as error:
                if name == OURS:
                    raise
                record["errors"][name] = str(error)
                continue
            replies |= made
            if seed == 0:
                for side, (_, _, images) in made.items():
                    pictures.setdefault(side, {}).update(zip(own, images, strict=True))
        kept: dict[str, np.ndarray] = {}
        for like, side in ((None, OURS), *COUNTERPARTS.items()):
            if side in replies:
                request = plan.render(OURS, replies[side][0], folder / f"{side}.npy", seed=seed, like=like)
                record["ours"][side], kept[side] = _step_by_step(sides[OURS], judge, request, replies.pop(side), grid)
        for name, (own, times, images) in replies.items():
            side = COUNTERPARTS.get(name, OURS)
            ours = record["ours"][side]
            places = [ours["units"].index(unit) for unit in own]
            record["peers"][name] = _compared(judge, plan, ours, own, times, images, kept[side], places)
        yield record


def _made(sides: dict[str, Worker], plan: Plan, name: str, units: list[int], seed: int, file: Path) -> dict[str, Made]:
    """A side's pictures at its defaults and, of a peer with another method, ours made by that: by the side's name."""
    requests = {name: plan.render(name, units, file, seed=seed)}
    if name in COUNTERPARTS:
        requests[COUNTERPARTS[name]] = plan.render(OURS, units, file, seed=seed, like=name)
    found = {}
    for side, request in requests.items():
        reply = sides[name if side == name else OURS].ask(render=request)
        found[side] = units, reply["seconds"], np.load(file)
    return found


def _step_by_step(
    worker: Worker, judge: Judge, request: dict[str, Any], made: Made, grid: list[int]
) -> tuple[dict[str, Any], np.ndarray]:
    """What our pictures reach at each step of the grid, from the same run again, untimed: record and snapshots."""
    units, seconds, images = made
    worker.ask(render={**request, "snapshots": grid})
    kept = np.load(request["file"], mmap_mode="r")  # [s, b, 3, h, w]
    record = {
        "units": units,
        "seconds": seconds[0],
        "seconds_per_image_step": seconds[0] / (len(units) * grid[-1]),
        "clean": judge.clean(images, units),
        "curve_steps": grid,
        "curves": list(zip(*(judge.clean(snapshot, units) for snapshot in kept), strict=True)),
    }
    return record, kept


def _compared(
    judge: Judge,
    plan: Plan,
    ours: Mapping[str, Any],
    units: list[int],
    times: list[float],
    images: np.ndarray,
    kept: np.ndarray,
    places: list[int],
) -> list[dict[str, Any]]:
    """One row per picture of a peer: what it reached, when we reached that, and how both stand transforms."""
    clean = judge.clean(images, units)
    curves = [ours["curves"][place] for place in places]
    matched = [nearest(curve, goal) for curve, goal in zip(curves, clean, strict=True)]
    equals = np.stack([kept[snapshot, place] for snapshot, place in zip(matched, places, strict=True)])
    grey = judge.clean(np.full((len(units), 3, judge.size, judge.size), 0.5, dtype=np.float32), units)
    robust = judge.under_transforms(images, units, plan.draws)
    our_robust = judge.under_transforms(equals, units, plan.draws)
    rows = []
    for i, unit in enumerate(units):
        first = first_at_least(curves[i], clean[i])
        steps = ours["curve_steps"][-1 if first is None else first]
        rows.append(
            {
                "unit": unit,
                "seconds": times[i],
                "clean": clean[i],
                "grey": grey[i],
                "our_steps": None if first is None else steps,
                "our_seconds": steps * ours["seconds_per_image_step"],
                "our_clean": ours["clean"][places[i]],
                "matched_step": ours["curve_steps"][matched[i]],
                "matched_clean": curves[i][matched[i]],
                "robust": robust[i],
                "matched_robust": our_robust[i],
            }
        )
    return rows


def equal_steps(
    sides: dict[str, Worker], plan: Plan, folder: Path, batches: Mapping[str, bool]
) -> list[dict[str, Any]]:
    """Images per second at the same number of steps and images, in every way that a side offers.

    Args:
        batches: whether a side can make several images at once.
    """
    units = [plan.units[i % len(plan.units)] for i in range(plan.images_equal)]
    # Pellucid freezes its copy of the network. A peer's user may do so too, though none of their manuals does.
    ways = [
        (name, way, changes)
        for name in sides
        for way, changes in (
            ("one batch", {"batch": True}),
            ("one at a time", {"batch": False}),
            ("one at a time, weights frozen by the user", {"batch": False, "frozen": True}),
            ("one batch, weights frozen by the user", {"batch": True, "frozen": True}),
        )
        if not (changes["batch"] and not batches[name]) and not ("frozen" in changes and name == OURS)
    ]
    rows = []
    for turn in range(plan.rounds):
        for name, way, changes in ways[turn % len(ways) :] + ways[: turn % len(ways)]:
            request = plan.render(name, units, folder / "equal.npy", steps=plan.steps_equal, seed=turn, **changes)
            try:
                reply = sides[name].ask(render=request)
            except WorkerError as error:
                rows.append({"side": name, "way": way, "round": turn, "error": str(error)})
                continue
            seconds = sum(reply["seconds"])
            rows.append({"side": name, "way": way, "round": turn, "images_per_second": len(units) / seconds})
    return rows
