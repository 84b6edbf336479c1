"""A pipeline fuses neighbours, keeps the input's size and never lets one image depend on another."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pellucid.draws import Draws
from pellucid.errors import RecipeError
from pellucid.transforms.affine import Flip, Jitter, Rotate, Scale
from pellucid.transforms.compose import FusedWarp, compose
from pellucid.transforms.crops import Pad, RandomCrop
from pellucid.transforms.pixelwise import Blur, Noise
from pellucid.transforms.presets import parse
from pellucid.transforms.transform import Transform

EVERYTHING = (
    "pad:6 jitter:4 scale:0.9..1.1/0.02 rotate:-10..10 shear:3 flip noise:0.1 blur:0.7 pad:3,reflect crop:24x30"
)
COLOR = "brightness:1.3 contrast:0.7..1.4 saturation:1.5 hue:40"
TEXTS = ["lucid", "slides", "maco", "jitter:8", "noise:0.2", "uniform:0.2", "blur:1", "crop:9", "flip", EVERYTHING]
TEXTS += [COLOR, "brightness:2", "contrast:2", "saturation:2", "hue:90", "box:0.4,0.1,0.1,20 jitter:3 rotate:5"]


def streams(count: int) -> Draws:
    return Draws.from_keys([f"image {i}" for i in range(count)])


def kinds(*transforms: Transform) -> list[type]:
    return [type(stage) for _, stage in compose(transforms).stages]


@pytest.mark.parametrize("text", TEXTS)
def test_batching_does_not_change_an_image(text: str) -> None:
    images, draws, pipeline = torch.rand(3, 3, 32, 40), streams(3), parse(text)
    together = images.clone().requires_grad_()
    result = pipeline(together, draws)
    (result**2).sum().backward()
    for i in range(3):
        alone = images[i : i + 1].clone().requires_grad_()
        single = pipeline(alone, draws.rows([i]))
        (single**2).sum().backward()
        assert torch.equal(single[0], result[i])
        assert together.grad is not None
        assert alone.grad is not None
        assert torch.equal(alone.grad[0], together.grad[i])


@pytest.mark.parametrize("text", [text for text in TEXTS if text != "blur:1"])  # blur draws nothing
def test_every_image_and_every_step_draws_for_itself(text: str) -> None:
    picture = torch.rand(1, 3, 32, 40)
    pipeline = parse(text)
    results = [pipeline(picture.repeat(6, 1, 1, 1), streams(6).at(step)) for step in (0, 1)]
    assert torch.equal(results[0], pipeline(picture.repeat(6, 1, 1, 1), streams(6).at(0)))
    different = torch.cat(results).flatten(1).unique(dim=0)
    assert len(different) >= (2 if text == "flip" else 5)  # of 12


@pytest.mark.parametrize("text", TEXTS)
def test_a_broken_image_spares_its_neighbours(text: str) -> None:
    images, draws, pipeline = torch.rand(3, 3, 32, 40), streams(3), parse(text)
    clean = pipeline(images, draws)
    images[1] = torch.nan
    broken = pipeline(images, draws)
    assert torch.equal(broken[0], clean[0])
    assert torch.equal(broken[2], clean[2])
    assert broken[1].isnan().any()


def test_an_arrow_chains_and_fuses() -> None:
    images, draws = torch.rand(2, 3, 16, 16), streams(2)
    chained = Jitter(3) >> Rotate(5) >> parse("scale:1.1 noise:0.1") >> Flip()
    assert chained == parse("jitter:3 rotate:5 scale:1.1 noise:0.1 flip")
    assert kinds(*chained.transforms)[0] is FusedWarp
    assert torch.equal(chained(images, draws), parse("jitter:3 rotate:5 scale:1.1 noise:0.1 flip")(images, draws))
    brighter = (lambda images, draws: images + 1) >> Blur(1)
    assert torch.allclose(brighter(images, draws), Blur(1)(images + 1, draws))
    assert (parse("jitter:3", fill=1.0) >> Flip()).fill == 1
    with pytest.raises(RecipeError, match=r"fill what lies outside with .* and .* cannot be joined"):
        parse("jitter:3", fill=1.0) >> parse("flip")


def test_none_is_the_very_same_tensor() -> None:
    images = torch.rand(2, 3, 8, 8)
    assert parse("none")(images, streams(2)) is images
    assert compose([])(images, streams(2)) is images


@pytest.mark.parametrize("size", [(32, 32), (17, 41), (64, 20)])
@pytest.mark.parametrize(
    "text", ["lucid", "slides", "pad:5", "pad:5 blur:1 rotate:9 noise:0.1", "pad:3,reflect rotate:5"]
)
def test_the_result_has_the_size_of_the_input(text: str, size: tuple[int, int]) -> None:
    assert parse(text)(torch.rand(2, 3, *size), streams(2)).shape == (2, 3, *size)


def test_a_crop_decides_the_size_and_may_reach_into_the_frame() -> None:
    images = torch.rand(4, 3, 16, 16)
    assert parse("crop:9x12")(images, streams(4)).shape == (4, 3, 9, 12)
    assert parse("pad:4 rotate:5 crop:24")(images, streams(4)).shape == (4, 3, 24, 24)
    pieces = parse("pad:8 crop:16")(images, streams(4))
    assert ((pieces == 0.5).float().mean((1, 2, 3)) > 0.05).any()  # some of the grey frame


def test_neighbouring_moves_become_one_warp() -> None:
    assert kinds(Pad(12), Jitter(8), Scale(1.1), Rotate(10), Flip(), Jitter(4)) == [FusedWarp]
    assert kinds(Rotate(5), Noise(0.1), Rotate(5)) == [FusedWarp, Noise, FusedWarp]
    assert kinds(Pad(2, "reflect"), Rotate(5), Blur(1), RandomCrop(8)) == [Pad, FusedWarp, Blur, RandomCrop]


def test_one_warp_samples_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    sample = torch.nn.functional.grid_sample

    def counted(images: Tensor, grid: Tensor, **settings: object) -> Tensor:
        calls.append(images.shape)
        assert not grid.requires_grad  # so its backward computes the image's gradient alone
        return sample(images, grid, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.nn.functional, "grid_sample", counted)
    parse("lucid")(torch.rand(2, 3, 64, 64, requires_grad=True), streams(2))
    assert calls == [(2, 3, 64, 64)]


def test_reflection_shows_the_picture_where_grey_would_come_in() -> None:
    bright = torch.ones(1, 3, 32, 32)
    draws = streams(1)
    assert compose([Rotate([45])])(bright, draws).amin() == pytest.approx(0.5, abs=1e-5)
    assert compose([Pad(16, "reflect"), Rotate([45])])(bright, draws).amin() == pytest.approx(1.0, abs=1e-5)


def test_lucid_moves_a_picture_within_its_bounds() -> None:
    image = torch.full((1, 1, 224, 224), 0.5)
    image[:, :, 110:114, 110:114] = 1.0
    moved = parse("lucid")(image.repeat(200, 1, 1, 1), streams(200)) - 0.5
    weight = moved.sum((1, 2, 3))
    place = torch.arange(224.0) - 111.5
    down, right = (moved.sum((1, 3)) @ place) / weight, (moved.sum((1, 2)) @ place) / weight
    # At the centre only the jitters show: 4 px, up to 1.1 times as large and turned by up to 10 degrees, and 2 px.
    reach = 4 * 1.1 * (0.985 + 0.174) + 2
    for shifts in (down, right):
        assert shifts.abs().max() <= reach + 0.05
        assert shifts.abs().max() > 4
    areas = weight / 8  # 16 pixels at 0.5 above grey
    assert 0.78 < areas.min() < 0.85
    assert 1.17 < areas.max() < 1.25
