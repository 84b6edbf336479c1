"""Colour: white noise gets the colours of photos, and back."""

from __future__ import annotations

import json
from importlib import resources

import pytest
import torch

from pellucid.errors import ImageError, RecipeError
from pellucid.images.color import COLOR_MAPS, ColorMap, color_covariance, color_factor, color_map, fit_color

COVARIANCE = torch.tensor([[4.0, 2.0, 1.0], [2.0, 3.0, 0.5], [1.0, 0.5, 2.0]], dtype=torch.float64) / 100


def colored_noise(count: int) -> torch.Tensor:
    noise = torch.randn(count, 3, 40, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    factor = torch.linalg.cholesky(COVARIANCE)
    return 0.4 + torch.einsum("dc,bchw->bdhw", factor, noise)


def test_covariance_of_known_noise_is_measured() -> None:
    mean, covariance = color_covariance(colored_noise(50))
    # 100,000 pixels: the standard error of a variance v is v sqrt(2 / 1e5), below 0.5 %; five times that.
    assert torch.allclose(covariance, COVARIANCE, atol=0.025 * 0.04)
    assert torch.allclose(mean, torch.full((3,), 0.4, dtype=torch.float64), atol=5 * 0.2 / 1e5**0.5)


def test_covariance_equals_numpys_and_does_not_depend_on_the_batching() -> None:
    noise = colored_noise(6)
    whole = color_covariance([noise])
    parts = color_covariance([noise[0], noise[1:4], noise[4, :, :10], noise[4, :, 10:], noise[5:]])
    pixels = noise.movedim(1, 0).flatten(1)
    for mean, covariance in (whole, parts):
        assert torch.allclose(mean, pixels.mean(1), atol=1e-12)
        assert torch.allclose(covariance, torch.cov(pixels, correction=0), atol=1e-12)


def test_factor_gives_noise_the_covariance_and_its_longest_column_is_one() -> None:
    factor = color_factor(COVARIANCE)
    assert factor.norm(dim=0).max().item() == pytest.approx(1)
    product = factor @ factor.T
    assert torch.allclose(product / product.trace(), COVARIANCE / COVARIANCE.trace(), atol=1e-12)


@pytest.mark.parametrize("name", ["tiny-imagenet", "lucid"])
def test_shipped_maps_are_normalised_and_mostly_grey(name: str) -> None:
    colors = color_map(name)
    assert colors is not None
    norms = colors.matrix.norm(dim=0)
    assert norms.max().item() == pytest.approx(1, abs=1e-6)
    # Photos vary in brightness most: the first coordinate moves all channels the same way, and others move less.
    assert norms.argmax() == 0
    assert (colors.matrix[:, 0] > 0.4).all()
    assert ((colors.mean > 0.35) & (colors.mean < 0.55)).all()


def test_lucids_map_is_the_published_one() -> None:
    colors = color_map("lucid")
    assert colors is not None
    longest = (0.26**2 + 0.27**2 + 0.27**2) ** 0.5
    assert colors.matrix[1].tolist() == pytest.approx([0.27 / longest, 0, -0.05 / longest])


def test_stored_factor_is_that_of_the_stored_covariance() -> None:
    stored = json.loads(resources.files("pellucid").joinpath("assets/color.json").read_text())
    again = color_factor(torch.tensor(stored["covariance"], dtype=torch.float64))
    assert torch.allclose(again, torch.tensor(stored["factor"], dtype=torch.float64), atol=1e-6)
    assert "training split" in stored["source"]
    assert stored["pictures"] == 100_000


def test_none_is_no_map() -> None:
    assert color_map("none") is None


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(RecipeError, match=r"no colour map 'tiny-imagnet'.* Did you mean 'tiny-imagenet'"):
        color_map("tiny-imagnet")
    assert all(name == "none" or color_map(name) is not None for name in COLOR_MAPS)


def test_maps_without_an_inverse_are_refused() -> None:
    with pytest.raises(ImageError, match=r"no usable inverse"):
        ColorMap(torch.ones(3, 3), torch.zeros(3))
    with pytest.raises(ImageError, match=r"no usable inverse"):
        ColorMap(torch.full((3, 3), float("nan")), torch.zeros(3))
    with pytest.raises(ImageError, match=r"3 channels needs a matrix \[3, 3\], not \[2, 2\]"):
        ColorMap.__post_init__(_unchecked(torch.eye(2), torch.zeros(3)))


def _unchecked(matrix: torch.Tensor, mean: torch.Tensor) -> ColorMap:
    """A map past the run-time check of shapes, which users do not have."""
    colors = object.__new__(ColorMap)
    object.__setattr__(colors, "matrix", matrix)
    object.__setattr__(colors, "mean", mean)
    return colors


def test_colours_that_do_not_vary_have_no_factor() -> None:
    grey = torch.rand(1, 1, 8, 8).expand(1, 3, 8, 8)
    with pytest.raises(ImageError, match=r"not positive definite"):
        color_factor(color_covariance([grey])[1])
    with pytest.raises(ImageError, match=r"no pictures"):
        color_covariance([])
    with pytest.raises(ImageError, match=r"of 3 and of 1 channels"):
        color_covariance([torch.rand(3, 4, 4), torch.rand(1, 4, 4)])


def test_a_map_fitted_to_pictures_whitens_their_colours() -> None:
    noise = colored_noise(20)
    colors = fit_color(noise)
    coordinates = torch.einsum("dc,bchw->bdhw", torch.linalg.inv(colors.matrix), noise - colors.mean[:, None, None])
    covariance = torch.cov(coordinates.movedim(1, 0).flatten(1), correction=0)
    assert torch.allclose(covariance, covariance[0, 0] * torch.eye(3, dtype=torch.float64), atol=1e-12)


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        (torch.full((1, 3, 8, 8), 0.3), "not positive definite"),
        (torch.rand(1, 1, 8, 8).expand(2, 3, 8, 8), "not positive definite|no usable inverse"),
        (torch.full((1, 3, 8, 8), float("nan")), "holds NaN or infinite"),
    ],
    ids=["constant", "grey", "not a number"],
)
def test_a_map_cannot_be_fitted_to_pictures_without_colours(pictures: torch.Tensor, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        fit_color([pictures])
