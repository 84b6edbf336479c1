"""Laws that all kinds of image keep, whatever they optimise; and how `build_image` chooses them."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from skimage import data as photos
from torch import Tensor, nn

from pellucid.draws import Draws
from pellucid.errors import ImageError, RecipeError
from pellucid.images.alpha import Alpha
from pellucid.images.build import IMAGE_KINDS, build_image
from pellucid.images.cppn import Cppn
from pellucid.images.field import Field
from pellucid.images.fitting import fitted
from pellucid.images.fourier import Fourier
from pellucid.images.generator import Generator
from pellucid.images.image import Image
from pellucid.images.maco import Maco
from pellucid.images.pixels import Pixels
from pellucid.images.pyramid import Pyramid
from pellucid.images.shared import SharedLowRes

SIZES = [(24, 24), (25, 31), (30, 17), (16, 9)]


class Tiles(nn.Module):
    """The simplest generator: a linear map of 6 latents to a picture, squashed."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.map = nn.Linear(6, 3 * size[0] * size[1])
        with torch.no_grad():
            self.map.weight.copy_(torch.randn(self.map.weight.shape, generator=torch.Generator().manual_seed(0)))
            self.map.bias.zero_()

    def forward(self, latents: Tensor) -> Tensor:
        return torch.sigmoid(self.map(latents)).unflatten(1, (3, *self.size))


def _made_of_words(kind: str, **options: object) -> Callable[..., Image]:
    return lambda num, size, **more: build_image(kind, num, size, **options, **more)


KINDS: dict[str, Callable[..., Image]] = {
    **{kind: _made_of_words(kind) for kind in IMAGE_KINDS if kind not in ("geometry", "generator")},
    "geometry": _made_of_words("geometry", channels=5),
    "fourier with alpha": _made_of_words("fourier", alpha=True),
    "maco with alpha": _made_of_words("maco", alpha=True),
    "generator": lambda num, size, **more: Generator(num, size, Tiles(size), latent_shape=(6,), **more),
    "shared, in no group": lambda num, size, **more: SharedLowRes(build_image("fourier", num, size, **more), []),
    "shared, alone": lambda num, size, **more: SharedLowRes(build_image("fourier", num, size, **more), 1),
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


def draws(*names: str) -> Draws:
    return Draws.from_keys(names)


def photo(name: str = "cat", size: tuple[int, int] = (60, 90)) -> Tensor:
    """A photo [1, 3, h, w] in [0, 1]."""
    pixels = torch.from_numpy(getattr(photos, name)()).permute(2, 0, 1)[None].float() / 255
    return fitted(pixels, size)


def filled(kind: str, names: str = "abc", size: tuple[int, int] = (12, 15), **options: object) -> Image:
    image = KINDS[kind](len(names), size, **options)
    image.reset_rows(range(len(names)), draws(*names))
    return image


@EVERY_KIND
def test_a_row_of_parameters_affects_its_own_image_only(kind: str) -> None:
    image = filled(kind, "abc", (5, 6), dtype=torch.float64)
    flat = image.flat().detach()
    jacobian = torch.autograd.functional.jacobian(image.at, flat)  # [b, c, h, w, b, m]
    assert torch.isfinite(jacobian).all()
    effect = jacobian.abs().amax((1, 2, 3, 5))  # [b, b]: of which row on which image
    assert (effect.diagonal() > 0).all()
    assert (effect - effect.diagonal().diag()).abs().max() == 0


@EVERY_KIND
def test_a_start_depends_on_its_stream_only(kind: str) -> None:
    together = filled(kind, "abc")
    assert torch.equal(together.flat(), filled(kind, "abc").flat()), "the same again"
    for row, name in enumerate("abc"):
        assert torch.equal(filled(kind, name).flat()[0], together.flat()[row])
    elsewhere = filled(kind, "xyz")
    untouched = elsewhere.flat()[1].detach().clone()
    elsewhere.reset_rows([2, 0], draws("a", "c"))
    assert torch.equal(elsewhere.flat()[[2, 1, 0]], torch.stack([*together.flat()[:1], untouched, together.flat()[2]]))
    assert not torch.equal(together()[0], together()[1])


def gradients(pictures: Tensor, image: Image, weights: Tensor) -> list[Tensor]:
    """Of the weighted sum of pictures, for every parameter; 0 for those that no picture reads, as the loop takes it."""
    return list(torch.autograd.grad((pictures * weights).sum(), list(image.parameters()), materialize_grads=True))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "generator"])  # whose bits are those of its network
def test_pictures_and_gradients_do_not_depend_on_the_row_to_the_last_bit(kind: str) -> None:
    size, order = (31, 47), [4, 2, 1, 3, 0]
    images = [filled(kind, names, size) for names in ("abcde", "ecbda")]
    weights = torch.randn(images[0]().shape, generator=torch.Generator().manual_seed(0))
    one, other = (gradients(image(), image, by) for image, by in zip(images, (weights, weights[order]), strict=True))
    assert torch.equal(images[0]()[order], images[1]())
    for gradient, permuted in zip(one, other, strict=True):
        assert torch.equal(gradient[order], permuted)


