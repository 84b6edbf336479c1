"""What the Jacobian and Gram matrix of a layer cost, beside the bare batched backward passes that they consist of.

    python benchmarks/inverse/speed.py            # GoogLeNet inception4c, random weights: 512 units of a 224-px picture
    python benchmarks/inverse/speed.py --units 64 # so many of them

Times are CPU seconds of one thread, which other work on the machine hardly changes; the two sides take turns.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from functools import partial

import torch

import pellucid as pl
from pellucid.ascent.working import Candidate, prepared
from pellucid.images.build import build_image
from pellucid.inverse.jacobians import chunk_of, linearized
from pellucid.inverse.linear_algebra import gram
from pellucid.inverse.response_of import ResponseOf
from pellucid.objectives.response_direction import aggregated


def bare(function: ResponseOf, flat: torch.Tensor, num_units: int, chunk: int) -> float:
    """CPU seconds of one forward and the batched backward passes alone, whose results are dropped."""
    began = time.process_time()
    leaf = flat.detach().repeat(chunk, 1).requires_grad_()
    response = function(leaf)
    picked = torch.zeros_like(response)
    for _ in range(0, num_units, chunk):
        torch.autograd.grad(response, leaf, picked, retain_graph=True)
    return time.process_time() - began


def one_by_one(function: ResponseOf, flat: torch.Tensor, count: int) -> float:
    """CPU seconds of a single backward pass, from a loop of some."""
    leaf = flat.detach().requires_grad_()
    response = function(leaf)
    began = time.process_time()
    for unit in range(count):
        torch.autograd.grad(response[0, unit], leaf, retain_graph=True)
    return (time.process_time() - began) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="torchvision:googlenet")
    parser.add_argument("--layer", default="inception4c")
    parser.add_argument("--units", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--size", type=int, default=224)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    size = (arguments.size, arguments.size)
    weights = None if arguments.model == "default" else "none"
    model = pl.load(arguments.model, weights=weights, size=size)
    image_of = partial(build_image, "pixels", size=size, color="none")
    flat = torch.randn(1, 3 * size[0] * size[1], generator=torch.Generator().manual_seed(0)) * 0.5
    chunk = chunk_of(size[0] * size[1])
    response = aggregated(arguments.layer, "pooled")
    worker = prepared(model, Candidate("float32", "channels_last", folded=True), [response.tap], torch.device("cpu"))
    function = ResponseOf(worker, image_of, response, units=arguments.units)
    bare(function, flat, chunk, chunk)  # warm
    plain, ours = 0.0, 0.0
    for _ in range(arguments.repeats):
        plain += bare(function, flat, arguments.units, chunk) / arguments.repeats
        began = time.process_time()
        (linear,) = linearized(function, flat, [None], size[0] * size[1], arguments.units)
        ours += (time.process_time() - began) / arguments.repeats
    began = time.process_time()
    gram(linear.jacobian)
    gram_seconds = time.process_time() - began
    single = one_by_one(function, flat, 8)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    batched = plain / arguments.units
    sys.stdout.write(
        f"{arguments.units} units of {arguments.layer}, {size[0]} px, chunks of {chunk}: bare passes {plain:.1f} s, "
        f"Jacobian {ours:.1f} s, Gram {gram_seconds:.1f} s: {(ours + gram_seconds) / plain:.2f} times the bare passes; "
        f"a pass one by one {1000 * single:.0f} ms, batched {1000 * batched:.0f} ms: {single / batched:.2f} times; "
        f"peak memory {peak:.2f} GiB\n"
    )


if __name__ == "__main__":
    main()
