"""Laws of colour transforms: the formulas by hand, and what each of them leaves as it is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pellucid.draws import Draws
from pellucid.errors import RecipeError
from pellucid.transforms.colors import Brightness, Contrast, Hue, Saturation
from pellucid.transforms.transform import Transform

DRAWS = Draws.from_keys(["a", "b"])
IMAGES = torch.rand(2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
LUMA = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)[:, None, None]


def luma(images: Tensor) -> Tensor:
    return (images * LUMA).sum(1)


def test_brightness_multiplies() -> None:
    assert torch.allclose(Brightness([2.0])(IMAGES, DRAWS), 2 * IMAGES)
    factors = Brightness(1.5)(IMAGES, DRAWS)[:, 0, 0, 0] / IMAGES[:, 0, 0, 0]
    assert (factors >= 1 / 1.5).all()
    assert (factors <= 1.5).all()
    assert factors[0] != factors[1]


def test_contrast_keeps_the_mean_and_scales_the_rest() -> None:
    changed = Contrast([0.5])(IMAGES, DRAWS)
    assert torch.allclose(changed.mean((2, 3)), IMAGES.mean((2, 3)))
    assert torch.allclose(changed.std((2, 3)), IMAGES.std((2, 3)) * 0.5)


@pytest.mark.parametrize("factor", [0.0, 0.5, 2.0])
def test_saturation_keeps_luma_and_scales_chroma(factor: float) -> None:
    changed = Saturation([factor])(IMAGES, DRAWS)
    assert torch.allclose(luma(changed), luma(IMAGES), atol=1e-7)  # the weights are read from float32
    for image, row, col in ((0, 0, 0), (1, 3, 2)):
        pixel = IMAGES[image, :, row, col].tolist()
        grey = 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]
        by_hand = [grey + factor * (value - grey) for value in pixel]
        assert changed[image, :, row, col].tolist() == pytest.approx(by_hand, abs=1e-7)


def test_hue_turns_chroma_and_keeps_luma_and_grey() -> None:
    grey = torch.rand(2, 1, 4, 5).expand(2, 3, 4, 5)
    assert torch.allclose(Hue([120.0])(grey, DRAWS), grey, atol=1e-6)
    turned = Hue([90.0])(IMAGES, DRAWS)
    assert torch.allclose(luma(turned), luma(IMAGES), atol=1e-12)
    i = torch.tensor([0.596, -0.274, -0.322], dtype=torch.float64)[:, None, None]
    q = torch.tensor([0.211, -0.523, 0.312], dtype=torch.float64)[:, None, None]
    assert torch.allclose((turned * i).sum(1), -(IMAGES * q).sum(1), atol=1e-7)
    assert torch.allclose((turned * q).sum(1), (IMAGES * i).sum(1), atol=1e-7)
    assert torch.allclose(Hue([90.0])(Hue([-90.0])(IMAGES, DRAWS), DRAWS), IMAGES)


@pytest.mark.parametrize("transform", [Saturation(2), Hue(10)])
def test_colours_need_three_channels(transform: Transform) -> None:
    with pytest.raises(RecipeError, match="needs pictures of red, green and blue, and these have 1 channels"):
        transform(torch.rand(1, 1, 4, 4), DRAWS.rows([0]))


def test_nothing_changes_at_factor_one() -> None:
    for transform in (Brightness(1), Contrast(1), Saturation(1), Hue(0)):
        assert torch.allclose(transform(IMAGES, DRAWS), IMAGES, atol=1e-7)
