"""What the gallery reads off pictures, by pictures of which it is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import pellucid as pl
from gallery.measures import correlation, high_frequency, likeness, rank_correlation, same_and_different, scale_px


def waves(*lengths_px: float, side: int = 64) -> Tensor:
    """Upright waves of these lengths, [n, 3, side, side]."""
    place = torch.arange(side)
    return torch.stack([(0.5 + 0.4 * torch.cos(2 * torch.pi * place / px)).expand(3, side, side) for px in lengths_px])


def test_high_frequency_is_what_is_finer_than_four_pixels() -> None:
    torch.testing.assert_close(high_frequency(waves(2, 3.2, 8, 32)), torch.tensor([1.0, 1, 0, 0]), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        high_frequency((waves(2) + waves(8)) / 2), torch.tensor([2 / 3]), atol=1e-2, rtol=0
    )  # a wave of every second pixel has twice the power
    assert high_frequency(torch.full((1, 3, 8, 8), 0.3)) == 0


def test_the_size_of_parts_is_the_length_of_a_wave() -> None:
    torch.testing.assert_close(scale_px(waves(2, 8, 32)), torch.tensor([2.0, 8, 32]), atol=1e-2, rtol=1e-2)


def test_correlations_by_hand() -> None:
    line = torch.tensor([1.0, 2, 3, 4])
    assert correlation(line[None], 7 - 2 * line[None]) == pytest.approx(-1)
    assert correlation(line[None], torch.ones(1, 4)) == 0
    assert rank_correlation(line, line.exp()) == pytest.approx(1)
    # Ranks 0, 1.5, 1.5, 3 against 0, 1, 2, 3.
    assert rank_correlation(torch.tensor([1.0, 2, 2, 9]), line) == pytest.approx(0.9487, abs=1e-4)


def test_textures_are_alike_wherever_they_lie() -> None:
    model = pl.load("default")
    fine, coarse = waves(4), waves(16)
    images = torch.cat([fine, fine.roll(4, 3), coarse, coarse.roll(16, 3)])
    alike = likeness(model, images, "conv2")
    same, different = same_and_different(alike, [0, 0, 1, 1])
    assert (len(same), len(different)) == (2, 4)
    assert same.min() > 0.9
    assert different.max() < 0
