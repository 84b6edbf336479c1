"""How fast and how large a sweep is: `python benchmarks/sweep.py throughput|memory|workers`.

throughput: pictures a second of a whole sweep, from the first step to the last shard on the disk, beside those of the
    bare ascent loop at its best (`pellucid bench`); the two take turns, and the ratio of medians is told.
memory: the peak of the process for 100 to 10,000 units of a tiny network, and a figure of it.
workers: a sweep by two Ray workers of one thread each beside one of one thread; they take turns. Wants two quiet cores.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pellucid as pl
from pellucid.ascent.bench import measure
from pellucid.ascent.memory import peak_bytes
from pellucid.ascent.recipe import Recipe
from pellucid.atlas.order import card_for
from pellucid.atlas.place import Place
from pellucid.atlas.sweeping import Sweep, workers_of

FIGURE = Path(__file__).parent / "sweep_memory.png"
SOURCE = {"spec": "default"}
MOST = 10_000  # units of the network whose memory is measured


def throughput(layer: str, units: int, steps: int, rounds: int) -> None:
    """Print pictures a second of sweep and loop, and their ratio."""
    model, recipe = pl.load("default"), Recipe(steps=steps)
    loop, sweeps = [], []
    for _ in range(rounds):
        loop.append(measure(model, layer, recipe, seconds=5).images_per_second)
        sweeps.append(
            _swept(lambda home: pl.atlas.sweep(model, home, layers=layer, units=f"0-{units - 1}", steps=steps))
        )
        rates = [units / seconds for seconds in sweeps]
        print(f"loop {loop[-1]:.2f}, sweep {rates[-1]:.2f} pictures/s", flush=True)
    ratio = statistics.median(a / b for a, b in zip(rates, loop, strict=True))
    print(json.dumps({"layer": layer, "units": units, "steps": steps, "sweep_to_loop": round(ratio, 3)}))


def _swept(work: Callable[[Path], object]) -> float:
    """Seconds that a sweep into a fresh folder takes."""
    with tempfile.TemporaryDirectory() as home:
        began = time.perf_counter()
        work(Path(home, "atlas"))
        return time.perf_counter() - began


def memory(counts: tuple[int, ...]) -> None:
    """Print the peak for each number of units, and draw it."""
    peaks = []
    for count in counts:
        done = subprocess.run([sys.executable, __file__, "one", str(count)], capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout.split()[-1]))
        print(f"{count} units: {peaks[-1] / 2**20:.0f} MiB", flush=True)
    draw(counts, peaks)
    print(json.dumps({"units": counts, "peak_bytes": peaks, "largest_to_smallest": round(peaks[-1] / peaks[0], 3)}))


def draw(counts: tuple[int, ...], peaks: list[int]) -> None:
    """The figure of the peaks."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5, 3), layout="constrained")
    axes.semilogx(counts, [peak / 2**20 for peak in peaks], "o-")
    axes.set(xlabel="units in the sweep", ylabel="peak memory of the process, MiB", ylim=(0, 1.25 * max(peaks) / 2**20))
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.minorticks_off()
    figure.savefig(FIGURE, dpi=120)


def one(count: int) -> None:
    """Sweep so many units of a network that has them all, and print the peak."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    # One position a unit: of 64, the network alone would take a gigabyte, and hide what a sweep keeps.
    model = pl.Model(nn.Sequential(nn.AvgPool2d(64), nn.Conv2d(3, MOST, 1), nn.ReLU()), size=64)
    with tempfile.TemporaryDirectory() as home:
        pl.atlas.sweep(
            model, home, layers="1", units=f"0-{count - 1}", steps=1, batch=32, transforms="none", trial=False
        )
    print(peak_bytes(torch.device("cpu")))


def workers(layer: str, units: int, steps: int, rounds: int) -> None:
    """Print the seconds of one worker and of two, and their ratio. Starting them is not counted."""
    model = pl.load("default")
    card = card_for(model, layers=layer, units=f"0-{units - 1}", source=SOURCE, steps=steps, trial=False, batch=16)
    took: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for count, seconds in took.items():
            with tempfile.TemporaryDirectory() as home:
                seconds.append(_led(card, Path(home, "atlas"), model, count))
            print(f"{count} workers: {seconds[-1]:.1f} s", flush=True)
    ratio = statistics.median(a / b for a, b in zip(took[1], took[2], strict=True))
    print(json.dumps({"layer": layer, "units": units, "steps": steps, "two_to_one": round(ratio, 3)}))


def _led(card: object, home: Path, model: pl.Model, count: int) -> float:
    """Seconds that workers take, once every one of them has loaded the network."""
    start = workers_of("ray", count, threads=1)
    ready: list[float] = []

    def started(post: object) -> object:
        crew = start(post)  # type: ignore[misc,arg-type]
        for future in [worker.submit("resolve", card, next(iter(card.units))) for worker in crew]:  # type: ignore[attr-defined]
            future.result()
        ready.append(time.perf_counter())
        return crew

    Sweep(Place.of(home), card).run(model, started)  # type: ignore[arg-type]
    return time.perf_counter() - ready[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["throughput", "memory", "workers", "one"])
    parser.add_argument("counts", nargs="*", type=int, default=[100, 300, 1000, 3000, 10_000])
    parser.add_argument("--layer", default="mixed4a")
    parser.add_argument("--units", type=int, default=128)
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    sized = (asked.layer, asked.units, asked.steps, asked.rounds)
    if asked.part == "throughput":
        throughput(*sized)
    elif asked.part == "workers":
        workers(*sized)
    elif asked.part == "memory":
        memory(tuple(asked.counts))
    else:
        one(asked.counts[0])


if __name__ == "__main__":
    main()