@EVERY_KIND
@pytest.mark.parametrize("size", SIZES)
def test_every_size_renders_in_its_ranges_and_every_row_moves(kind: str, size: tuple[int, int]) -> None:
    image = filled(kind, "abc", size)
    pictures = image()
    assert pictures.shape == (3, image.channels, *size)
    assert torch.isfinite(pictures).all()
    assert len(image.ranges) == image.channels
    for channel, (low, high) in enumerate(image.ranges):
        assert pictures[:, channel].min() >= low
        assert pictures[:, channel].max() <= high
    pattern = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(1))
    whole = torch.cat([one.flatten(1) for one in gradients(pictures, image, pattern)], 1)
    assert torch.isfinite(whole).all()
    assert (whole.abs().amax(1) > 0).all()


@EVERY_KIND
def test_a_step_of_each_row_alone_is_a_step_of_all(kind: str) -> None:
    """Row i's gradient is its own whatever the others ask for."""
    image = filled(kind, "abc", dtype=torch.float64)
    pictures = image()
    weights = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(2)).double()
    whole = gradients(pictures, image, weights)
    for row in range(3):
        alone = gradients(image()[row], image, weights[row])
        for one, both in zip(alone, whole, strict=True):
            assert torch.allclose(one[row], both[row])
            assert one[[other for other in range(3) if other != row]].abs().max() == 0


@EVERY_KIND
def test_unfilled_rows_are_finite_and_flat_parameters_rebuild_the_pictures(kind: str) -> None:
    image = filled(kind, "ab")
    other = KINDS[kind](2, (12, 15))
    assert torch.isfinite(other()).all()
    assert not torch.allclose(other(), image())
    assert torch.allclose(other.at(image.flat()), image(), atol=1e-6)
    other.unflat(image.flat())
    assert torch.equal(other(), image())


@EVERY_KIND
def test_rows_and_streams_are_checked(kind: str) -> None:
    image = filled(kind, "ab")
    with pytest.raises(ImageError, match=r"no row 2; this image has rows 0 to 1"):
        image.reset_rows([2], draws("a"))
    with pytest.raises(ImageError, match=r"2 rows need 2 random streams, not 1"):
        image.reset_rows([0, 1], draws("a"))


@pytest.mark.parametrize("kind", ["fourier", "pyramid", "pixels", "shared, alone", "fourier with alpha"])
@pytest.mark.parametrize("size", [(60, 90), (61, 47)])
def test_a_photo_comes_back(kind: str, size: tuple[int, int]) -> None:
    image = filled(kind, "abc", size)
    wanted = torch.cat([photo("cat", size), photo("rocket", size)])
    untouched = image()[1].detach()
    image.set_rows([2, 0], wanted)
    assert (image()[[2, 0], :3] - wanted).abs().mean() < 0.01
    assert torch.equal(image()[1], untouched)


def test_what_cannot_start_from_a_photo_says_so() -> None:
    with pytest.raises(ImageError, match="a CPPN cannot start from a picture, only from noise; use fourier, pixels"):
        filled("cppn", "a").set_rows([0], photo())


@pytest.mark.parametrize(
    ("name", "kind"),
    [("fourier", Fourier), ("pixels", Pixels), ("pyramid", Pyramid), ("maco", Maco), ("cppn", Cppn)],
)
def test_names_choose_kinds(name: str, kind: type[Image]) -> None:
    assert type(build_image(name, 1, (16, 16))) is kind
    with_alpha = build_image(name, 1, (16, 16), alpha=True)
    assert type(with_alpha) is Alpha
    assert type(with_alpha.color) is kind
    assert with_alpha.channels == 4


def test_geometry_is_a_field_of_five_channels() -> None:
    image = build_image("geometry", 1, (8, 8), channels=5)
    assert type(image) is Field
    assert image.ranges == ((-1.0, 1.0), (-1.0, 1.0), (0.0, 1.0), (0.0, 1.0), (0.0, 1.0))


@pytest.mark.parametrize(
    ("kind", "options", "error", "message"),
    [
        ("macro", {}, RecipeError, r"no image 'macro'; there are .* Did you mean 'maco'"),
        ("maco", {"channels": 1}, RecipeError, r"3 channels in the colour map 'tiny-imagenet', not for 1"),
        ("maco", {"color": "lucid"}, RecipeError, r"not for 3 in 'lucid'; fit one with fit_spectrum"),
        ("maco", {"squash": "clip"}, ImageError, r"maco cannot be projected"),
        ("cppn", {"squash": "clip"}, ImageError, r"a CPPN cannot be projected"),
        ("geometry", {}, ImageError, r"geometry image has 5 channels .* not 3 and 'sigmoid'"),
        ("generator", {}, ImageError, r"size: the generator makes 64 x 64 px, not 16 x 16"),
        ("generator", {"squash": "clip"}, RecipeError, r"in \[0, 1\] by themselves: leave squash 'clip' out"),
        ("pyramid", {"sd": -1.0}, ImageError, r"spread of the start must be 0 or more"),
        ("cppn", {"sd": -1.0}, ImageError, r"a spread of 0 or more, not 8, 24 and -1.0"),
    ],
)
def test_words_that_do_not_go_together_are_refused(
    kind: str, options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        build_image(kind, 1, (16, 16), **options)  # type: ignore[arg-type]


def test_an_unbounded_image_says_so() -> None:
    assert build_image("maco", 1, (16, 16), squash="unbounded").ranges == ((-math.inf, math.inf),) * 3
    assert build_image("maco", 1, (16, 16)).ranges == ((0.0, 1.0),) * 3
