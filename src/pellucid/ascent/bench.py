"""How fast the ascent is here, beside the bare network and beside what this machine can do at most."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count, islice

import torch
from torch.utils.flop_counter import FlopCounterMode

from pellucid.ascent.jobs import Job
from pellucid.ascent.machine import machine_name
from pellucid.ascent.memory import kept_memory, peak_bytes
from pellucid.ascent.plan import Plan, make_plan
from pellucid.ascent.recipe import Recipe
from pellucid.ascent.slots import Slots
from pellucid.ascent.threads import side_by_side
from pellucid.ascent.trial import bytes_between, images_for, seconds_both_ways
from pellucid.ascent.working import Candidate, prepared
from pellucid.models.model import Model, Precision
from pellucid.models.taps import Tap
from pellucid.objectives.units import channel

__all__ = ["Bench", "endless_jobs", "measure", "warm_up"]

_ROUNDS = 5  # loop and bare network take turns, and medians are told: machines are noisy
_WARM_UP = 64  # steps at most until no image is blocked any more; most are awake after 17
_LONG = 64  # pictures of the run that is planned for
_ENDLESS = 10**9  # steps: no image may end while it is timed
_SIZES = (256, 512, 1024, 2048, 4096, 8192)  # of the square matrices whose product is the machine's peak
_LONG_PRODUCT = 0.2  # seconds: larger matrices than this bring no more
_FLOAT = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Bench:
    """What was measured. What cannot be had on a device is None.

    `image_steps_per_second` counts steps of single images, in the ascent's loop and in the cut network alone, forward
    and backward, in as many lanes; `loop_to_bare` is the ratio of their times, and `loop_to_whole` that to the cut
    network as it is usually run, one batch of all images on all threads (with one lane both are the same). `flops` are
    those of the network for one image-step, `peak_flops` a second those of the largest matrix products. `split` are
    shares of a step's time. `peak_bytes` are the accelerator's, or on a CPU the whole process's.
    """

    model: str
    layer: str
    machine: str
    plan: Plan
    recipe_steps: int
    timed_steps: int
    image_steps_per_second: float
    bare_image_steps_per_second: float
    loop_to_bare: float
    loop_to_whole: float
    flops: int | None
    peak_flops: float
    split: dict[str, float]
    bytes_per_image: int
    peak_bytes: int | None

    @property
    def images_per_second(self) -> float:
        """Pictures of the recipe's steps; their scoring at the end, one forward, is not counted."""
        return self.image_steps_per_second / self.recipe_steps

    @property
    def share_of_peak(self) -> float | None:
        """Of the machine's matrix products, what the loop gets out of it."""
        return None if self.flops is None else self.flops * self.image_steps_per_second / self.peak_flops

    @property
    def bare_share_of_peak(self) -> float | None:
        """And what the bare network gets."""
        return None if self.flops is None else self.flops * self.bare_image_steps_per_second / self.peak_flops


