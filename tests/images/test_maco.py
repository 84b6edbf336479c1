"""MACO: magnitudes are fixed and those of photos, phases are free; and the spectrum that is fitted to photos."""

from __future__ import annotations

import json
import math
from importlib import resources

import pytest
import torch
from skimage import data as photos
from torch import Tensor

from pellucid.draws import Draws
from pellucid.errors import ImageError, RecipeError
from pellucid.images.color import ColorMap, color_map
from pellucid.images.fitting import fitted
from pellucid.images.fourier import frequencies
from pellucid.images.maco import Maco, contrast
from pellucid.images.spectrum import Spectrum, conjugates, fit_spectrum, spectrum
from pellucid.images.squash import squash

SIZES = [(32, 32), (33, 33), (24, 31), (31, 24), (3, 2), (64, 128)]


def maco(names: str, size: tuple[int, int], **options: object) -> Maco:
    stored = {"spectrum": spectrum("tiny-imagenet"), "color": color_map("tiny-imagenet"), "dtype": torch.float64}
    image = Maco(len(names), size, **{**stored, **options})  # type: ignore[arg-type]
    image.reset_rows(range(len(names)), Draws.from_keys(names))
    return image


def coordinates(image: Maco) -> Tensor:
    """Latents before colours were mixed, by the inverse of the map: not by the image's own means."""
    assert image.color is not None
    latents = image.latents().detach()
    offset = image.squash.to_latents(image.color.mean)
    return torch.einsum("dc,bchw->bdhw", torch.linalg.inv(image.color.matrix), latents - offset[:, None, None])


def cat(size: tuple[int, int]) -> Tensor:
    return fitted(torch.from_numpy(photos.cat()).permute(2, 0, 1)[None].double() / 255, size)


@pytest.mark.parametrize("size", SIZES)
def test_no_phase_changes_the_amplitude_spectrum(size: tuple[int, int]) -> None:
    image = maco("ab", size, squash="unbounded")
    wanted = image.spectrum.magnitude(size)
    for step in range(3):
        found = torch.fft.rfft2(coordinates(image), norm="ortho").abs()
        assert torch.allclose(found, wanted.expand_as(found), atol=1e-9)
        with torch.no_grad():
            image.phase += torch.randn(image.phase.shape, generator=torch.Generator().manual_seed(step))


@pytest.mark.parametrize("size", [(16, 16), (17, 40), (64, 64), (224, 224), (300, 201)])
def test_pixels_vary_as_much_as_the_spectrum_says_at_any_size(size: tuple[int, int]) -> None:
    stored = spectrum("tiny-imagenet")
    exact = coordinates(maco("a", size, squash="unbounded")).var((2, 3), correction=0)
    assert torch.allclose(exact, stored.variance[None], rtol=1e-9)
    colors = color_map("tiny-imagenet")
    assert colors is not None
    wanted = (colors.matrix.square() @ stored.variance).mean()
    squashed = maco("abcdefgh", size)().detach().var((2, 3), correction=0).mean()
    # Latents of one picture are a sample of the normal distribution that `contrast` reckons with, dominated by a few
    # long waves: 10 %; without `contrast` the variance is 6 % of it.
    assert squashed.item() == pytest.approx(wanted.item(), rel=0.1)


