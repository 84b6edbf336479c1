"""Laws that every image keeps: rows are independent, photos come back, sizes change and looks do not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from skimage import data as photos
from torch import Tensor
from torch.nn import functional as F

from pellucid.draws import Draws
from pellucid.errors import ImageError, RecipeError
from pellucid.images.build import build_image
from pellucid.images.color import color_map
from pellucid.images.fitting import fitted
from pellucid.images.image import LinearImage
from pellucid.images.pixels import Pixels

SIZES = [(24, 24), (25, 31), (30, 17), (1, 1), (1, 6)]
LINEAR_KINDS = ("fourier", "pixels", "pyramid")  # what reaches every picture; tests/images/test_kinds.py has all kinds
EVERY_KIND = pytest.mark.parametrize("kind", LINEAR_KINDS)
EVERY_SQUASH = pytest.mark.parametrize("squash", ["sigmoid", "clip", "unbounded"])


def draws(*names: str) -> Draws:
    return Draws.from_keys(names)


def photo(name: str = "cat", size: tuple[int, int] = (60, 90)) -> Tensor:
    """A photo [1, 3, h, w] in [0, 1]."""
    pixels = torch.from_numpy(getattr(photos, name)()).permute(2, 0, 1)[None].float() / 255
    return fitted(pixels, size)


def filled(kind: str, num_images: int = 3, size: tuple[int, int] = (12, 15), **options: object) -> LinearImage:
    image = build_image(kind, num_images, size, **options)  # type: ignore[arg-type]
    assert isinstance(image, LinearImage)
    image.reset_rows(range(num_images), draws(*"abcdefgh"[:num_images]))
    return image


@EVERY_KIND
@EVERY_SQUASH
def test_a_row_starts_the_same_whatever_its_neighbours(kind: str, squash: str) -> None:
    options: dict[str, object] = {"size": (13, 18), "squash": squash}
    together = filled(kind, 3, **options)
    for row, name in enumerate("abc"):
        alone = build_image(kind, 1, (13, 18), squash=squash)
        alone.reset_rows([0], draws(name))
        assert torch.equal(alone.parameter[0], together.parameter[row])
    elsewhere = build_image(kind, 3, (13, 18), squash=squash)
    elsewhere.reset_rows([2, 0], draws("a", "c"))
    assert torch.equal(elsewhere()[[2, 0]], together()[[0, 2]])
    assert not torch.equal(together.parameter[0], together.parameter[1])


@EVERY_KIND
@EVERY_SQUASH
@pytest.mark.parametrize("size", [(13, 18), (32, 32), (47, 31)])
def test_pictures_and_gradients_do_not_depend_on_the_row_to_the_last_bit(
    kind: str, squash: str, size: tuple[int, int]
) -> None:
    images = [build_image(kind, 5, size, squash=squash) for _ in range(2)]
    images[0].reset_rows(range(5), draws(*"abcde"))
    images[1].reset_rows(range(5), draws(*"ecbda"))
    order = [4, 2, 1, 3, 0]
    weights = torch.randn(5, 3, *size, generator=torch.Generator().manual_seed(0))
    (images[0]() * weights).sum().backward()
    (images[1]() * weights[order]).sum().backward()
    assert torch.equal(images[0]()[order], images[1]())
    assert images[0].parameter.grad is not None
    assert images[1].parameter.grad is not None
    assert torch.equal(images[0].parameter.grad[order], images[1].parameter.grad)


@EVERY_KIND
@EVERY_SQUASH
def test_a_row_of_parameters_affects_its_own_image_only(kind: str, squash: str) -> None:
    image = filled(kind, 3, squash=squash)
    image()[1].sum().backward()
    gradient = image.parameter.grad
    assert gradient is not None
    assert gradient[1].abs().max() > 0
    assert gradient[[0, 2]].abs().max() == 0
    before = image().detach()
    image.reset_rows([1], draws("another"))
    after = image().detach()
    assert torch.equal(before[[0, 2]], after[[0, 2]])
    assert not torch.equal(before[1], after[1])
    image.set_rows([2], photo(size=(12, 15)))
    assert torch.equal(image()[[0, 1]], after[[0, 1]])


@EVERY_KIND
@EVERY_SQUASH
@pytest.mark.parametrize("color", ["tiny-imagenet", "lucid", "none"])
@pytest.mark.parametrize("size", [(60, 90), (61, 47)])
def test_a_photo_comes_back(kind: str, squash: str, color: str, size: tuple[int, int]) -> None:
    image = filled(kind, 3, size, squash=squash, color=color)
    wanted = torch.cat([photo("cat", size), photo("rocket", size)])
    image.set_rows([2, 0], wanted)
    assert (image()[[2, 0]] - wanted).abs().mean() < 0.01
    # The sigmoid cannot reach black and white: one 8-bit level, and rounding. The others hold photos exactly.
    assert (image()[[2, 0]] - wanted).abs().max() < (1 / 255 if squash == "sigmoid" else 1e-5)


def test_a_photo_start_can_move_even_where_it_is_black_or_white() -> None:
    image = build_image("pixels", 1, (6, 6), color="none")
    image.set_rows([0], (torch.arange(36.0) % 2).view(1, 1, 6, 6).expand(1, 3, 6, 6))
    image().sum().backward()
    assert image.parameter.grad is not None
    assert image.parameter.grad.abs().min() > 1e-3


@EVERY_KIND
@pytest.mark.parametrize("size", SIZES)
def test_empty_rows_are_flat_and_of_the_mean_colour(kind: str, size: tuple[int, int]) -> None:
    for color in ("tiny-imagenet", "none"):
        colors = color_map(color)
        mean = torch.full((3,), 0.5) if colors is None else colors.mean.float()
        for squash in ("sigmoid", "clip", "unbounded"):
            pictures = build_image(kind, 2, size, color=color, squash=squash)()
            assert torch.allclose(pictures, mean[None, :, None, None].expand(2, 3, *size), atol=1e-5)


@EVERY_KIND
@pytest.mark.parametrize("size", SIZES)
def test_every_size_renders_in_range_and_moves(kind: str, size: tuple[int, int]) -> None:
    image = filled(kind, 2, size)
    pictures = image()
    assert pictures.shape == (2, 3, *size)
    assert pictures.min() > 0
    assert pictures.max() < 1
    pictures.square().sum().backward()
    assert image.parameter.grad is not None
    assert torch.isfinite(image.parameter.grad).all()
    assert image.parameter.grad.abs().max() > 0


@EVERY_KIND
@EVERY_SQUASH
def test_resizing_keeps_the_look(kind: str, squash: str) -> None:
    image = build_image(kind, 1, (60, 90), squash=squash)
    image.set_rows([0], photo(size=(60, 90)))
    larger = image.resized((121, 181))
    assert larger.size == (121, 181)
    assert larger().shape == (1, 3, 121, 181)
    assert larger.parameter.dtype == image.parameter.dtype
    expected = F.interpolate(image(), size=(121, 181), mode="bicubic", antialias=True)
    assert (larger() - expected).abs().mean() < 0.01
    assert (larger.resized((60, 90))() - image()).abs().mean() < 0.01


@EVERY_KIND
@pytest.mark.parametrize("channels", [1, 2, 4, 8])
def test_any_number_of_channels(kind: str, channels: int) -> None:
    image = filled(kind, 2, (10, 11), channels=channels)
    assert image().shape == (2, channels, 10, 11)
    assert image.color is None
    pictures = 0.1 + 0.8 * torch.rand(2, channels, 10, 11, generator=torch.Generator().manual_seed(0))
    image.set_rows([0, 1], pictures)
    assert torch.allclose(image(), pictures, atol=1e-4)


@EVERY_KIND
def test_clipped_images_are_projected_back_into_range_and_can_return(kind: str) -> None:
    image = filled(kind, 2, (9, 8), squash="clip")
    with torch.no_grad():
        image.parameter[0].mul_(1e4)
    neighbour = image.parameter[1].detach().clone()
    image.project()
    latents = image.latents().detach()
    assert latents.min() > -1e-5
    assert latents.max() < 1 + 1e-5
    assert image().min() >= 0
    assert image().max() <= 1
    assert (image()[0] > 1 - 1e-5).float().mean() > 0.2  # a transform there and back rounds
    assert torch.equal(image.parameter[1], neighbour), "a row in range stays as it is, to the last bit"
    # At the bound the gradient still passes, so that a pixel is not stuck there.
    image().sum().backward()
    assert image.parameter.grad is not None
    assert image.parameter.grad[0].abs().max() > 0.1


def test_unbounded_images_leave_the_range() -> None:
    image = Pixels(1, (4, 4), squash="unbounded")
    with torch.no_grad():
        image.parameter.add_(7)
    image.project()
    assert torch.allclose(image(), torch.full((1, 3, 4, 4), 7.5))


@EVERY_KIND
def test_flat_rows_rebuild_the_pictures(kind: str) -> None:
    image = filled(kind, 2, (7, 10), dtype=torch.float64)
    flat = image.flat().detach()
    assert flat.shape[0] == 2
    other = build_image(kind, 2, (7, 10), dtype=torch.float64)
    assert torch.allclose(other.at(flat), image())
    assert not torch.allclose(other(), image())
    other.unflat(flat)
    assert torch.equal(other(), image())
    with pytest.raises(ImageError, match=rf"flat parameters are \[2, {flat.shape[1]}\] here, not \[2, 3\]"):
        other.unflat(torch.zeros(2, 3))


@EVERY_KIND
@EVERY_SQUASH
def test_the_jacobian_of_flat_parameters_is_that_of_the_picture(kind: str, squash: str) -> None:
    image = filled(kind, 1, (3, 4), squash=squash, dtype=torch.float64, sd=0.1)
    flat = image.flat().detach()
    jacobian = torch.func.jacrev(image.at)(flat)[0, :, :, :, 0]
    step = 1e-6
    for entry in (0, 5, flat.shape[1] - 1):
        shifted = flat.clone()
        shifted[0, entry] += step
        slope = (image.at(shifted) - image.at(flat))[0] / step
        assert torch.allclose(jacobian[..., entry], slope, atol=1e-5)


@EVERY_KIND
def test_colours_of_the_start_follow_the_matrix(kind: str) -> None:
    colors = color_map("tiny-imagenet")
    assert colors is not None
    image = filled(kind, 8, (48, 48), squash="unbounded", dtype=torch.float64)
    pixels = (image.latents().detach() - image.latents().detach().mean((2, 3), keepdim=True)).movedim(1, 0).flatten(1)
    covariance = torch.cov(pixels)
    expected = colors.matrix @ colors.matrix.T
    assert torch.allclose(covariance / covariance.trace(), expected / expected.trace(), atol=0.08)


def test_pictures_of_another_size_are_covered_and_cut() -> None:
    halves = torch.zeros(1, 1, 4, 12)
    halves[..., 4:8] = 1
    assert torch.equal(fitted(halves, (4, 4)), torch.ones(1, 1, 4, 4))
    image = build_image("pixels", 1, (20, 20))
    image.set_rows([0], photo(size=(60, 90)))
    assert (image() - fitted(photo(size=(60, 90)), (20, 20))).abs().mean() < 0.01


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda image: image.reset_rows([2], draws("a")), "no row 2; this image has rows 0 to 1"),
        (lambda image: image.reset_rows([-1], draws("a")), "no row -1"),
        (lambda image: image.reset_rows([0, 1], draws("a")), "2 rows need 2 random streams, not 1"),
        (lambda image: image.set_rows([0], torch.zeros(1, 1, 4, 4)), r"\[1 or 1, 3, h, w\], not \[1, 1, 4, 4\]"),
        (lambda image: image.set_rows([0, 1], torch.zeros(3, 3, 4, 4)), r"\[2 or 1, 3, h, w\], not \[3, 3, 4, 4\]"),
        (lambda image: image.set_rows([0], torch.full((1, 3, 4, 4), float("nan"))), "NaN"),
    ],
)
def test_what_does_not_fit_is_refused(act: Callable[[LinearImage], None], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        act(build_image("pixels", 2, (4, 4)))


def test_words_of_a_recipe_are_checked() -> None:
    with pytest.raises(
        RecipeError, match=r"no image 'furier'; there are fourier, pixels, .*generator. Did you mean 'fourier'"
    ):
        build_image("furier", 1, (4, 4))
    with pytest.raises(RecipeError, match=r"no squash 'sigmoit'; .* Did you mean 'sigmoid'"):
        build_image("pixels", 1, (4, 4), squash="sigmoit")
    with pytest.raises(RecipeError, match=r"no colour map"):
        build_image("pixels", 1, (4, 4), channels=1, color="beige")
    with pytest.raises(RecipeError, match=r"float32 or torch.float64, not torch.bfloat16"):
        build_image("pixels", 1, (4, 4), dtype=torch.bfloat16)
    with pytest.raises(ImageError, match=r"0 x 4 px"):
        build_image("pixels", 1, (0, 4))
    with pytest.raises(ImageError, match=r"spread of the start must be 0 or more, not -1"):
        build_image("pixels", 1, (4, 4), sd=-1.0)
    with pytest.raises(ImageError, match=r"colour map of 3 channels does not fit an image of 4"):
        Pixels(1, (4, 4), channels=4, color=color_map("lucid"))