def measure(model: Model, layer: str, recipe: Recipe, *, steps: int | None = None, seconds: float = 5.0) -> Bench:
    """Time the ascent of a layer's first units, planned as a long run is, for so many steps or about so many seconds.

    Raises:
        TargetError: no such layer.
        RecipeError: a device or precision that this machine lacks.
    """
    size = recipe.size or model.size
    units = model.layer(layer, size).units
    taps = tuple(dict.fromkeys(channel(layer, 0).taps))
    plan = make_plan(recipe, model, _LONG, taps)
    device = torch.device(plan.resolved.device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    endless = replace(recipe, steps=_ENDLESS, snapshots=(), plateau=0)
    one = plan.resolved.of_lane()
    images = images_for(model, one.batch, size, device)
    jobs = endless_jobs(layer, units, recipe.seed)
    with kept_memory():
        lanes = [Slots(model, endless, one, taps) for _ in range(plan.resolved.lanes)]
        for slots in lanes:
            side_by_side(one.threads, [partial(warm_up, slots, jobs)])
            _, kept = bytes_between(slots.sight.model, taps, images)  # the bare network's warm-up

        def step(repeats: int) -> None:
            """So many steps of every lane."""
            side_by_side(one.threads, [partial(_repeat, slots.step, repeats) for slots in lanes])

        def bare_steps(repeats: int) -> None:
            """As many of the cut network alone, in as many lanes."""
            alone = [partial(seconds_both_ways, slots.sight.model, taps, images) for slots in lanes]
            side_by_side(one.threads, [partial(_repeat, run, repeats) for run in alone])

        if steps is None:
            steps = max(3, round(seconds / (_seconds(device, partial(step, 2)) / 2)))
        rounds = min(_ROUNDS, steps)
        each = math.ceil(steps / rounds)
        peak, best_size = max((_matmul_flops(device, plan, edge), edge) for edge in _sizes(device, plan))
        whole_batch = images_for(model, one.batch * len(lanes), size, device)
        whole_steps = partial(_repeat, partial(seconds_both_ways, lanes[0].sight.model, taps, whole_batch))
        whole_steps(1)
        loop, bare, whole, running, split_seconds = [], [], [], [], 0.0
        for _ in range(rounds):
            loop.append(_seconds(device, partial(step, each)) / each)
            bare.append(_seconds(device, partial(bare_steps, each)) / each)
            whole.append(_seconds(device, partial(whole_steps, each)) / each)
            under_way = [slot for slots in lanes for slot in slots.slots]
            running.append(sum(slot is not None and slot.ended is None for slot in under_way))
            peak = max(peak, _matmul_flops(device, plan, best_size))
            lanes[0].sight.watch.running = True  # apart: it waits for the accelerator
            split_seconds += _seconds(device, partial(step, max(1, each // 4)))
            lanes[0].sight.watch.running = False
    parts = {str(part): spent / split_seconds for part, spent in lanes[0].sight.watch.seconds.items()}
    return Bench(
        model=model.name,
        layer=layer,
        machine=machine_name(device),
        plan=plan,
        recipe_steps=recipe.steps,
        timed_steps=rounds * each,
        image_steps_per_second=statistics.median(n / t for n, t in zip(running, loop, strict=True)),
        bare_image_steps_per_second=len(images) * len(lanes) / statistics.median(bare),
        loop_to_bare=statistics.median(a / b for a, b in zip(loop, bare, strict=True)),
        loop_to_whole=statistics.median(a / b for a, b in zip(loop, whole, strict=True)),
        flops=_flops(model, plan, taps, device) or None,
        peak_flops=peak,
        split=dict(sorted(parts.items(), key=lambda part: -part[1])) | {"rest": max(0.0, 1 - sum(parts.values()))},
        bytes_per_image=kept // len(images),
        peak_bytes=peak_bytes(device),
    )


def endless_jobs(layer: str, units: int, seed: int) -> Iterator[Job]:
    """A layer's units in order, and again from another start."""
    for index in count():
        objective = channel(layer, index % units)
        yield Job(index, objective, f"seed {seed} objective {objective.hash} member {index // units}")


def warm_up(slots: Slots, jobs: Iterator[Job]) -> None:
    """Fill the slots and step until their images climb by themselves; dead ones make room for the next units."""
    for step in range(_WARM_UP):
        slots.leave()
        if slots.free:
            slots.enter(list(islice(jobs, len(slots.free))))
        slots.step()
        blocked = any(slot is not None and (slot.step == 0 or slot.rescue.redirects) for slot in slots.slots)
        if step >= 2 and not blocked:
            return


def _repeat(work: Callable[[], object], repeats: int) -> None:
    for _ in range(repeats):
        work()


def _seconds(device: torch.device, work: Callable[[], object]) -> float:
    """How long it takes."""
    _wait(device)
    began = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize()


def _sizes(device: torch.device, plan: Plan) -> Iterator[int]:
    """Edges of matrices, up to where one product takes long."""
    for edge in _SIZES:
        yield edge
        if 2 * edge**3 / _matmul_flops(device, plan, edge) > _LONG_PRODUCT / 8:  # the next takes eight times as long
            return


def _matmul_flops(device: torch.device, plan: Plan, edge: int) -> float:
    """Multiplications and additions a second in products of square matrices at the plan's precision; best of three."""
    left, right = torch.randn(2, edge, edge, device=device, dtype=_FLOAT[plan.resolved.precision])
    product = partial(torch.matmul, left, right)
    once = _seconds(device, product)
    repeats = max(1, min(20, round(0.02 / once)))
    seconds = min(_seconds(device, partial(_repeat, product, repeats)) / repeats for _ in range(3))
    return float(2 * edge**3 / seconds)


def _flops(model: Model, plan: Plan, taps: Sequence[Tap], device: torch.device) -> int:
    """Of the cut network for one image, forward and backward to the picture, by the textbook: no faster algorithm."""
    precision: Precision = "float64" if plan.resolved.precision == "float64" else "float32"
    worker = prepared(model, Candidate(precision, "contiguous", plan.resolved.folded), taps, device)
    image = images_for(model, 1, plan.resolved.size, device)
    with FlopCounterMode(display=False) as counter:
        seconds_both_ways(worker, taps, image)
    return int(counter.get_total_flops())
