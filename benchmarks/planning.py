"""What atlases of large networks take: units, time and cost, for the table in `docs/atlas.md`.

    python benchmarks/planning.py                # about five minutes of one core
    python benchmarks/planning.py --gpu-tflops 50 --gpu-price 2.5

Measured here: the rate of the ascent loop, in processor time of one thread, at the middle layer of each network.
Counted: the units of every block, and the multiplications and additions of a step of an image, forward and back, as far
as each layer. All else is arithmetic: a layer's step costs its operations at the network's rate; eight cores are eight
times one; a GPU is `--gpu-tflops` of useful work, which is an assumption and was not measured, and 64 are 64 times one.
"""

from __future__ import annotations

import argparse
import time
import warnings

import torch
from torch.utils.flop_counter import FlopCounterMode

import pellucid as pl
from pellucid.ascent.machine import machine_name
from pellucid.ascent.progress import Progress, duration
from pellucid.ascent.trial import images_for, seconds_both_ways
from pellucid.atlas.card import Card
from pellucid.atlas.order import card_for
from pellucid.models.taps import Tap

NETWORKS = ("torchvision:googlenet", "torchvision:resnet50", "torchvision:vit_b_16")
CORES = 8  # of a laptop
GPUS = 64
BATCH, WARM_UP, STEPS = 4, 2, 6


def flops(model: pl.Model, layer: str) -> int:
    """Of one step of one image, forward and back, in the network cut behind a layer."""
    image = images_for(model, 1, model.size, torch.device("cpu"))
    with FlopCounterMode(display=False) as counter:
        seconds_both_ways(model, [Tap(layer)], image)
    return int(counter.get_total_flops())


def core_seconds(model: pl.Model, card: Card, layer: str) -> float:
    """Processor time of one step of one image in the loop, on one thread."""
    marks: list[tuple[float, int]] = []

    def watch(progress: Progress) -> bool:
        marks.append((time.process_time(), progress.image_steps))
        return len(marks) > WARM_UP + STEPS

    targets = [f"{layer}:{unit}" for unit in range(BATCH)]
    for _ in pl.stream(model, targets, recipe=card.recipe, batch=BATCH, lanes=1, trial=False, callback=watch):
        pass
    (began, first), (ended, last) = marks[WARM_UP], marks[-1]
    return (ended - began) / (last - first)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpu-tflops", type=float, default=20.0, help="useful work of one GPU, assumed (20)")
    parser.add_argument("--gpu-price", type=float, default=3.0, help="of an hour of one GPU, in dollars (3)")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print(f"measured on one core of: {machine_name(torch.device('cpu'))}, torch {torch.__version__}\n")
    print(
        "| network | layers | units | GFLOP a step | GFLOP/s of one core | laptop, 8 cores "
        "| one GPU, assumed | 64 GPUs, assumed | cost, assumed |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for spec in NETWORKS:
        model = pl.load(spec, weights="none")
        card = card_for(model)
        each = {layer: flops(model, layer) for layer in card.units}
        middle = list(card.units)[len(card.units) // 2]
        rate = each[middle] / core_seconds(model, card, middle)
        work = sum(len(units) * each[layer] for layer, units in card.units.items()) * card.recipe.total_steps
        gpu = work / (asked.gpu_tflops * 1e12)
        cells = (
            spec.partition(":")[2],
            str(len(card.units)),
            f"{card.num_units:,}",
            f"{work / card.recipe.total_steps / card.num_units / 1e9:.1f}",
            f"{rate / 1e9:.0f}",
            duration(work / rate / CORES),
            duration(gpu),
            duration(gpu / GPUS),
            f"${gpu / 3600 * asked.gpu_price:.2f}",
        )
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
