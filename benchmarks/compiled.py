"""Does `torch.compile` make the cut network faster on this device?

    python benchmarks/compiled.py default mixed4b --batch 64
    python benchmarks/compiled.py torchvision:squeezenet1_1 features.9 --weights none --size 224

Forward and backward of the working copy (batch norms folded, channels-last, the plan's precision), as it is and
compiled, taking turns. Printed: median ms of both, their ratio, and the seconds that compiling took, which a run must
earn back.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch import Tensor, nn

import pellucid as pl
from pellucid.ascent.memory import kept_memory
from pellucid.ascent.trial import images_for
from pellucid.ascent.working import prepared
from pellucid.models.taps import Tap


class Cut(nn.Module):
    """The network up to its tapped layer, as one module from pictures to a score."""

    def __init__(self, model: pl.Model, tap: Tap) -> None:
        super().__init__()
        self.model, self.tap = model, tap

    def forward(self, images: Tensor) -> Tensor:
        return self.model.tap(images, [self.tap])[self.tap].float().mean()


def timed(cut: nn.Module, images: Tensor) -> float:
    """Seconds of one forward and backward."""
    began = time.perf_counter()
    leaf = images.clone().requires_grad_()
    torch.autograd.grad(cut(leaf), leaf)
    if images.device.type != "cpu":
        torch.accelerator.synchronize()
    return time.perf_counter() - began


def main() -> None:
    """Print one line of figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("layer")
    parser.add_argument("--weights")
    parser.add_argument("--size", type=int)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    model = pl.load(options.model, weights=options.weights)
    size = (options.size, options.size) if options.size else model.size
    tap = Tap(options.layer)
    resolved = pl.plan(model, f"{options.layer}:0", size=size, trial=False).resolved
    worker = prepared(model, resolved.candidate, [tap], torch.device(resolved.device))
    images = images_for(model, options.batch, size, torch.device(resolved.device))
    worker.layers_at(size)
    plain = Cut(worker, tap)
    compiled = torch.compile(Cut(worker, tap))
    with kept_memory():
        timed(plain, images)
        seconds = timed(compiled, images)
        turns = [(timed(plain, images), timed(compiled, images)) for _ in range(options.rounds)]
    as_is, fast = (1e3 * statistics.median(column) for column in zip(*turns, strict=True))
    print(f"{model.name} {options.layer}, {options.batch} x {size[0]} x {size[1]}, {resolved}")
    print(
        f"as it is {as_is:.1f} ms, compiled {fast:.1f} ms: {as_is / fast:.2f} times as fast, {seconds:.0f} s to compile"
    )


if __name__ == "__main__":
    main()
