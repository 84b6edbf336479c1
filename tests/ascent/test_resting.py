"""A whole layer that rests on flat grey starts once more with contrast; nothing else does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.ascent.rescue import rests

SETTINGS = {
    "steps": 64,
    "learning_rate": 0.01,
    "size": 16,
    "image": "pixels",
    "color": "none",
    "transforms": "none",
}


class FlatOrEdges(nn.Module):
    """`seen`: channel 0 fires on flat colour and less the stronger edges are, 1 on edges far above faint noise."""

    def __init__(self) -> None:
        super().__init__()
        self.edges = nn.Conv2d(3, 2, (1, 2), bias=False)
        self.mix = nn.Conv2d(2, 2, 1)
        with torch.no_grad():
            self.edges.weight.copy_(torch.tensor([[-1.0, 1.0], [1.0, -1.0]])[:, None, None].expand(2, 3, 1, 2))
            self.mix.weight.copy_(torch.tensor([[-4.0, -4.0], [8.0, 8.0]])[:, :, None, None])
            self.mix.bias.copy_(torch.tensor([1.0, -2.0]))
        self.seen = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.seen(self.mix(self.edges(x).relu())).mean((2, 3))


@pytest.fixture(scope="module")
def model() -> pl.Model:
    return pl.Model(FlatOrEdges(), size=16)


def test_a_layer_that_rests_on_grey_starts_again_with_contrast(model: pl.Model) -> None:
    left = pl.render(model, "seen", rescue=False, **SETTINGS)
    assert left.scores[0] == pytest.approx(0.5, abs=0.02)  # channel 0 at 1 everywhere, channel 1 off
    woken = pl.render(model, "seen", **SETTINGS)
    assert woken.scores[0] > 20
    assert (woken.status[0].state, woken.status[0].step) == ("done", 64)
    assert woken.status[0].rescue == "a start with contrast"


def test_a_channel_whose_best_picture_is_flat_stays_as_it_is(model: pl.Model) -> None:
    flat = pl.render(model, "seen:0", **SETTINGS)
    assert flat.scores[0] == pytest.approx(1, abs=0.02)
    assert flat.status[0].rescue is None
    torch.testing.assert_close(flat.images, pl.render(model, "seen:0", rescue=False, **SETTINGS).images)


def test_what_a_layer_is_least_like_may_be_flat(model: pl.Model) -> None:
    assert pl.render(model, "neg:seen", **SETTINGS).status[0].rescue is None


def test_a_start_from_a_picture_is_kept(model: pl.Model) -> None:
    start = 0.5 + 0.01 * torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert pl.render(model, "seen", start=start, **SETTINGS).status[0].rescue is None


def test_a_neighbour_does_not_see_the_new_start(model: pl.Model) -> None:
    both = pl.render(model, ["seen", "seen:1"], **SETTINGS)
    alone = pl.render(model, ["seen:1"], **SETTINGS)
    assert both.status[0].rescue == "a start with contrast"
    torch.testing.assert_close(both.images[1], alone.images[0], rtol=0, atol=1e-6)


def test_what_rises_does_not_rest() -> None:
    assert not rests([1.0 + 0.02 * step for step in range(32)], 256)
    assert rests([1.0] * 32, 256)
    assert not rests([1.0] * 31, 256)
    assert not rests([1.0] * 32, 2048)  # slow steps have more time
    assert rests([1.0] * 256, 2048)
