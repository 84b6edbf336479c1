"""What a step of ascent takes by choices that no picture shows, side by side in one process.

    python benchmarks/steps.py torchvision:squeezenet1_1 features.9 --weights none --batches 8 16 32
    python benchmarks/steps.py default mixed4b --batches 64

For each batch: the loop as it is; with each ReLU where the network has it; as one lane on all threads; and forward and
backward of the cut network alone, in as many lanes: as the loop has prepared it, and as it was given (frozen, cast and
channels-last, with its batch norms, its ReLUs and its first convolution's own gradient). The sides take turns of some
steps, the first of which is not counted. Beside the image-steps a second it says how often a thread of a step had to
wait for another one (voluntary context switches: for Python's lock, for the most part).
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from unittest.mock import patch

import torch

import pellucid as pl
from pellucid.ascent.bench import endless_jobs, warm_up
from pellucid.ascent.memory import kept_memory
from pellucid.ascent.plan import Resolved, make_plan
from pellucid.ascent.recipe import Recipe
from pellucid.ascent.slots import Slots
from pellucid.ascent.threads import side_by_side
from pellucid.ascent.trial import images_for, seconds_both_ways
from pellucid.models.taps import Tap
from pellucid.objectives.units import channel

STEPS, ENDLESS = 4, 10**9


@dataclass
class Side:
    """One way to run a batch, and what its turns took."""

    name: str
    lanes: Sequence[Callable[[], object]]  # a step of each
    threads: int
    batch: int
    seconds: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def steps(self, number: int) -> None:
        side_by_side(self.threads, [partial(_repeat, step, number) for step in self.lanes])

    def take_turn(self) -> None:
        self.steps(1)  # its memory comes back into the caches
        waits, began = _waits(), time.perf_counter()
        self.steps(STEPS)
        self.seconds.append((time.perf_counter() - began) / STEPS)
        self.waits.append((_waits() - waits) / STEPS)


def _repeat(step: Callable[[], object], number: int) -> None:
    for _ in range(number):
        step()


def _waits() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


def planned(model: pl.Model, layer: str, batch: int, lanes: int = 0) -> tuple[Recipe, Resolved, tuple[Tap, ...]]:
    recipe = Recipe(batch=batch, lanes=lanes, trial=False, plateau=0)
    taps = tuple(channel(layer, 0).taps)
    return recipe, make_plan(recipe, model, batch, taps).resolved, taps


def loop(name: str, model: pl.Model, layer: str, batch: int, lanes: int = 0) -> Side:
    recipe, resolved, taps = planned(model, layer, batch, lanes)
    own = resolved.of_lane()
    endless = replace(recipe, steps=ENDLESS, snapshots=())
    sides = [Slots(model, endless, own, taps) for _ in range(resolved.lanes)]
    waiting = endless_jobs(layer, model.layer(layer).units, recipe.seed)
    for slots in sides:
        warm_up(slots, waiting)
    return Side(name, [slots.step for slots in sides], own.threads, batch)


def bare(name: str, model: pl.Model, layer: str, batch: int, prepare: Callable[..., pl.Model]) -> Side:
    _, resolved, taps = planned(model, layer, batch)
    own = resolved.of_lane()
    images = images_for(model, own.batch, resolved.size, torch.device(resolved.device))
    worker = prepare(model, layer, resolved)
    lanes = [partial(seconds_both_ways, worker.twin(), taps, images) for _ in range(resolved.lanes)]
    return Side(name, lanes, own.threads, batch)


def as_given(model: pl.Model, layer: str, resolved: Resolved) -> pl.Model:
    with patch("pellucid.models.private_copy.replace_stems", lambda _: 0):
        return model.at(precision=resolved.precision, layout=resolved.layout)


def as_prepared(model: pl.Model, layer: str, resolved: Resolved) -> pl.Model:
    return model.folded([layer]).at(precision=resolved.precision, layout=resolved.layout)


def measured(given: Any) -> None:
    model = pl.load(given.model, weights=given.weights)
    plain = pl.load(given.model, weights=given.weights)  # of its own: working copies are kept by network
    for batch in given.batches:
        sides = [loop("as it is", model, given.layer, batch)]
        with patch("pellucid.models.model.delay_relus", lambda *_: 0):
            sides.append(loop("ReLUs where they are", plain, given.layer, batch))
        sides.append(loop("one lane", model, given.layer, batch, 1))
        sides.append(bare("the network alone, prepared", model, given.layer, batch, as_prepared))
        sides.append(bare("the network alone, as given", model, given.layer, batch, as_given))
        for _ in range(given.rounds):
            for side in sides:
                side.take_turn()
        first = sides[0].seconds
        for side in sides:
            rate = side.batch / statistics.median(side.seconds)
            share = statistics.median(a / b for a, b in zip(side.seconds, first, strict=True))
            waits = statistics.median(side.waits)
            print(
                f"{given.layer}, {batch} at once, {side.name}: {rate:.4g} image-steps a second, {share:.3f} of "
                f"the first one's time, {waits:.0f} waits a step ({len(side.lanes)} x {side.threads} threads)",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("layer")
    parser.add_argument("--weights")
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--rounds", type=int, default=16)
    given = parser.parse_args()
    print(f"{given.model}, torch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
    with kept_memory():
        measured(given)


if __name__ == "__main__":
    main()
