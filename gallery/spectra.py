"""Numbers about the frequencies of pictures and gradients."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["contrast", "lattice_lines", "mean_power", "phase_spread"]

_NEAR = 3  # bins: what a line is compared with lies at most so far away


def contrast(images: Float[Tensor, "b c h w"], above: float = 0.25, up_to: float = 1.0) -> Float[Tensor, " b"]:
    """The root mean square of what a picture holds between two frequencies, in its own units.

    Frequencies are in cycles per px, the larger of those along the two sides: 0.25 is the limit of finest detail.
    """
    height, width = images.shape[-2:]
    rows, cols = torch.fft.fftfreq(height).abs(), torch.fft.fftfreq(width).abs()
    frequency = torch.maximum(rows[:, None], cols[None])
    power = torch.fft.fft2(images).abs().square() / (height * width) ** 2
    band = (frequency > above) & (frequency <= up_to)
    found: Tensor = (power * band).sum((2, 3)).mean(1).sqrt()
    return found


def mean_power(gradients: Float[Tensor, "b c h w"]) -> Float[Tensor, "h w"]:
    """The power spectrum, averaged over gradients that count alike, however long they are."""
    power = torch.fft.fft2(gradients).abs().square().sum(1)
    mean: Tensor = (power / power.sum((1, 2), keepdim=True).clamp(min=1e-30)).mean(0)
    return mean


def lattice_lines(power: Float[Tensor, "h w"], stride: int) -> float:
    """How far a spectrum stands out at the multiples of 1/`stride` cycles per px, zero left out.

    The geometric mean, over these lattice points, of the power there by the median power of the bins around it: 1
    where there is no grid of this period. The sides must be multiples of the stride.
    """
    height, width = power.shape
    ratios = []
    for top in range(0, height, height // stride):
        for left in range(0, width, width // stride):
            if top == left == 0:
                continue
            offsets = [
                (row, col)
                for row in range(-_NEAR, _NEAR + 1)
                for col in range(-_NEAR, _NEAR + 1)
                if row and col  # neither the row nor the column of the lattice point, where its line leaks to
            ]
            around = torch.stack([power[(top + row) % height, (left + col) % width] for row, col in offsets])
            ratios.append(power[top, left].clamp(min=1e-30) / around.median().clamp(min=1e-30))
    return float(torch.stack(ratios).log().mean().exp())


def phase_spread(gradients: Float[Tensor, "b c h w"], stride: int) -> float:
    """How unevenly energy lies over the places within a cell of stride x stride px: standard deviation by mean.

    Gradients count alike, however long they are; the outermost cells, where padding reaches, are left out.
    """
    energy = gradients.square().sum(1)[:, stride:-stride, stride:-stride]
    energy = (energy / energy.mean((1, 2), keepdim=True).clamp(min=1e-30)).mean(0)
    cells = energy.unflatten(0, (-1, stride)).unflatten(2, (-1, stride)).mean((0, 2))
    return float(cells.std(correction=0) / cells.mean())
