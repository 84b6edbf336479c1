"""How many units get no gradient at the start, what wakes them, and which stay grey: a table by layer.

    python benchmarks/blocked.py default --layers 'mixed??' --data ../shared/data/tiny-imagenet-200-val.parquet
    python benchmarks/blocked.py torchvision:squeezenet1_1 --weights FILE --mean 0.485 0.456 0.406 \
        --std 0.0039 0.0039 0.0039 --layers features.9 --size 224

A unit counts when it fires on at least one of the pictures of --data (all units count without it). "blocked" are those
whose first gradient is zero; then how many each rung of the rescue woke; "not risen" are those that fire on photos and
whose picture, at the end, does not make them fire.
"""

from __future__ import annotations

import argparse
import fnmatch
import io
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import pellucid as pl
from pellucid.ascent.rescue import LADDER
from pellucid.objectives.response import Response


def firing_units(model: pl.Model, layers: list[str], data: Path | None, count: int) -> dict[str, torch.Tensor]:
    """For each layer which units [c] fire anywhere on any of the first `count` pictures of a Parquet file."""
    fires = {layer: torch.full((model.layers[layer].units,), data is None) for layer in layers}
    if data is None:
        return fires
    import pyarrow.parquet as pq

    rows = pq.read_table(data, columns=["image"]).slice(0, count).to_pylist()
    for start in range(0, len(rows), 100):
        encoded = [row["image"] for row in rows[start : start + 100]]
        files = [io.BytesIO(one["bytes"] if isinstance(one, dict) else one) for one in encoded]
        pictures = [Image.open(file).convert("RGB").resize(model.size[::-1]) for file in files]
        images = torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures])).permute(0, 3, 1, 2) / 255
        with torch.no_grad():
            activations = model.tap(images, layers)
        for layer in layers:
            fires[layer] |= (Response(layer, "max")(activations) > 0).any(0)
    return fires


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--layers", default="mixed??", help="pattern of layer names")
    parser.add_argument("--data", type=Path, help="Parquet file with a column of encoded pictures")
    parser.add_argument("--count", type=int, default=2000, help="how many of its pictures to look at")
    parser.add_argument("--weights")
    parser.add_argument("--mean", type=float, nargs="+")
    parser.add_argument("--std", type=float, nargs="+")
    parser.add_argument("--size", type=int)
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--transforms", default="lucid")
    arguments = parser.parse_args()
    model = pl.load(
        arguments.model, weights=arguments.weights, mean=arguments.mean, std=arguments.std, size=arguments.size
    )
    layers = fnmatch.filter(model.layers, arguments.layers)
    fires = firing_units(model, layers, arguments.data, arguments.count)
    rungs = list(dict.fromkeys(LADDER))
    print("| layer | units | fire | blocked | " + " | ".join(rungs) + " | not risen | seconds |")
    print("| --- " * (6 + len(rungs)) + "|")
    not_risen: list[str] = []
    total = 0
    for layer in layers:
        began = time.perf_counter()
        got = pl.render(model, f"{layer}:*", steps=arguments.steps, transforms=arguments.transforms)
        units = [int(unit) for unit in fires[layer].nonzero()]
        total += len(units)
        woken = Counter(got.status[unit].rescue for unit in units)
        grey = [f"{layer}:{unit}" for unit in units if not got.scores[unit] > 0]
        not_risen += grey
        blocked = sum(count for rung, count in woken.items() if rung is not None)
        cells = [layer, len(got), len(units), blocked, *(woken[rung] for rung in rungs), len(grey)]
        print("| " + " | ".join(map(str, cells)) + f" | {time.perf_counter() - began:.0f} |", flush=True)
    share = len(not_risen) / max(1, total)
    print(f"\n{len(not_risen)} of {total} units that fire on photos did not rise ({share:.2%}): {' '.join(not_risen)}")


if __name__ == "__main__":
    main()
