"""Numbers that several items read off pictures."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

import pellucid as pl
from pellucid.objectives.response import Response

__all__ = ["activations", "correlation", "high_frequency", "means", "pixel_gradient", "rank_correlation"]

_FINE = 0.25  # cycles per px: finer than every fourth pixel counts as high frequency


def means(model: pl.Model, images: Float[Tensor, "b c h w"], layer: str) -> Float[Tensor, "b n"]:
    """The mean activation of every channel of a layer."""
    response = Response(layer)
    with torch.no_grad():
        return torch.cat([response(model.tap(part, [response.tap])) for part in images.split(32)])


def activations(model: pl.Model, images: Float[Tensor, "b c h w"], layer: str) -> Float[Tensor, "b n h2 w2"]:
    """The maps of every channel of a layer."""
    with torch.no_grad():
        return torch.cat([model.tap(part, [layer])[layer].float() for part in images.split(32)])


def high_frequency(images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """The share of a picture's power, without its mean, at more than a quarter cycle per pixel along either side."""
    power = torch.fft.fft2(images - images.mean((-2, -1), keepdim=True)).abs().square()
    rows, cols = (torch.fft.fftfreq(side).abs() > _FINE for side in images.shape[-2:])
    fine = (power * (rows[:, None] | cols)).sum((1, 2, 3))
    share: Tensor = fine / power.sum((1, 2, 3)).clamp(min=1e-20)
    return share


def correlation(first: Float[Tensor, "b n"], second: Float[Tensor, "b n"]) -> Float[Tensor, " b"]:
    """Pearson's correlation, row by row; 0 where a row is constant."""
    a, b = (rows - rows.mean(1, keepdim=True) for rows in (first.double(), second.double()))
    lengths = (a.square().sum(1) * b.square().sum(1)).sqrt()
    return ((a * b).sum(1) / lengths.clamp(min=1e-20)).float()


def rank_correlation(first: Float[Tensor, " n"], second: Float[Tensor, " n"]) -> float:
    """Spearman's correlation; equal values share the middle of their ranks."""
    return float(correlation(*(_ranks(values)[None] for values in (first, second))))


def _ranks(values: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    below = (values[None] < values[:, None]).sum(1)
    equal = (values[None] == values[:, None]).sum(1)
    return below + (equal - 1) / 2


def pixel_gradient(
    model: pl.Model, images: Float[Tensor, "b c h w"], layer: str, channel: int, cell: tuple[int, int] | None = None
) -> Float[Tensor, "b c h w"]:
    """What raises a channel's mean, or one neuron, from each picture."""
    pixels = images.clone().requires_grad_()
    maps = model.tap(pixels, [layer])[layer][:, channel].float()
    score = maps.mean((1, 2)) if cell is None else maps[:, cell[0], cell[1]]
    (gradient,) = torch.autograd.grad(score.sum(), pixels)
    return gradient
