"""Pyramids: levels add up, coarse ones hold the shapes; and levels that a group shares."""

from __future__ import annotations

import pytest
import torch
from skimage import data as photos
from torch import Tensor
from torch.nn import functional as F

from pellucid.draws import Draws
from pellucid.errors import ImageError
from pellucid.images.build import build_image
from pellucid.images.fitting import fitted
from pellucid.images.image import LinearImage
from pellucid.images.pyramid import Pyramid
from pellucid.images.shared import SharedLowRes


def cat(size: tuple[int, int]) -> Tensor:
    return fitted(torch.from_numpy(photos.cat()).permute(2, 0, 1)[None].float() / 255, size)


def shared(groups: int | list[list[int]], num_images: int = 5, **options: object) -> SharedLowRes:
    own = build_image("fourier", num_images, (16, 20), dtype=torch.float64, **options)  # type: ignore[arg-type]
    assert isinstance(own, LinearImage)
    image = SharedLowRes(own, groups)
    image.reset_rows(range(num_images), Draws.from_keys("abcdefgh"[:num_images]))
    return image


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        ((16, 16), [(16, 16), (8, 8), (4, 4), (2, 2)]),
        ((9, 21), [(9, 21), (5, 11), (3, 6), (2, 3)]),
        ((1, 6), [(1, 6), (1, 3), (1, 2), (1, 1)]),
        ((2, 1), [(2, 1), (1, 1)]),
        ((1, 1), [(1, 1)]),
    ],
)
def test_levels_halve_until_one_pixel(size: tuple[int, int], sizes: list[tuple[int, int]]) -> None:
    assert [tuple(level.shape[-2:]) for level in Pyramid(1, size).levels] == sizes


def test_the_picture_is_the_sum_of_enlarged_levels() -> None:
    image = Pyramid(1, (8, 12), channels=1, squash="unbounded", dtype=torch.float64)
    with torch.no_grad():
        for number, level in enumerate(image.levels):
            level[0, 0, 0, 1] = 10.0**number
    wanted = torch.full((1, 1, 8, 12), 0.5, dtype=torch.float64)
    for level in image.levels:
        wanted = wanted + F.interpolate(level.detach(), size=(8, 12), mode="bilinear", align_corners=False)
    assert torch.allclose(image(), wanted)


def test_a_level_of_ones_moves_every_pixel_by_one() -> None:
    for number in range(4):
        image = Pyramid(1, (9, 14), channels=1, squash="unbounded", dtype=torch.float64)
        with torch.no_grad():
            image.levels[number].fill_(1)
        assert torch.allclose(image(), torch.full((1, 1, 9, 14), 1.5, dtype=torch.float64))


def test_a_photos_coarse_levels_hold_its_shapes() -> None:
    image = Pyramid(1, (64, 64), color=None)
    image.set_rows([0], cat((64, 64)))
    whole = image.latents().detach().std()
    fine = image.levels[0].detach().std()
    assert fine < 0.5 * whole, "the finest level holds the edges alone"
    with torch.no_grad():
        for level in image.levels[:-1]:
            level.zero_()
    small = F.interpolate(cat((64, 64)), size=(8, 8), mode="bilinear", antialias=True)
    shown = F.interpolate(image().detach(), size=(8, 8), mode="bilinear", antialias=True)
    assert (shown - small).abs().mean() < 0.05


def test_one_step_moves_large_shapes_further_than_single_pixels() -> None:
    """What a pyramid is for: with equal steps of all parameters a smooth gradient adds up over the levels."""

    def moved(pattern: Tensor) -> float:
        image = Pyramid(1, (16, 16), channels=1, squash="unbounded", dtype=torch.float64)
        (gradient,) = torch.autograd.grad((image() * pattern).sum(), [image.parameter])
        with torch.no_grad():
            image.parameter += 0.1 * gradient.sign()
        return ((image() - 0.5) * pattern).mean().item()

    smooth = torch.ones(1, 1, 16, 16, dtype=torch.float64)
    checks = 1 - 2.0 * ((torch.arange(16)[:, None] + torch.arange(16)) % 2)[None, None].double()
    assert moved(smooth) == pytest.approx(0.4), "four levels, a tenth each"
    assert moved(checks) < 0.15, "the finest level alone"


def test_a_pyramid_has_a_level() -> None:
    with pytest.raises(ImageError, match="at least 1 level, not 0"):
        Pyramid(1, (8, 8), num_levels=0)


