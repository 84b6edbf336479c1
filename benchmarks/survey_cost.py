"""What a survey costs beside the bare network, and how much memory a long one takes.

    python benchmarks/survey_cost.py cost --model torchvision:squeezenet1_1 --weights FILE --size 224 --pictures 256
    python benchmarks/survey_cost.py memory --pictures 100000

`cost`: the same pictures, already in memory, go through the bare network and a survey of all its layers, in the same
precision and batches, in turns; the ratio of the medians is printed. `memory`: noise of 64 px goes through the embedded
network; resident memory is printed along the way.
"""

from __future__ import annotations

import argparse
import statistics
import time

import psutil
import torch

import pellucid as pl
from pellucid.draws import Draws
from pellucid.survey.reading import to_network
from pellucid.survey.settings import fast_enough_and_true, usual_batch
from pellucid.survey.summary import summarise
from pellucid.survey.tally import Tally

MIB = 2**20


class Noise(torch.utils.data.Dataset[torch.Tensor]):
    """Soft noise: any number of pictures that take no memory."""

    def __init__(self, count: int, size: int) -> None:
        self.count, self.size = count, size

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> torch.Tensor:
        coarse = Draws.from_keys([f"noise {index}"]).uniform(1, 3, 8, 8)[0]
        return torch.nn.functional.interpolate(coarse, (self.size, self.size), mode="bilinear")[0].clamp(0, 1)


def cost(spec: str, weights: str | None, size: int, count: int) -> None:
    model = pl.load(spec, weights=weights, size=size)
    layers = tuple(model.layers)
    batch = usual_batch(model.size)
    noise = Noise(count, size)
    pictures = torch.stack([noise[i] for i in range(count)]).split(batch)
    precision = fast_enough_and_true(model, layers, to_network(pictures[0][:4], model))
    worker = model.at(precision=precision)
    units = sum(model.layers[name].units for name in layers)
    tally, seen = Tally.none_yet(units, 8, 0), 0
    bare, whole = [], []
    for images in pictures:
        shown = to_network(images, worker)
        began = time.process_time()
        with torch.no_grad():
            worker(shown)
        bare.append(time.process_time() - began)
        began = time.process_time()
        tally.add(summarise(worker, shown, layers), torch.arange(seen, seen + len(images)))
        whole.append(time.process_time() - began)
        seen += len(images)
    half = len(bare) // 2  # behind the first pictures, of which every one is among the best of some unit
    late = statistics.median(whole[half:]) / statistics.median(bare[half:])
    print(
        f"{spec}: {len(layers)} layers, {units} units, {precision}, {seen} pictures of {size} px in batches of {batch}"
    )
    print(f"CPU time of a survey over the bare network: {sum(whole) / sum(bare):.2f}, in the second half {late:.2f}")


def memory(count: int) -> None:
    model = pl.load("default")
    process = psutil.Process()
    began = time.perf_counter()

    def says(done: int, total: int) -> None:
        if done % 6400 == 0 or done == total:
            rate = done / (time.perf_counter() - began)
            print(f"{done:7d} pictures, {process.memory_info().rss / MIB:6.0f} MiB, {rate:.0f} a second", flush=True)

    found = pl.survey.survey(model, Noise(count, 64), callback=says)
    print(f"{len(found.table)} units; {process.memory_info().rss / MIB:.0f} MiB with the table and its pictures")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["cost", "memory"])
    parser.add_argument("--model", default="torchvision:squeezenet1_1")
    parser.add_argument("--weights", default="none")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--pictures", type=int, default=256)
    given = parser.parse_args()
    if given.what == "cost":
        cost(given.model, given.weights if given.model != "default" else None, given.size, given.pictures)
    else:
        memory(given.pictures)


if __name__ == "__main__":
    main()
