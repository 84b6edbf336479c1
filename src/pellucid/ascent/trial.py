"""A short measured trial: which precision, memory layout and batch a machine runs a cut network fastest at."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pellucid.ascent.memory import kept_memory
from pellucid.ascent.working import Candidate, prepared
from pellucid.errors import ModelError, is_out_of_memory
from pellucid.models.model import Model
from pellucid.models.taps import Tap
from pellucid.models.value_range import in_range

__all__ = [
    "MOST_ERROR",
    "Trial",
    "bytes_between",
    "deviation",
    "images_for",
    "seconds_both_ways",
    "tried",
    "why_not",
]

MOST_ERROR = 0.02  # of the responses, relative to float32: more, and a precision is not used unless asked for
_REPEATS = 3


@dataclass(frozen=True)
class Trial:
    """What a candidate did: seconds an image of forward and backward, how far from float32 (None: not compared),
    bytes an image; or why it could not run."""

    candidate: Candidate
    batch: int
    seconds: float
    error: float | None
    bytes_per_image: int
    failure: str | None = None


def images_for(model: Model, count: int, size: tuple[int, int], device: torch.device) -> Tensor:
    """Soft noise in the network's range, the same every time: what a picture looks like early in its ascent."""
    coarse = torch.rand(count, model.channels, 8, 8, generator=torch.Generator().manual_seed(0))
    return in_range(torch.nn.functional.interpolate(coarse, size, mode="bilinear"), model.value_range).to(device)


def tried(
    model: Model, candidate: Candidate, taps: Sequence[Tap], images: Tensor, exact: Sequence[Tensor] | None
) -> Trial:
    """Run a candidate forward and backward a few times; `exact` are the float32 activations to compare with."""
    batch = len(images)
    try:
        worker = prepared(model, candidate, taps, images.device)
        with kept_memory():
            seen, size = bytes_between(worker, taps, images)  # also warms up
            error = None if exact is None else deviation(seen, exact)
            seconds = min(seconds_both_ways(worker, taps, images) for _ in range(_REPEATS))
    except (ModelError, RuntimeError, MemoryError) as fault:
        return Trial(candidate, batch, math.inf, math.inf, 0, why_not(fault))
    return Trial(candidate, batch, seconds / batch, error, size // batch)


def why_not(fault: BaseException) -> str:
    """What kept a candidate from running, in one line."""
    return "out of memory" if is_out_of_memory(fault) else str(fault).partition("\n")[0] or type(fault).__name__


def deviation(values: Sequence[Tensor], exact: Sequence[Tensor]) -> float:
    """How far responses (means over positions) are from exact ones: the largest relative error over the layers.

    Infinite where a response is no number.
    """
    errors = []
    for value, true in zip(values, exact, strict=True):
        fast, slow = (_responses(activations) for activations in (value, true))
        errors.append(float((fast - slow).norm() / slow.norm().clamp(min=1e-12)))
    return max(math.inf if math.isnan(error) else error for error in errors)


def _responses(value: Tensor) -> Tensor:
    """[b, units] of a map [b, c, h, w], tokens [b, n, c] or a row [b, c]."""
    value = value.float()
    return value.mean((2, 3)) if value.ndim == 4 else value.mean(1) if value.ndim == 3 else value


def bytes_between(worker: Model, taps: Sequence[Tap], images: Tensor) -> tuple[list[Tensor], int]:
    """One forward and backward: the activations, and the bytes kept between the two, weights not counted."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter) and not isinstance(tensor._base, nn.Parameter):
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    leaf = images.clone().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        activations = worker.tap(leaf, taps)
        seen = list(activations.values())
    torch.autograd.grad(torch.stack([value.float().mean() for value in seen]).sum(), leaf)
    return [value.detach() for value in seen], sum(kept.values())


def seconds_both_ways(worker: Model, taps: Sequence[Tap], images: Tensor) -> float:
    """How long one forward and backward of the cut network take."""
    if images.device.type != "cpu":
        torch.accelerator.synchronize()
    began = time.perf_counter()
    leaf = images.clone().requires_grad_()
    means = [value.float().mean() for value in worker.tap(leaf, taps).values()]
    torch.autograd.grad(torch.stack(means).sum(), leaf)
    if images.device.type != "cpu":
        torch.accelerator.synchronize()
    return time.perf_counter() - began
