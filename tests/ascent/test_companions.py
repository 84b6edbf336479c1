"""A photo that a picture is compared with goes through the picture's own transforms."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import pellucid as pl
from pellucid.objectives.objective import Objective
from pellucid.objectives.photos import caricature, inversion
from pellucid.objectives.units import channel

MOVED = {
    "steps": 6,
    "transforms": "jitter:6 rotate:-30..30 scale:1.3 noise:0.1",
    "optimizer": "plain",  # Adam's steps are as large for a gradient of rounding errors
    "learning_rate": 0.01,
    "precision": "float32",
    "lanes": 1,
}


class Plain(nn.Module):
    """`seen` is the picture itself."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = nn.Conv2d(3, 3, 1, bias=False)
        with torch.no_grad():
            self.seen.weight.copy_(torch.eye(3)[:, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        return self.seen(x).mean((2, 3))


@pytest.fixture(scope="module")
def model() -> pl.Model:
    return pl.Model(Plain(), size=16, value_range=(-1.0, 1.0))


@pytest.fixture(scope="module")
def photos() -> Tensor:
    return 0.2 + 0.6 * torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def of(model: pl.Model, photo: Tensor, make: object = inversion) -> Objective:
    return make("seen", model.tap(2 * photo[None] - 1, ["seen"]))  # type: ignore[operator,no-any-return]


def test_a_picture_that_is_the_photo_is_at_no_distance_however_it_is_moved(model: pl.Model, photos: Tensor) -> None:
    objectives = [of(model, photo) for photo in photos]
    started = pl.render(model, objectives, start=photos, **MOVED)
    assert started.history[0].abs().max() < 1e-4
    assert (started.images - (2 * photos - 1)).abs().max() < 0.02, "and nothing moves it"
    swapped = pl.render(model, objectives, start=photos.flip(0), **MOVED)
    assert swapped.history[0].max() < -10, "each beside its own photo"


def test_a_sum_and_a_product_find_their_photos(model: pl.Model, photos: Tensor) -> None:
    first, second = (of(model, photo) for photo in photos)
    both = pl.render(model, [first + 2 * second, first * (channel("seen", 0) + 5)], start=photos[0], **MOVED)
    assert both.history[0, 0] < -10
    assert abs(both.history[0, 1]) < 1e-3
    alone = pl.render(model, [first * 0.5 + second * 2], start=photos[0], **MOVED)
    assert torch.isfinite(alone.history).all()


def test_a_caricature_at_the_photo_is_the_squared_length_of_what_is_shown(model: pl.Model, photos: Tensor) -> None:
    made = pl.render(model, of(model, photos[0], caricature), start=photos[0], **{**MOVED, "transforms": "flip:1"})
    upright = (2 * photos[0] - 1).square().sum()
    assert made.history[0, 0] == pytest.approx(float(upright), rel=1e-4)


def test_neighbours_and_finished_scores_are_as_without_transforms(model: pl.Model, photos: Tensor) -> None:
    both = pl.render(model, [of(model, photos[0]), channel("seen", 1)], **MOVED)
    alone = pl.render(model, channel("seen", 1), **MOVED)
    torch.testing.assert_close(both.images[1], alone.images[0], rtol=0, atol=1e-6)
    distance = (both.images[0] - (2 * photos[0] - 1)).square().sum()
    assert both.scores[0] == pytest.approx(-float(distance), rel=1e-3)


def test_a_photo_that_leaves_takes_nothing_along(model: pl.Model, photos: Tensor) -> None:
    """The first image reaches its level at once and leaves; the second is compared with its own photo still."""
    objectives = [of(model, photo) for photo in photos]
    settings = {**MOVED, "batch": 2, "level": -1e-2}
    made = pl.render(model, objectives, start=photos[[0, 0]], **settings)
    assert [status.step for status in made.status] == [1, 6]
    alone = pl.render(model, objectives[1], start=photos[0], **settings)
    torch.testing.assert_close(made.images[1], alone.images[0], rtol=0, atol=1e-5)
