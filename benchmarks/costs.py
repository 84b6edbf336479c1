"""What the catalogue costs, against the plain ascent of the same pictures, in interleaved runs.

    python benchmarks/costs.py                        # diversity, octaves, refinement
    python benchmarks/costs.py --before CHECKOUT/src  # and the plain ascent of an older tree against this one's

Each figure is a ratio of the shortest of several runs that take turns: a busy machine slows both sides down.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

import pellucid as pl

NETWORK, UNIT, SIZE_PX, STEPS, ROUNDS = "default", "mixed4b:7", 64, 24, 5
SETTINGS = {"trial": False, "plateau": 0, "steps": STEPS}


def seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def ratio(one: Callable[[], object], other: Callable[[], object]) -> tuple[float, float, float]:
    """Seconds of both sides, the shortest of alternating runs, and how often the second takes the first's time."""
    one(), other()
    pairs = [(seconds(one), seconds(other)) for _ in range(ROUNDS)]
    first, second = (min(side) for side in zip(*pairs, strict=True))
    return first, second, second / first


def diversity(model: pl.Model) -> None:
    repeats = {"members": 16, "batch": 16, "lanes": 1, **SETTINGS}
    plain, diverse, factor = ratio(
        lambda: pl.render(model, UNIT, **repeats), lambda: pl.render(model, UNIT, diversity=1.0, **repeats)
    )
    print(f"diversity, 16 pictures of {UNIT}: {diverse:.2f} s against {plain:.2f} s: {factor:.2f}x")


def octaves(model: pl.Model) -> None:
    sizes = (64, 96, 128)
    targets = [UNIT] * 8
    grown = " ".join(f"{size}:{STEPS}" for size in sizes)

    def one_by_one() -> None:
        for size in sizes:
            pl.render(model, targets, size=size, **SETTINGS)

    plain, together, factor = ratio(
        one_by_one, lambda: pl.render(model, targets, octaves=grown, trial=False, plateau=0)
    )
    print(f"octaves of {sizes} px: {together:.2f} s against {plain:.2f} s for plain runs of these sizes: {factor:.2f}x")


def refinement(model: pl.Model) -> None:
    calls: list[int] = []

    def counted(run: Callable[..., object]) -> Callable[..., object]:
        def counting(score: Callable[[torch.Tensor], torch.Tensor], start: torch.Tensor, iterations: int) -> object:
            def scored(x: torch.Tensor) -> torch.Tensor:
                calls.append(len(x))
                return score(x)

            return run(scored, start, iterations)

        return counting

    from pellucid.ascent import slots  # not above: an older tree has no such part

    original = slots.ascend
    slots.ascend = counted(original)  # type: ignore[assignment]
    for count in (1, 16):
        calls.clear()
        took = seconds(lambda: pl.render(model, [UNIT] * count, refine=20, batch=count, lanes=1, **SETTINGS))  # noqa: B023
        print(f"refinement of {count}: {len(calls)} evaluations of {set(calls)} pictures, {took:.2f} s with the ascent")
    slots.ascend = original


def before_and_after(old: Path) -> None:
    """The plain ascent by two trees, each in a process of its own, in turns."""
    times: dict[str, list[float]] = {"before": [], "after": []}
    trees = {"before": old, "after": Path(__file__).parents[1] / "src"}
    workers = {name: _worker(tree) for name, tree in trees.items()}
    for _ in range(ROUNDS + 1):
        for name, worker in workers.items():
            assert worker.stdin is not None
            assert worker.stdout is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
            times[name].append(json.loads(worker.stdout.readline()))
    for worker in workers.values():
        worker.kill()
    after, prior = min(times["after"][1:]), min(times["before"][1:])
    print(f"plain ascent, 16 pictures: {after:.2f} s now, {prior:.2f} s before: {after / prior:.2f}x")


def _worker(tree: Path) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--work"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(command, text=True, env={**os.environ, "PYTHONPATH": str(tree)}, **pipes)  # type: ignore[call-overload,no-any-return]


def work() -> None:
    """Render whenever told to, and say how long it took."""
    model = pl.load(NETWORK)
    for _ in sys.stdin:
        print(json.dumps(seconds(lambda: pl.render(model, [UNIT] * 16, batch=16, lanes=1, **SETTINGS))), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="the src folder of an older checkout")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work()
        return
    model = pl.load(NETWORK)
    print(f"{NETWORK}, {SIZE_PX} px, {STEPS} steps, {torch.get_num_threads()} threads, torch {torch.__version__}")
    if arguments.before:
        before_and_after(arguments.before)
    diversity(model)
    octaves(model)
    refinement(model)


if __name__ == "__main__":
    main()
