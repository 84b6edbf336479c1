"""A photo accentuated: what the target wants rises, what the pull holds stays, and 1 means the same everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import pellucid as pl
from pellucid.ascent.accentuate import Accent
from pellucid.errors import ImageError, RecipeError, TargetError
from pellucid.images import files

QUICK = {"steps": 30, "transforms": "none", "precision": "float32", "lanes": 1}


class Colors(nn.Module):
    """Two views of a picture, both its three colours: `held`, and `large`, the same times 10; and the red of it."""

    def __init__(self) -> None:
        super().__init__()
        self.held, self.large, self.red, self.strong = (nn.Conv2d(3, n, 1, bias=False) for n in (3, 3, 2, 2))
        with torch.no_grad():
            self.held.weight.copy_(torch.eye(3)[:, :, None, None])
            self.large.weight.copy_(10 * self.held.weight)
            self.red.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 0, 0]])[:, :, None, None])
            self.strong.weight.copy_(50 * self.red.weight)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([layer(x).mean((2, 3)) for layer in (self.held, self.large, self.red, self.strong)], 1)


@pytest.fixture(scope="module")
def model() -> pl.Model:
    return pl.Model(Colors(), size=16)


@pytest.fixture(scope="module")
def photo() -> Tensor:
    return 0.2 + 0.5 * torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))


def away(made: pl.Rendering, photo: Tensor) -> float:
    return float((made.images[0] - photo).square().sum() / photo.square().sum())


def test_the_target_rises_and_more_pull_leaves_more_of_the_photo(model: pl.Model, photo: Tensor) -> None:
    made = [pl.accentuate(model, photo, "red:0", pull=pull, pull_layer="held", **QUICK) for pull in (0.3, 1.0, 3.0)]
    reds = [float(one.images[0, 0].mean()) for one in made]
    aways = [away(one, photo) for one in made]
    assert reds[0] > reds[1] > reds[2] > float(photo[0].mean()) + 0.005
    assert aways[0] > 2 * aways[1] > 4 * aways[2] > 0
    change = (made[1].images[0] - photo).abs().mean((1, 2))
    assert change[1:].max() < 0.5 * change[0], "green and blue are held"


def test_without_pull_it_is_the_ascent_from_the_photo(model: pl.Model, photo: Tensor) -> None:
    free = pl.accentuate(model, photo, "red:0", pull=0.0, pull_layer="held", **QUICK)
    assert torch.equal(free.images, pl.render(model, "red:0", start=photo, learning_rate=0.05, **QUICK).images)
    assert free.targets == ("red:0",)


@pytest.mark.parametrize(("target", "layer", "factor"), [("red:0", "large", 1 / 100), ("strong:0", "held", 50)])
def test_a_pull_of_1_means_the_same_whatever_the_scale_of_layer_and_target(
    model: pl.Model, photo: Tensor, target: str, layer: str, factor: float
) -> None:
    usual = Accent.of(model, photo, "red:0", "held", None, QUICK)
    other = Accent.of(model, photo, target, layer, None, QUICK)
    assert other.unit() == pytest.approx(factor * usual.unit(), rel=1e-3)
    pictures = [accent.render(1.0).images for accent in (usual, other)]
    assert (pictures[0] - pictures[1]).abs().mean() < 0.005, "Adam's steps are almost free of scale"


def test_the_unit_is_what_a_free_ascent_gains_on_its_way(model: pl.Model, photo: Tensor) -> None:
    accent = Accent.of(model, photo, "red:0", "held", None, QUICK)
    steps = (0, 1, 2, 4, 8, 16, 32, 64)
    settings = {**QUICK, "steps": 64}
    free = pl.render(model, "red:0", start=photo, snapshots=steps, learning_rate=0.05, **settings)
    gains = {step: float((free.snapshots[step][0, 0] - photo[0]).mean()) for step in steps}
    squares = {step: float((free.snapshots[step][0] - photo).square().sum()) for step in steps}
    far = next((step for step in steps if squares[step] >= 0.5 * photo.square().sum()), 64)
    assert accent.unit() == pytest.approx(2 * gains[far] / squares[far], rel=0.02)


def test_a_photo_from_a_file_covers_the_picture_and_the_label_renders_the_same(model: pl.Model, tmp_path: Path) -> None:
    wide = torch.zeros(3, 32, 64)
    wide[1] = 0.5
    wide[0, :, 16:48] = 0.25  # the middle, which remains
    files.write(tmp_path / "wide.png", wide)
    made = pl.accentuate(model, tmp_path / "wide.png", "red:0", pull_layer="held", pull=100.0, **QUICK)
    assert (made.images[0].mean((1, 2)) - torch.tensor([0.25, 0.5, 0])).abs().max() < 0.02
    assert made.targets[0].startswith("red:0 + ")
    assert f"inversion:held@{tmp_path / 'wide.png'}" in made.targets[0]
    start = str(tmp_path / "wide.png")
    again = pl.render(model, made.targets[0], start=files.read(start), learning_rate=0.05, **QUICK)
    assert torch.allclose(again.images, made.images, atol=1e-4)


def test_a_network_of_another_range_sees_the_photo_in_it(photo: Tensor) -> None:
    signed = pl.Model(Colors(), size=16, value_range=(-1.0, 1.0))
    made = pl.accentuate(signed, photo, "red:0", pull_layer="held", pull=100.0, **QUICK)
    assert (made.images[0] - (2 * photo - 1)).abs().mean() < 0.02
    (score,), (distance,) = Accent.of(signed, photo, "red:0", "held", None, QUICK).judged(made.images)
    assert score == pytest.approx(float(made.images[0, 0].mean()), abs=1e-4)
    assert distance < 0.01


def test_mistakes_are_named(model: pl.Model, photo: Tensor, tmp_path: Path) -> None:
    def wrong(error: type[Exception], message: str, target: str = "red:0", given: object = photo, **settings: object):  # type: ignore[no-untyped-def]
        with pytest.raises(error, match=message):
            pl.accentuate(model, given, target, **{"pull_layer": "held", **QUICK, **settings})  # type: ignore[arg-type]

    wrong(RecipeError, "pull is a number from 0 .* not -1.0", pull=-1.0)
    wrong(TargetError, "no layer 'hled'", pull_layer="hled")
    wrong(TargetError, "one target is accentuated at a time, and red:0-1", target="red:0-1")
    wrong(TargetError, "red:1 does not rise from this photo", target="red:1", rescue=False)
    wrong(TargetError, "activations of held are all zero", given=torch.zeros(3, 16, 16))
    wrong(ImageError, r"a photo for .* \[3, h, w\], not \[1, 16, 16\]", given=photo[:1])
    wrong(RecipeError, "octaves does not go with a photo", octaves="16:8")
    wrong(RecipeError, "start does not go with a photo", start="a.png")
    wrong(ImageError, "no file", given=tmp_path / "no.png")


def test_under_transforms_the_photo_is_held_as_it_is(model: pl.Model, photo: Tensor) -> None:
    """A moved picture is compared with the photo moved alike; with the upright one, a strong pull would blur it."""
    moved = {**QUICK, "transforms": "jitter:6 rotate:-20..20"}
    held = pl.accentuate(model, photo, "red:0", pull=100.0, pull_layer="held", **moved)
    assert away(held, photo) < 1e-3