def test_contrast_is_that_of_normal_latents() -> None:
    variance, mean = torch.tensor([0.05, 0.06]).double(), torch.tensor([0.4, 0.5]).double()
    sigmoid = squash("sigmoid")
    factor = contrast(sigmoid, variance, mean)
    noise = torch.randn(2, 400_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pixels = sigmoid.to_pixels(sigmoid.to_latents(mean)[:, None] + factor * variance.sqrt()[:, None] * noise)
    assert pixels.var(1).mean().item() == pytest.approx(0.055, rel=0.01)  # 400,000 numbers: 0.2 %, five times that
    assert contrast(squash("unbounded"), variance, mean) == pytest.approx(1)
    with pytest.raises(ImageError, match=r"cannot vary by 0.300 in the mean"):
        contrast(sigmoid, torch.tensor([0.3, 0.3]).double(), mean)


@pytest.mark.parametrize("size", SIZES)
def test_one_parameter_turns_one_wave_by_its_angle(size: tuple[int, int]) -> None:
    image = maco("a", size, squash="unbounded")
    row, column = size[0] - 1, 0
    before = torch.fft.rfft2(coordinates(image))[0, 0]
    with torch.no_grad():
        image.phase[0, 0, row, column] += 0.7
    after = torch.fft.rfft2(coordinates(image))[0, 0]
    turned = (after / before).angle()
    turned[0, 0] = 0  # the mean, which is 0
    wanted = torch.zeros_like(turned)
    if row != 1 and 2 * row != size[0]:  # otherwise k is -k, or the wave stored twice is the same entry
        wanted[row, column], wanted[size[0] - row, column] = 0.7, -0.7
    assert torch.allclose(turned, wanted, atol=1e-6)


def test_the_start_is_every_phase_alike() -> None:
    phase = maco("abcd", (64, 64)).phase.detach()
    assert phase.min() >= -math.pi
    assert phase.max() <= math.pi
    assert phase.cos().mean().abs() < 5 / math.sqrt(2 * phase.numel())  # five standard errors
    assert phase.sin().mean().abs() < 5 / math.sqrt(2 * phase.numel())


@pytest.mark.parametrize("size", [(60, 90), (61, 47)])
def test_of_a_photo_only_the_phases_stay(size: tuple[int, int]) -> None:
    image = maco("a", size)
    image.set_rows([0], cat(size))
    assert image.color is not None
    latents = image.squash.to_latents(cat(size)) - image.squash.to_latents(image.color.mean)[:, None, None]
    given = torch.fft.rfft2(torch.einsum("dc,bchw->bdhw", torch.linalg.inv(image.color.matrix), latents), norm="ortho")
    found = torch.fft.rfft2(coordinates(image), norm="ortho")
    turned = (found / given).angle().abs()[0]
    down, across = torch.arange(size[0])[:, None], torch.arange(size[1] // 2 + 1)[None]
    is_real = ((2 * down) % size[0] == 0) & ((2 * across) % size[1] == 0)
    assert turned[:, ~is_real].max() < 1e-6
    magnitude = image.spectrum.magnitude(size)
    ratio = found.abs()[0, magnitude > 0] / magnitude[magnitude > 0]
    assert torch.allclose(ratio, ratio[:1].expand_as(ratio)), "the photo's magnitudes are gone"
    # Recognised and not matched: brightness goes along with the photo's, but the picture is another one.
    pair = torch.stack([image().mean(1).flatten(), cat(size).mean(1).flatten()])
    assert torch.corrcoef(pair.detach())[0, 1] > 0.5
    assert (image() - cat(size)).abs().mean() > 0.05


def test_a_flat_picture_has_no_phases_to_start_from() -> None:
    with pytest.raises(ImageError, match=r"this one is flat in a channel; give a photo"):
        maco("a", (16, 16)).set_rows([0], torch.full((1, 3, 16, 16), 0.3, dtype=torch.float64))


@pytest.mark.parametrize("size", [(96, 96), (32, 32), (65, 70)])
def test_resizing_keeps_what_is_seen(size: tuple[int, int]) -> None:
    image = maco("ab", (64, 64))
    other = image.resized(size)
    small = (min(size[0], 64), min(size[1], 64))
    before, after = (
        torch.nn.functional.interpolate(one().detach(), size=small, mode="bilinear", antialias=True)
        for one in (image, other)
    )
    # Not equal: magnitudes are the new size's, and finer waves come in where there were none.
    for row in range(2):
        pair = torch.stack([before[row].flatten(), after[row].flatten()])
        assert torch.corrcoef(pair)[0, 1] > 0.9


def test_a_size_without_a_free_phase_is_refused() -> None:
    with pytest.raises(ImageError, match=r"2 x 2 px have no wave with a free phase"):
        maco("a", (2, 2))


def power_law(decay: float, variance: float, count: int = 64, side: int = 64, seed: int = 0) -> Tensor:
    """Noise pictures [n, 1, side, side] cut from a larger plane, as photos are from a scene: they do not join up."""
    plane = 4 * side
    cycles = frequencies((plane, plane)).clamp(min=0.25 / side)
    noise = torch.randn(count, 1, *cycles.shape, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    waves = torch.fft.irfft2(torch.view_as_complex(noise) * cycles**-decay, s=(plane, plane))[..., :side, :side]
    return 0.5 + waves * (variance / waves.var((2, 3), correction=0).mean()).sqrt()


@pytest.mark.parametrize("decay", [0.8, 1.2, 1.8])
def test_a_power_law_is_measured(decay: float) -> None:
    found = fit_spectrum(power_law(decay, 0.04).split(10))
    assert found.decay.item() == pytest.approx(decay, abs=0.1)  # 64 pictures, two dozen waves in the first ring: 5 %
    assert found.variance.item() == pytest.approx(0.04, rel=1e-9)


def test_batching_does_not_change_what_is_measured() -> None:
    pictures = power_law(1.0, 0.04, count=12)
    whole, parts = fit_spectrum([pictures]), fit_spectrum([pictures[0], pictures[1:5], pictures[5:]])
    assert torch.allclose(whole.decay, parts.decay, rtol=1e-12)
    assert torch.allclose(whole.variance, parts.variance, rtol=1e-12)


def test_colours_are_measured_in_the_coordinates_of_the_map() -> None:
    matrix = torch.tensor([[1.0, 0.0], [0.6, 0.4]]).double()
    independent = torch.cat([power_law(1.0, 0.02), power_law(1.6, 0.03, seed=1)], 1) - 0.5
    pictures = torch.einsum("dc,nchw->ndhw", matrix, independent) + 0.5
    found = fit_spectrum([pictures], ColorMap(matrix, torch.full((2,), 0.5)))
    assert torch.allclose(found.variance, torch.tensor([0.02, 0.03]).double(), rtol=1e-9)
    assert found.decay.tolist() == pytest.approx([1.0, 1.6], abs=0.1)


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        ([], "at least 2 pictures, not 0"),
        ([torch.rand(3, 32, 32)], "at least 2 pictures, not 1"),
        ([torch.full((4, 3, 32, 32), 0.4)], "do not vary in every channel"),
        ([torch.cat([torch.rand(4, 1, 32, 32), torch.ones(4, 1, 32, 32)], 1)], "do not vary in every channel"),
        ([torch.rand(2, 3, 32, 32), torch.full((1, 3, 32, 32), float("nan"))], "holds NaN or infinite"),
        ([torch.rand(2, 3, 32, 24)], r"square pictures of at least 16 px, not \[32, 24\]"),
        ([torch.rand(2, 3, 8, 8)], r"square pictures of at least 16 px, not \[8, 8\]"),
        ([torch.rand(2, 3, 32, 32), torch.rand(2, 3, 16, 16)], "have no common spectrum"),
    ],
)
def test_pictures_without_a_spectrum_are_refused(pictures: list[Tensor], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        fit_spectrum(pictures)


def test_grey_pictures_have_no_spectrum_in_colour_coordinates() -> None:
    grey = torch.rand(4, 1, 32, 32).expand(4, 3, 32, 32)
    with pytest.raises(ImageError, match="do not vary in every channel"):
        fit_spectrum([grey], ColorMap(torch.tensor([[1.0, 0, 0], [1, 1, 0], [1, 1, 1]]), torch.full((3,), 0.5)))
    with pytest.raises(ImageError, match=r"of 1 channels do not fit a colour map of 3"):
        fit_spectrum([grey[:, :1]], color_map("lucid"))


def test_the_stored_spectrum_is_that_of_photos() -> None:
    stored = json.loads(resources.files("pellucid").joinpath("assets/spectrum.json").read_text())
    found = spectrum("tiny-imagenet")
    assert stored["pictures"] == 100_000
    assert found.decay.tolist() == stored["decay"]
    # Field 1987: amplitudes of natural pictures fall about as 1 / f. Colours are blurred by compression: steeper.
    assert 0.9 < found.decay[0] < 1.4
    assert found.decay.argmin() == 0
    assert found.variance.argmax() == 0
    with pytest.raises(RecipeError, match=r"no spectrum 'imagenet'; there are tiny-imagenet. Did you mean"):
        spectrum("imagenet")


def test_a_spectrum_falls_as_it_says_and_holds_the_variance() -> None:
    law = Spectrum(torch.tensor([0.3]), torch.tensor([1.5]))
    magnitude = law.magnitude((40, 20))
    assert (magnitude[0, 2, 0] / magnitude[0, 4, 0]).item() == pytest.approx(2**1.5)
    assert (magnitude[0, 4, 0] / magnitude[0, 0, 2]).item() == pytest.approx(1), (
        "4 cycles down are 2 across half as far"
    )
    assert (magnitude[0, 1, 0] / magnitude[0, 2, 0]).item() == pytest.approx(2**1.5), (
        "from one cycle per longer side on"
    )
    assert torch.allclose(law.magnitude((20, 40))[0, 0, 1:5], magnitude[0, 1:5, 0]), "whichever side is the longer"
    assert magnitude[0, 0, 0] == 0
    assert (magnitude.square() * conjugates((40, 20))).sum().item() / 800 == pytest.approx(0.3)
    with pytest.raises(ImageError, match="positive, finite variances"):
        Spectrum(torch.tensor([0.0]), torch.tensor([1.0]))
    with pytest.raises(ImageError, match="has no waves"):
        law.magnitude((1, 1))
