"""Fourier images: the frequencies of the parameters, their weights, and a start that is alive."""

from __future__ import annotations

import math

import pytest
import torch

from pellucid.draws import Draws
from pellucid.images.build import build_image
from pellucid.images.fourier import GAIN, Fourier, frequencies

SIZES = [(16, 16), (15, 16), (16, 15), (9, 21), (1, 8)]


@pytest.mark.parametrize("size", SIZES)
def test_one_entry_is_one_wave_of_its_frequency_and_weight(size: tuple[int, int]) -> None:
    height, width = size
    image = Fourier(1, size, channels=1, squash="unbounded", dtype=torch.float64)
    down, across = min(2, height - 1), 3
    with torch.no_grad():
        image.parameter[0, 0, down, across, 0] = 1
    rows = torch.arange(height, dtype=torch.float64)[:, None]
    columns = torch.arange(width, dtype=torch.float64)[None]
    wave = torch.cos(2 * math.pi * (rows * down / height + columns * across / width))
    frequency = math.hypot(down / height, across / width)
    # Twice, for an entry stands for its conjugate too; 1 / sqrt(h w) is the ortho norm.
    amplitude = 2 * GAIN / frequency / math.sqrt(height * width)
    assert torch.allclose(image()[0, 0] - 0.5, amplitude * wave, atol=1e-12)


@pytest.mark.parametrize("decay", [0.0, 0.5, 1.0, 2.0])
def test_decay_is_the_slope_of_the_starts_spectrum(decay: float) -> None:
    image = Fourier(8, (64, 64), channels=1, decay=decay, squash="unbounded", dtype=torch.float64)
    image.reset_rows(range(8), Draws.from_keys("abcdefgh"))
    amplitude = torch.fft.rfft2(image().detach(), norm="ortho").abs().square().mean((0, 1)).sqrt()
    frequency = frequencies((64, 64))
    low = amplitude[(frequency > 0.04) & (frequency < 0.06)].mean()
    high = amplitude[(frequency > 0.4) & (frequency < 0.6)].mean()
    # A tenfold frequency: the amplitude falls by 10^decay; 15 % for the finite number of waves.
    assert (low / high).item() == pytest.approx(10**decay, rel=0.15)


def test_the_mean_weighs_as_much_as_the_longest_wave() -> None:
    image = Fourier(1, (10, 20), channels=1, squash="unbounded", dtype=torch.float64)
    with torch.no_grad():
        image.parameter[0, 0, 0, 0, 0] = 1
    assert torch.allclose(image() - 0.5, torch.full_like(image(), GAIN * 20 / math.sqrt(200)))


@pytest.mark.parametrize("size", [(64, 64), (224, 224), (99, 150)])
def test_the_start_is_faint_noise_with_a_live_gradient(size: tuple[int, int]) -> None:
    image = build_image("fourier", 2, size)
    image.reset_rows([0, 1], Draws.from_keys(["a", "b"]))
    pictures = image()
    spread = pictures.std((2, 3)).mean()
    assert 0.001 < spread < 0.03, "faint: a saturated start is near 0.5, a flat one near 0"
    assert pictures.min() > 0.2
    assert pictures.max() < 0.8
    (slope,) = torch.autograd.grad(pictures.sum(), [image.parameter])
    # d sigmoid is 1/4 at the middle: the mean colour's entry must feel nearly all of it.
    colors = torch.tensor([1.0, 1.0, 1.0]) @ image.color.matrix.float() if image.color else None
    assert colors is not None
    weight = GAIN * max(size) * math.sqrt(size[0] * size[1])
    assert torch.allclose(slope[0, :, 0, 0, 0] / weight, 0.25 * colors, rtol=0.05, atol=0.01)


def test_a_first_step_of_adam_is_visible_and_not_too_far() -> None:
    image = build_image("fourier", 1, (64, 64))
    image.reset_rows([0], Draws.from_keys(["a"]))
    pattern = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    before = image().detach()
    (image() * pattern).sum().backward()
    assert image.parameter.grad is not None
    with torch.no_grad():
        image.parameter.add_(image.parameter.grad.sign(), alpha=0.05)  # what Adam's first step is
    moved = (image().detach() - before).square().mean().sqrt()
    assert 0.01 < moved < 0.15