def test_rows_of_a_group_move_together_and_others_stay() -> None:
    image = shared([[0, 3], [4, 2]])
    flat = image.flat().detach()
    jacobian = torch.autograd.functional.jacobian(image.at, flat).abs().amax((1, 2, 3, 5))
    wanted = torch.zeros(5, 5, dtype=torch.bool)
    for group in ([0, 3], [4, 2], [1]):
        for row in group:
            wanted[row, group] = True
    assert torch.equal(jacobian > 0, wanted)


def test_the_shared_component_is_the_mean_of_the_groups_shares() -> None:
    image = shared([[0, 3]])
    component = image.component().detach()
    assert torch.equal(component[0], component[3])
    assert component[0].abs().max() > 0
    assert component[[1, 2, 4]].abs().max() == 0
    with torch.no_grad():
        image.shared[:] = torch.tensor([2.0, 7, 7, 4, 7]).double()[:, None]
    component = image.component().detach()
    # The mean of 2 and 4 in each of four levels, whose constant coordinates the colours mix.
    assert image.own.color is not None
    wanted = 4 * 3 * image.own.color.matrix.sum(1)
    assert torch.allclose(component[0], wanted[:, None, None].expand(3, 16, 20))
    assert component[[1, 2, 4]].abs().max() == 0
    assert torch.equal(image(), image.own.squash.to_pixels(image.own.latents() + component))
    assert not torch.allclose(image(), image.own(), atol=1e-4)


def test_a_step_of_one_image_of_a_group_shows_in_all_and_only_coarsely() -> None:
    image = shared(5, squash="unbounded")
    before = image().detach()
    (gradient,) = torch.autograd.grad(image()[2, :, 4:8, 4:8].sum(), [image.shared])
    assert torch.allclose(gradient, gradient[:1].expand_as(gradient)), "every row of the group gets the same"
    with torch.no_grad():
        image.shared += gradient.sign()
    moved = image().detach() - before
    assert torch.allclose(moved, moved[:1].expand_as(moved))
    smooth = F.interpolate(F.avg_pool2d(moved, 2), size=(16, 20), mode="bilinear")
    assert (moved - smooth).std() < 0.2 * moved.std(), "nothing finer than half the size"


def test_the_spread_of_a_start_does_not_depend_on_the_size_of_the_group() -> None:
    for groups in (1, 5):
        image = shared(groups)
        common = image.shared.detach().unflatten(0, (-1, groups)).mean(1)
        assert common.std().item() == pytest.approx(0.01, rel=0.15)  # 400 numbers at least: 3.5 %, four times that


def test_a_group_starts_whole() -> None:
    image = shared([[0, 3], [4, 2]])
    for act in (
        lambda rows: image.reset_rows(rows, Draws.from_keys([str(row) for row in rows])),
        lambda rows: image.set_rows(rows, cat((16, 20)).double()),
    ):
        with pytest.raises(
            ImageError, match=r"rows \[0, 3\] share an image and start together; rows \[3\] are missing"
        ):
            act([0, 1])
        before = image().detach()
        act([3, 0])
        assert torch.equal(image()[[1, 2, 4]], before[[1, 2, 4]])
        assert not torch.equal(image()[0], before[0])
    assert (image()[[0, 3]] - cat((16, 20))).abs().mean() < 0.01
    assert image.component()[[0, 3]].abs().max() == 0, "from a photo nothing is shared"


def test_resizing_keeps_the_look_and_what_is_shared() -> None:
    image = shared(5)
    with torch.no_grad():
        image.shared.mul_(50)
    larger = image.resized((33, 41))
    expected = F.interpolate(image(), size=(33, 41), mode="bicubic", antialias=True)
    assert (larger() - expected).abs().mean() < 0.01
    assert larger.groups == image.groups
    was = F.interpolate(image.component(), size=(33, 41), mode="bicubic", antialias=True)
    # Levels between other pixel centres: not the same numbers, but the same shapes.
    assert torch.corrcoef(torch.stack([larger.component()[0].flatten(), was[0].flatten()]))[0, 1] > 0.95


@pytest.mark.parametrize("groups", [[[0, 1], [1, 2]], [[0, 5]], [[]], [[-1]], [[2, 2]]])
def test_groups_that_are_none_are_refused(groups: list[list[int]]) -> None:
    with pytest.raises(ImageError, match="groups hold each of the rows 0 to 4 at most once, and none is empty"):
        shared(groups)


def test_what_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ImageError, match="5 rows cannot be cut into groups of 2"):
        shared(2)
    with pytest.raises(ImageError, match="cannot be projected row by row"):
        shared(5, squash="clip")
