"""Pictures are flipped and shifted as the recipe says, and the rate goes up and down once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parents[2] / "training"))  # its scripts import their neighbours, as scripts do

from training.densenet import Schedule, flipped_and_shifted


def test_each_picture_is_shifted_by_its_own_offset_or_mirrored() -> None:
    picture = torch.arange(1.0, 3 * 6 * 6 + 1).view(1, 3, 6, 6)
    padded = torch.nn.functional.pad(picture, [4] * 4)
    allowed = {
        bytes(view[0, :, top : top + 6, left : left + 6].contiguous().numpy())
        for view in (padded, padded.flip(3))
        for top in range(9)
        for left in range(9)
    }
    seen = {
        bytes(one.contiguous().numpy())
        for one in flipped_and_shifted(picture.expand(400, -1, -1, -1), torch.Generator().manual_seed(0))
    }
    assert seen <= allowed
    assert len(seen) > 120  # of 162


def test_the_rate_rises_to_its_peak_and_falls_to_zero() -> None:
    schedule = Schedule()
    assert schedule.rate(0) == 0
    assert schedule.rate(schedule.warmup) == schedule.peak_rate
    assert schedule.rate(1) == pytest.approx(0)
    assert 0 < schedule.rate(0.9) < schedule.rate(0.5) < schedule.peak_rate
