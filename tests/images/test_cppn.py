"""CPPNs: a picture is a function of where one looks, whatever the number of pixels."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.draws import Draws
from pellucid.errors import ImageError
from pellucid.images.build import build_image
from pellucid.images.cppn import Cppn


def filled(size: tuple[int, int], names: str = "ab", **options: object) -> Cppn:
    image = Cppn(len(names), size, **{"sd": 0.5, "dtype": torch.float64, **options})  # type: ignore[arg-type]
    image.reset_rows(range(len(names)), Draws.from_keys(names))
    return image


@pytest.mark.parametrize("size", [(12, 12), (9, 14), (14, 9), (1, 5)])
def test_a_finer_picture_is_the_same_function(size: tuple[int, int]) -> None:
    image = filled(size)
    pictures = image().detach()
    assert pictures.std((2, 3)).min() > 0.01, "not flat, or the rest would say nothing"
    # The middle of every 3 x 3 pixels lies where the one pixel lay.
    finer = image.resized((3 * size[0], 3 * size[1]))
    assert torch.allclose(finer()[..., 1::3, 1::3], pictures, atol=1e-12)


def test_twice_the_size_averages_to_the_same_picture() -> None:
    image = filled((40, 40))
    # Centres of pixels fall between: the difference is the curvature over half a pixel, with twice as many a quarter.
    first, second = (
        (F.avg_pool2d(finer.resized((2 * side, 2 * side))(), 2) - finer()).abs().mean().item()
        for side in (40, 80)
        for finer in [image.resized((side, side))]
    )
    assert first < 0.01
    assert second == pytest.approx(first / 4, rel=0.15)


def test_coordinates_are_square_pixels_of_spread_one() -> None:
    def seen(size: tuple[int, int]) -> Tensor:
        """What a network shows whose first hidden number is x and second y, nearly linearly, by its last layer."""
        image = Cppn(1, size, channels=2, num_layers=1, num_hidden=2, squash="unbounded", dtype=torch.float64)
        with torch.no_grad():
            image.weights[0][0] = 1e-4 * torch.eye(2)
            image.weights[1][0, :2] = 1e4 * 0.67 * torch.eye(2)
        return image().detach()[0] - 0.5

    square = seen((200, 200))
    assert square.std((1, 2)).tolist() == pytest.approx([1, 1], abs=0.01)
    assert torch.allclose(square[0], square[1].T)
    assert (square[0].diff(dim=1) > 0).all()
    wide = seen((10, 30))
    step = 2 * math.sqrt(3) / 30
    assert torch.allclose(wide[0].diff(dim=1), torch.full((10, 29), step, dtype=torch.float64), atol=1e-6)
    assert torch.allclose(wide[1].diff(dim=0), torch.full((9, 30), step, dtype=torch.float64), atol=1e-6)


def test_the_activation_is_the_pair_of_arc_tangent_and_its_square() -> None:
    image = Cppn(1, (1, 7), channels=2, num_layers=1, num_hidden=1, squash="unbounded", dtype=torch.float64)
    with torch.no_grad():
        image.weights[0][0, 0] = 1  # x alone
        image.weights[1][0] = torch.eye(2)
    x = torch.linspace(-3, 3, 7, dtype=torch.float64) * math.sqrt(3) * 2 / 7
    wanted = torch.stack([x.atan() / 0.67, x.atan() ** 2 / 0.6])
    assert torch.allclose(image()[0, :, 0] - 0.5, wanted)


def test_hidden_numbers_keep_their_scale_through_the_layers() -> None:
    """What both denominators are for; the last weights are 1 here, so that the picture is the last layer's numbers."""
    image = filled((32, 32), "abcdefgh", channels=48, squash="unbounded", sd=0.0)
    with torch.no_grad():
        image.weights[-1].copy_(torch.eye(48).expand(8, -1, -1))
    size = (image() - 0.5).square().mean().sqrt().item()
    assert 0.8 < size < 1.25


def test_the_start_is_faint_and_of_the_mean_colour() -> None:
    image = build_image("cppn", 4, (64, 64))
    image.reset_rows(range(4), Draws.from_keys("abcd"))
    assert isinstance(image, Cppn)
    assert image.color is not None
    assert (image().mean((2, 3)) - image.color.mean.float()).abs().max() < 0.05
    assert 1e-3 < image().std((2, 3)).mean() < 0.05


@pytest.mark.parametrize(("num_layers", "num_hidden"), [(0, 24), (8, 0)])
def test_a_network_has_layers(num_layers: int, num_hidden: int) -> None:
    with pytest.raises(ImageError, match="at least 1 layer and 1 hidden channel"):
        Cppn(1, (4, 4), num_layers=num_layers, num_hidden=num_hidden)
