"""Laws of conditioning: gradients of unit length, blurred gradients, pictures blurred by a sigma of their own."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pellucid.draws import Draws
from pellucid.errors import RecipeError
from pellucid.transforms.conditioning import NormalizeGradient, SmoothGradient, blur_images, normalized, smoothed
from pellucid.transforms.pixelwise import UniformNoise
from pellucid.transforms.presets import parse

DRAWS = Draws.from_keys(["a", "b", "c"])


def test_normalized_rows_have_length_one_and_the_same_direction() -> None:
    gradient = torch.randn(3, 2, 4, 4) * torch.tensor([1e-6, 1.0, 1e6])[:, None, None, None]
    found = normalized(gradient)
    assert torch.allclose(found.flatten(1).norm(dim=1), torch.ones(3))
    assert torch.allclose(torch.cosine_similarity(found.flatten(1), gradient.flatten(1)), torch.ones(3))
    gradient[1] = 0
    assert normalized(gradient)[1].eq(0).all()
    assert torch.equal(normalized(gradient)[2], found[2])
    assert normalized(torch.ones(2, 5)).shape == (2, 5)


def test_smoothing_keeps_the_sum_and_spreads_a_spike_as_a_gaussian() -> None:
    spike = torch.zeros(1, 1, 21, 21, dtype=torch.float64)
    spike[0, 0, 10, 10] = 1
    found = smoothed(spike, 1.5)
    assert found.sum().item() == pytest.approx(1)
    assert (found[0, 0, 10, 12] / found[0, 0, 10, 10]).item() == pytest.approx(math.exp(-0.5 * (2 / 1.5) ** 2))
    assert smoothed(spike, 0) is spike


def test_a_picture_is_blurred_by_its_own_sigma() -> None:
    images = torch.rand(3, 2, 5, 6, dtype=torch.float64)
    found = blur_images(images, [0.0, 1.0, 2.4])
    assert torch.equal(found[0], images[0])
    for image, sigma in ((1, 1.0), (2, 2.4)):
        side = math.exp(-0.5 / sigma**2)
        total = 0.0
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                row, col = abs(0 + dy), 3 + dx  # row -1 is row 1, reflected
                total += side ** (abs(dy) + abs(dx)) / (1 + 2 * side) ** 2 * images[image, 1, row, col].item()
        assert found[image, 1, 0, 3].item() == pytest.approx(total)
    assert torch.allclose(blur_images(images, 1.0)[1], found[1])
    for bad in ({"sigma": -1.0}, {"sigma": 1.0, "width": 4}, {"sigma": [1.0]}):
        with pytest.raises(RecipeError, match=r"is not possible\. Give an odd width and sigmas from 0 up"):
            blur_images(images, **bad)  # type: ignore[arg-type]


def test_conditioning_transforms_leave_the_picture_and_change_its_gradient() -> None:
    images = torch.rand(3, 2, 9, 9, dtype=torch.float64).requires_grad_()
    weights = torch.randn(3, 2, 9, 9, dtype=torch.float64)

    def gradient(text: str) -> Tensor:
        shown = parse(text)(images, DRAWS)
        assert torch.equal(shown, images)
        return torch.autograd.grad((shown * weights).sum(), images)[0]

    assert torch.allclose(gradient("gradnorm"), normalized(weights))
    assert torch.allclose(gradient("gradblur:1"), smoothed(weights, 1))
    assert torch.allclose(gradient("gradnorm gradblur:1"), normalized(smoothed(weights, 1)))
    lengths = torch.linalg.vector_norm(gradient("gradnorm").flatten(1), dim=1)
    assert torch.allclose(lengths, torch.ones(3, dtype=torch.float64))
    assert gradient("gradblur:1").std() < 0.5 * weights.std(), "noise is blurred to a quarter of its spread"
    assert NormalizeGradient()(images, DRAWS).shape == SmoothGradient(2)(images, DRAWS).shape


def test_uniform_noise_fills_its_range() -> None:
    noise = UniformNoise(0.1)(torch.zeros(3, 3, 40, 40), DRAWS)
    assert noise.abs().max() <= 0.1
    assert noise.abs().max() > 0.0999
    assert abs(noise.mean()) < 4 * 0.1 / math.sqrt(3 * 14400)  # four standard errors
    assert abs(noise.square().mean() - 0.01 / 3) < 1e-4
    assert not torch.equal(noise[0], noise[1])
    assert torch.equal(noise[1], UniformNoise(0.1)(torch.zeros(1, 3, 40, 40), DRAWS.rows([1]))[0])
