"""Blur is a Gaussian and its own adjoint; noise has its standard deviation."""

from __future__ import annotations

import pytest
import torch

from pellucid.draws import Draws
from pellucid.errors import RecipeError
from pellucid.transforms.pixelwise import Blur, Noise


def streams(count: int) -> Draws:
    return Draws.from_keys([f"image {i}" for i in range(count)])


@pytest.mark.parametrize("sigma", [0.8, 2.0])
def test_blur_spreads_a_point_into_a_gaussian(sigma: float) -> None:
    point = torch.full((1, 1, 31, 41), 0.5)
    point[0, 0, 15, 20] = 1.5
    spot = (Blur(sigma)(point, streams(1)) - 0.5)[0, 0].double()
    rows, columns = torch.arange(31.0) - 15, torch.arange(41.0) - 20
    expected = torch.exp(-(rows[:, None] ** 2 + columns**2) / (2 * sigma**2))
    expected = expected / expected.sum()
    assert spot.sum().item() == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(spot, expected.double(), atol=0.004 * float(expected.max()), rtol=0)  # cut off at 3 sd


def test_blur_leaves_grey_grey_and_reaches_over_small_pictures() -> None:
    torch.testing.assert_close(Blur(9.0)(torch.full((1, 3, 5, 4), 0.5), streams(1)), torch.full((1, 3, 5, 4), 0.5))
    images = torch.rand(1, 3, 5, 4)
    assert Blur(0)(images, streams(1)) is images


def test_gradient_of_blur_is_exact() -> None:
    images = torch.rand(2, 1, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: Blur(1.3)(x, streams(2)), (images,))
    assert torch.autograd.gradgradcheck(lambda x: Blur(1.3)(x, streams(2)) ** 2, (images,))


def test_noise_has_the_stated_size_and_passes_the_gradient() -> None:
    images = torch.zeros(2, 3, 64, 64, requires_grad=True)
    noisy = Noise(0.2)(images, streams(2))
    assert noisy.std().item() == pytest.approx(0.2, rel=0.03)  # 24,576 values: 6 standard deviations
    assert noisy.mean().item() == pytest.approx(0, abs=0.008)
    assert abs(torch.corrcoef(noisy.detach().flatten(1))[0, 1]) < 0.05
    noisy.sum().backward()
    assert torch.equal(images.grad, torch.ones_like(images))  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [lambda: Blur(-1), lambda: Noise(-0.1), lambda: Noise(float("inf"))])
def test_impossible_amounts_are_refused(make: object) -> None:
    with pytest.raises(RecipeError, match=r"is not possible. Give 0"):
        make()  # type: ignore[operator]
