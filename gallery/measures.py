"""Numbers that several items read off pictures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

import pellucid as pl
from pellucid.objectives.response import Response

__all__ = [
    "activations",
    "correlation",
    "high_frequency",
    "likeness",
    "means",
    "pixel_gradient",
    "rank_correlation",
    "same_and_different",
    "scale_px",
]

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


def scale_px(images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """The wavelength of a picture's mean frequency, weighted by power without the mean: how large its parts are."""
    power = torch.fft.fft2(images - images.mean((-2, -1), keepdim=True)).abs().square().sum(1)
    rows, cols = (torch.fft.fftfreq(side) for side in images.shape[-2:])
    frequency = (rows[:, None].square() + cols.square()).sqrt()
    total: Tensor = power.sum((1, 2)) / (power * frequency).sum((1, 2)).clamp(min=1e-20)
    return total


def likeness(model: pl.Model, images: Float[Tensor, "b c h w"], layer: str) -> Float[Tensor, "b b"]:
    """How alike pictures are, -1 to 1: the cosine of their textures at a layer, each without the average texture.

    A texture is the matrix of products of channels (Gram), of activations without their means over the places.
    """
    maps = activations(model, images, layer).flatten(2)
    maps = maps - maps.mean(2, keepdim=True)
    textures = (maps @ maps.transpose(1, 2) / maps.shape[2]).flatten(1)
    textures = textures / textures.norm(dim=1, keepdim=True).clamp(min=1e-20)
    textures = textures - textures.mean(0)
    textures = textures / textures.norm(dim=1, keepdim=True).clamp(min=1e-20)
    alike: Tensor = textures @ textures.T
    return alike


def same_and_different(
    likenesses: Float[Tensor, "b b"], units: Sequence[int]
) -> tuple[Float[Tensor, " m"], Float[Tensor, " n"]]:
    """The likenesses of pairs of pictures of one unit, and of pairs of different units."""
    unit = torch.tensor(units)
    upper = torch.ones_like(likenesses).triu(1).bool()
    same = unit[:, None] == unit
    return likenesses[upper & same], likenesses[upper & ~same]


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
