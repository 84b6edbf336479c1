"""Time the transforms of the inner loop against their alternatives, forward and backward.

    python benchmarks/warp.py                  # 8 x 3 x 224 x 224, this machine's best device
    python benchmarks/warp.py --size 64 --batch 16 --rounds 20

Variants take turns, so that a busy machine slows all of them alike. On the CPU the numbers are processor time (all
threads together), on an accelerator wall time. Reported: median (fastest) in ms.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.draws import Draws
from pellucid.transforms.affine import GREY, Rotate, Scale, composed, warp
from pellucid.transforms.pixelwise import Blur
from pellucid.transforms.presets import parse

Run = tuple[Tensor, Callable[[Tensor], Tensor]]  # the input and what is done to it


def affine_grid_warp(images: Tensor, sources: Tensor) -> Tensor:
    """The same warp through `F.affine_grid`."""
    height, width = images.shape[2:]
    unit = torch.diag(torch.tensor([2 / width, 2 / height, 1.0], device=images.device))
    grid = F.affine_grid((unit @ sources @ torch.linalg.inv(unit))[:, :2], list(images.shape), align_corners=False)
    return F.grid_sample(images - GREY, grid, align_corners=False) + GREY


def embedding_bag_warp(images: Tensor, sources: Tensor) -> Tensor:
    """The same warp as a weighted sum of four gathered pixels."""
    batch, channels, height, width = images.shape
    x = torch.arange(width, device=images.device) - (width - 1) / 2
    y = torch.arange(height, device=images.device) - (height - 1) / 2
    plane = sources[:, :2, 0, None, None] * x + (sources[:, :2, 1, None] * y + sources[:, :2, 2, None])[..., None]
    column, row = plane[:, 0] + (width - 1) / 2 + 1, plane[:, 1] + (height - 1) / 2 + 1  # in the picture framed by 1 px
    left, top = column.floor(), row.floor()
    right_share, lower_share = column - left, row - top
    table = F.pad(images - GREY, [1] * 4).permute(0, 2, 3, 1).reshape(-1, channels)
    first = torch.arange(batch, device=images.device).view(-1, 1, 1) * (height + 2) * (width + 2)
    places, weights = [], []
    for down in (0, 1):
        for right in (0, 1):
            at_row, at_column = (top + down).clamp(0, height + 1), (left + right).clamp(0, width + 1)
            places.append(first + (at_row * (width + 2) + at_column).long())
            weights.append((lower_share if down else 1 - lower_share) * (right_share if right else 1 - right_share))
    bags = F.embedding_bag(
        torch.stack(places, -1).view(-1, 4), table, per_sample_weights=torch.stack(weights, -1).view(-1, 4), mode="sum"
    )
    return bags.view(batch, height, width, channels).permute(0, 3, 1, 2) + GREY


def depthwise_blur(images: Tensor, sigma: float) -> Tensor:
    """The blur as two depthwise convolutions."""
    reach = -int(-3 * sigma // 1)
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=images.device) / sigma) ** 2)
    kernel = (taps / taps.sum()).repeat(images.shape[1], 1, 1, 1)
    down = F.conv2d(images - GREY, kernel.transpose(2, 3), padding=(reach, 0), groups=images.shape[1])
    return F.conv2d(down, kernel, padding=(0, reach), groups=images.shape[1]) + GREY


def variants(batch: int, size: int, device: torch.device) -> dict[str, Run]:
    """Each way of doing it by name."""
    draws = Draws.from_keys([f"image {i}" for i in range(batch)], device)
    contiguous = torch.rand(batch, 3, size, size, device=device)
    last = contiguous.to(memory_format=torch.channels_last)
    place = (size, size)
    sources = composed(Scale(1.1).sources(draws, place), Rotate(10).sources(draws.child("turn"), place))
    layer = torch.nn.Conv2d(3, 32, 5, stride=2, device=device).to(memory_format=torch.channels_last)
    layer.requires_grad_(False)
    pipelines = {text: parse(text) for text in ("lucid", "slides", "jitter:8", "noise:0.05", "crop:48")}
    # One sampling per move, as a pipeline without fusion does it.
    steps = [parse(word) for word in ("jitter:8", "scale:0.9..1.1", "rotate:-10..10", "jitter:4")]

    def sequential(images: Tensor) -> Tensor:
        for i, step in enumerate(steps):
            images = step(images, draws.child(str(i)))
        return images

    def through(images: Tensor, memory_format: torch.memory_format) -> Tensor:
        output: Tensor = layer(warp(images, sources, place, fill=GREY).contiguous(memory_format=memory_format))
        return output

    return {
        "warp, contiguous in": (contiguous, lambda images: warp(images, sources, place, fill=GREY)),
        "warp, channels_last in": (last, lambda images: warp(images, sources, place, fill=GREY)),
        "warp, by affine_grid": (contiguous, lambda images: affine_grid_warp(images, sources)),
        "warp, by embedding_bag": (contiguous, lambda images: embedding_bag_warp(images, sources)),
        "warp + conv, contiguous": (contiguous, lambda images: through(images, torch.contiguous_format)),
        "warp + conv, channels_last": (contiguous, lambda images: through(images, torch.channels_last)),
        "lucid without fusion": (contiguous, sequential),
        **{
            f"parse({text!r})": (contiguous, lambda images, pipeline=pipeline: pipeline(images, draws))
            for text, pipeline in pipelines.items()
        },
        "blur:0.5": (contiguous, lambda images: Blur(0.5)(images, draws)),
        "blur:0.5 by convolution": (contiguous, lambda images: depthwise_blur(images, 0.5)),
    }


def timed(run: Run, device: torch.device) -> tuple[float, float]:
    """Milliseconds of the forward and of the backward."""
    images = run[0].detach().requires_grad_()
    accelerated = device.type != "cpu"
    clock = time.perf_counter if accelerated else time.process_time

    def now() -> float:
        if accelerated:
            torch.accelerator.synchronize()
        return clock()

    start = now()
    output = run[1](images)
    middle = now()
    output.backward(torch.ones_like(output))
    return 1e3 * (middle - start), 1e3 * (now() - middle)


def main() -> None:
    """Print a table of times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224, help="pixels a side")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    runs = variants(options.batch, options.size, device)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for round_number in range(options.rounds + 1):
        for name, run in runs.items():
            result = timed(run, device)
            if round_number:  # the first is a warm-up
                times[name].append(result)
    print(f"{options.batch} x 3 x {options.size} x {options.size}, {device}, torch {torch.__version__}")
    for name, results in times.items():
        columns = [f"{statistics.median(part):7.2f} ({min(part):6.2f})" for part in zip(*results, strict=True)]
        print(f"{name:28} forward {columns[0]}  backward {columns[1]}")


if __name__ == "__main__":
    main()
