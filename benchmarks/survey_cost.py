"""What a survey costs beside the bare network, and how much memory a long one takes.

    python benchmarks/survey_cost.py cost --model torchvision:squeezenet1_1 --weights FILE --size 224
    python benchmarks/survey_cost.py cost --weights FILE --data ../shared/data/tiny-imagenet-200-val.parquet
    python benchmarks/survey_cost.py memory --pictures 100000 --data ../shared/data/tiny-imagenet-200-val.parquet

`cost`: the same pictures, already in memory, go through the bare network and a survey of all its layers, in the same
precision and batches, on one thread, in turns; the ratio of their CPU time is printed, of all and of the second half:
the first pictures are among the best of every unit, and cost more. With `--data` they are a dataset's, and the ratio is
told with the reading of them on both sides, too. `memory`: noise of 64 px, or a dataset repeated,
goes through the embedded network; resident memory is printed along the way.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass

import psutil
import torch

import pellucid as pl
from pellucid.draws import Draws
from pellucid.survey.open_dataset import open_dataset
from pellucid.survey.reading import batches, to_network
from pellucid.survey.settings import fast_enough_and_true, usual_batch
from pellucid.survey.summary import summarise
from pellucid.survey.tally import Tally

MIB = 2**20
KEPT = 256  # different pictures that `cost` shows, in different shades


class Noise(torch.utils.data.Dataset[torch.Tensor]):
    """Soft noise: any number of pictures that take no memory."""

    def __init__(self, count: int, size: int) -> None:
        self.count, self.size = count, size

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> torch.Tensor:
        coarse = Draws.from_keys([f"noise {index}"]).uniform(1, 3, 8, 8)[0]
        return torch.nn.functional.interpolate(coarse, (self.size, self.size), mode="bilinear")[0].clamp(0, 1)


@dataclass
class Times:
    """Seconds of CPU time of one batch: the bare network, the forward that is looked at, what its tally costs."""

    bare: float
    looks: float
    tally: float


def cost(spec: str, weights: str | None, size: int, count: int, data: str | None) -> None:
    torch.set_num_threads(1)
    model = pl.load(spec, weights=weights, size=size)
    layers = tuple(model.layers)
    batch = usual_batch(model.size)
    kept, reading = shown(model, min(count, KEPT if data is None else count), data)
    precision = fast_enough_and_true(model, layers, to_network(kept[:4], model))
    worker = model.at(precision=precision)
    units = sum(model.layers[name].units for name in layers)
    tally, times, reading = Tally.none_yet(units, 8, 0), [], reading * batch
    for start in range(0, count, batch):
        numbers = torch.arange(start, start + batch)
        shade = Draws.from_keys([f"shade {number}" for number in numbers.tolist()]).uniform(1)[:, :, None, None]
        times.append(once(worker, to_network(kept[numbers % len(kept)] * shade, worker), layers, tally, numbers))
    print(f"{spec}: {len(layers)} layers, {units} units, {precision}, {count} pictures of {size} px, {batch} at a time")
    for name, some in (("all", times), ("the second half", times[len(times) // 2 :])):
        bare, looks, counted = (sum(getattr(one, part) for one in some) for part in ("bare", "looks", "tally"))
        print(
            f"{name}: {1e3 * bare / len(some):.0f} ms bare a batch, {1e3 * looks / len(some):.0f} looked at, "
            f"{1e3 * counted / len(some):.0f} of counting; survey over bare {(looks + counted) / bare:.2f}"
        )
        if reading:
            both = reading * len(some)
            ratio = (both + looks + counted) / (both + bare)
            print(f"with the {1e3 * reading:.0f} ms that reading a batch takes: {ratio:.2f}")
    ratios = sorted(one.looks / one.bare for one in times)
    print(f"looked at over bare, batch by batch: median {statistics.median(ratios):.2f}, least {ratios[0]:.2f}")


def shown(model: pl.Model, count: int, data: str | None) -> tuple[torch.Tensor, float]:
    """Pictures [b, c, h, w] in [0, 1], and the seconds of CPU time that reading one took: noise takes none."""
    if data is None:
        noise = Noise(count, model.size[0])
        return torch.stack([noise[i] for i in range(count)]), 0.0
    began, read = time.process_time(), []
    for some in batches(open_dataset(data), model, 16):
        read.append(some.images)
        if 16 * len(read) >= count:
            break
    pictures = torch.cat(read)
    return pictures, (time.process_time() - began) / len(pictures)


def once(
    worker: pl.Model, pictures: torch.Tensor, layers: tuple[str, ...], tally: Tally, numbers: torch.Tensor
) -> Times:
    """One batch, bare and surveyed one behind the other; the thread's own time, for others may be at work."""
    began = time.thread_time()
    with torch.no_grad():
        worker(pictures)
    bare = time.thread_time()
    summary = summarise(worker, pictures, layers)
    looked = time.thread_time()
    tally.add(summary, numbers)
    return Times(bare - began, looked - bare, time.thread_time() - looked)


class Repeated(torch.utils.data.Dataset[torch.Tensor]):
    """A dataset's pictures over and over: as many as one likes of those that there are."""

    def __init__(self, data: str, model: pl.Model, count: int) -> None:
        read = [(one.images * 255).round().byte() for one in batches(open_dataset(data), model, 64)]
        self.pictures, self.count = torch.cat(read), count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.pictures[index % len(self.pictures)].float() / 255


def memory(count: int, data: str | None) -> None:
    torch.set_num_threads(1)
    model = pl.load("default")
    shown = Repeated(data, model, count) if data is not None else Noise(count, 64)
    process = psutil.Process()
    began = time.perf_counter()

    def says(done: int, total: int) -> None:
        if done % 6400 == 0 or done == total:
            rate = done / (time.perf_counter() - began)
            print(f"{done:7d} pictures, {process.memory_info().rss / MIB:6.0f} MiB, {rate:.0f} a second", flush=True)

    found = pl.survey.survey(model, shown, callback=says)
    print(f"{len(found.table)} units; {process.memory_info().rss / MIB:.0f} MiB with the table and its pictures")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["cost", "memory"])
    parser.add_argument("--model", default="torchvision:squeezenet1_1")
    parser.add_argument("--weights", default="none")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--pictures", type=int, default=2048)
    parser.add_argument("--data", help="pictures, such as a Parquet file, that `memory` repeats; noise without")
    given = parser.parse_args()
    if given.what == "cost":
        weights = given.weights if given.model != "default" else None
        cost(given.model, weights, given.size, given.pictures, given.data)
    else:
        memory(given.pictures, given.data)


if __name__ == "__main__":
    main()
