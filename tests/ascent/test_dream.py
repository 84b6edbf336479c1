"""Laws of dreams: tiles give the whole gradient, octaves bring more, the photo stays, and mistakes are said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import pellucid as pl
from pellucid.ascent import dream as dream_module
from pellucid.ascent.dream_recipe import DreamRecipe
from pellucid.ascent.tiles import Tiles
from pellucid.errors import ImageError, PellucidError, RecipeError, TargetError
from pellucid.images.files import read, read_metadata, write
from pellucid.objectives.units import channel, layer

QUICK = {"octaves": 2, "steps": 3, "seed": 1}


def photo(height: int = 72, width: int = 100, channels: int = 3) -> Tensor:
    """Something smooth with some texture, well inside [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    coarse, fine = (torch.rand(1, channels, n, n, generator=generator) for n in (5, 24))
    size = (height, width)
    mixed = 0.7 * F.interpolate(coarse, size, mode="bilinear") + 0.3 * F.interpolate(fine, size, mode="bilinear")
    return 0.1 + 0.8 * mixed[0]


@pytest.fixture(scope="module")
def default() -> pl.Model:
    return pl.load("default")


@pytest.fixture(scope="module")
def small() -> pl.Model:
    """A network that takes no time: what is tested with it is not what it sees."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 3, 2, padding=1), nn.Tanh(), nn.Conv2d(6, 6, 3, 2, padding=1))
    return pl.Model(net, size=32, name="small")


class Pointwise(nn.Module):
    """1 x 1 convolutions: a pixel's gradient does not depend on what is around it."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.mix = nn.Conv2d(channels, 6, 1)
        self.bend = nn.Tanh()
        self.out = nn.Conv2d(6, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.bend(self.mix(x)))


def test_the_gradient_by_tiles_is_the_whole_pictures_where_surroundings_do_not_matter() -> None:
    """One step from the photo, with any tiles, is one step along the whole picture's gradient."""
    model, shown = pl.Model(Pointwise(), size=16), photo()
    leaf = shown[None].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(layer("out")(model.tap(leaf, ["out"])).sum(), leaf)
    expected = (shown + 0.01 * gradient[0] / gradient.abs().mean()).clamp(0, 1)
    for tile in (17, 40, 500):
        got = pl.dream(model, shown, "out", octaves=1, steps=1, rate=0.01, tile=tile)
        torch.testing.assert_close(got.image, expected, rtol=0, atol=1e-6)


def test_every_pixel_gets_gradient_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    model, gradients = pl.Model(Pointwise(), size=16), []
    original = dream_module._Run._gradient

    def seen(self: dream_module._Run, image: Tensor, tiles: Tiles, shift: tuple[int, int]) -> tuple[float, Tensor]:
        score, gradient = original(self, image, tiles, shift)
        gradients.append(gradient)
        return score, gradient

    monkeypatch.setattr(dream_module._Run, "_gradient", seen)
    pl.dream(model, photo(65, 143), "out:1", octaves=2, steps=4, tile=48)
    assert [gradient.shape[1:] for gradient in gradients[::4]] == [(46, 102), (65, 143)]
    assert all((gradient != 0).all() for gradient in gradients)


def test_a_dream_raises_its_layer_manyfold_and_octaves_raise_it_more(default: pl.Model) -> None:
    shown = photo(110, 128)

    def clean(image: Tensor) -> float:
        with torch.no_grad():
            return float(layer("mixed4a")(default.tap(image[None], ["mixed4a"])))

    settings = {"steps": 6, "rate": 0.01}
    one = pl.dream(default, shown, "mixed4a", octaves=1, **settings)
    several = pl.dream(default, shown, "mixed4a", octaves=2, **settings)
    assert [octave.size for octave in several.octaves] == [(79, 91), (110, 128)]
    assert clean(several.image) > 2 * clean(shown)
    assert clean(several.image) > 1.1 * clean(one.image)
    assert several.score > 2 * several.photo_score
    for octave in several.octaves:
        assert octave.scores[-1] > octave.scores[0]


def test_the_photo_stays_where_the_network_has_nothing_to_say() -> None:
    """No detail is lost by resizing: only the dream is enlarged, and a weak one leaves the photo's own pixels."""
    model, shown = pl.Model(Pointwise(), size=16), torch.rand(3, 70, 90, generator=torch.Generator().manual_seed(3))
    got = pl.dream(model, shown, "out:2", octaves=3, steps=2, rate=1e-6)
    torch.testing.assert_close(got.image, shown, rtol=0, atol=1e-4)


def test_the_photos_low_frequencies_stay(default: pl.Model) -> None:
    shown = photo(100, 125)
    got = pl.dream(default, shown, "mixed3b", octaves=2, steps=6)

    def coarse(image: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(image[None], (4, 5))

    assert (got.image - shown).abs().mean() > 0.02
    assert (coarse(got.image) - coarse(shown)).abs().mean() < 0.04


def test_the_same_seed_gives_the_same_picture(small: pl.Model) -> None:
    one, again, other = (pl.dream(small, photo(), "2", octaves=2, steps=3, seed=s) for s in (1, 1, 2))
    assert torch.equal(one.image, again.image)
    assert one.octaves == again.octaves
    assert not torch.equal(one.image, other.image)


def test_running_out_of_memory_changes_nothing_but_the_batch(small: pl.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pl.dream(small, photo(90, 120), "2:3", tile=64, **QUICK)
    original = dream_module._Run._both_ways

    def scarce(self: dream_module._Run, shown: Tensor) -> tuple[Tensor, Tensor]:
        if len(shown) > limit:
            raise MemoryError
        return original(self, shown)

    monkeypatch.setattr(dream_module._Run, "_both_ways", scarce)
    limit = 1
    torch.testing.assert_close(pl.dream(small, photo(90, 120), "2:3", tile=64, **QUICK).image, whole.image)
    limit = 0
    with pytest.raises(RecipeError, match=r"one of 64 x 64 px; take a smaller one \(--tile\)"):
        pl.dream(small, photo(90, 120), "2:3", tile=64, **QUICK)


def test_a_network_sees_its_own_value_range_and_channels() -> None:
    class Sees(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(5, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            ranges.append((float(x.detach().min()), float(x.detach().max())))
            return self.conv(x)

    ranges: list[tuple[float, float]] = []
    model = pl.Model(Sees(), size=16, channels=5, value_range=(-1.0, 3.0))
    shown = photo(channels=5)
    shown[0, 0, 0], shown[0, 0, 1] = 0.0, 1.0
    _ = model.layers
    ranges.clear()
    got = pl.dream(model, shown, "conv:0", **QUICK)
    assert got.image.shape == shown.shape
    assert 0 <= got.image.min() < got.image.max() <= 1
    assert min(low for low, _ in ranges) < -0.9
    assert max(high for _, high in ranges) > 2.9


def test_any_target_can_be_dreamt_of(default: pl.Model) -> None:
    for target in ["mixed3a:3", "logit:goldfish", "conv1 + 0.5*conv2:7", -channel("conv1", 2)]:
        got = pl.dream(default, photo(64, 64), target, octaves=1, steps=1, tile=64)
        assert got.score > got.photo_score, target
        assert got.status.is_good


def test_a_guide_brings_what_it_shows() -> None:
    """Of two colour detectors the layer's own dream follows both; with a red guide the photo turns red."""
    net = nn.Conv2d(3, 2, 1, bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[2.0, -1, -1], [-1.0, -1, 2]])[:, :, None, None])
    model = pl.Model(nn.Sequential(net, nn.ReLU(), nn.AvgPool2d(4)), size=16)
    shown = torch.full((3, 64, 64), 0.5) + 0.1 * (photo(64, 64) - 0.5)  # both fire in places
    shown[0] += 0.05
    shown[2, :, 32:] += 0.2
    red, blue = torch.zeros(3, 30, 50), torch.zeros(3, 30, 50)
    red[0], blue[2] = 1, 1
    by_red, by_blue = (pl.dream(model, shown, "2", guide=guide, **QUICK).image - shown for guide in (red, blue))
    assert by_red[0].mean() > 0 > by_red[2].mean()
    assert by_blue[2].mean() > 0 > by_blue[0].mean()


def test_a_stopped_dream_gives_what_there_is_at_full_size(small: pl.Model) -> None:
    steps = []

    def stop(progress: object) -> bool:
        steps.append(progress)
        return len(steps) == 4

    got = pl.dream(small, photo(150, 140), "2", octaves=3, steps=6, callback=stop)
    assert got.status.state == "interrupted"
    assert got.image.shape == (3, 150, 140)
    assert not torch.equal(got.image, photo(150, 140))
    assert len(got.octaves) == 1
    with pytest.raises(KeyboardInterrupt):
        pl.dream(small, photo(), "2", callback=lambda _: True)  # before there is anything


def test_progress_counts_every_tile(small: pl.Model) -> None:
    seen: list[pl.Progress] = []
    got = pl.dream(small, photo(90, 150), "2", tile=64, callback=seen.append, **QUICK)
    last = seen[-1]
    assert last.image_steps == last.total_image_steps > len(got.octaves) * 3
    assert last.fields["description"] == "octave 2/2"


def test_octaves_are_kept_where_asked_for(small: pl.Model) -> None:
    got = pl.dream(small, photo(100, 120), "2", keep=True, **QUICK)
    assert [octave.image.shape[1:] for octave in got.octaves if octave.image is not None] == [(71, 86), (100, 120)]
    assert got.octaves[1].image is not None
    torch.testing.assert_close(got.octaves[1].image, got.image)
    assert all(o.image is None for o in pl.dream(small, photo(), "2", **QUICK).octaves)


def test_a_saved_dream_says_where_it_comes_from(small: pl.Model, tmp_path: Path) -> None:
    write(tmp_path / "photo.png", photo())
    got = pl.dream(small, tmp_path / "photo.png", "2:5", **QUICK)
    path = got.save(tmp_path / "dream.png")
    record = json.loads(read_metadata(path)["pellucid"])
    assert record["target"] == "2:5"
    assert record["model_hash"] == small.weights_hash
    assert DreamRecipe.of(record["recipe"]) == got.recipe
    assert len(record["octaves"][0]["scores"]) == 3
    torch.testing.assert_close(read(path), got.image, rtol=0, atol=0.5 / 255 + 1e-6)
    assert got._repr_png_().startswith(b"\x89PNG")


def test_a_target_without_gradient_leaves_the_photo() -> None:
    conv = nn.Conv2d(3, 2, 1)
    with torch.no_grad():
        conv.weight.zero_()
        conv.bias.fill_(-1)  # type: ignore[union-attr]
    model = pl.Model(nn.Sequential(conv, nn.ReLU()), size=16)
    got = pl.dream(model, photo(), "1:0", **QUICK)
    assert got.status.state == "dead"
    assert torch.equal(got.image, photo())


def test_a_gradient_that_is_no_number_ends_the_dream_before_it_spoils_the_picture() -> None:
    class Breaks(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.sqrt(x - x)  # 0, and its gradient is none

    model = pl.Model(nn.Sequential(Breaks()), size=16)
    got = pl.dream(model, photo(), "0:0", **QUICK)
    assert got.status.state == "nonfinite"
    assert torch.equal(got.image, photo())


def test_a_size_enlarges_or_reduces_the_photo(small: pl.Model) -> None:
    assert pl.dream(small, photo(30, 37), "2", size=90, octaves=1, steps=1).image.shape == (3, 73, 90)
    assert pl.dream(small, photo(140, 200), "2", size=100, octaves=1, steps=1).image.shape == (3, 70, 100)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"target": "mixed9"}, TargetError, "no layer 'mixed9' in default. Did you mean"),
        ({"target": "mixed3a:*"}, TargetError, r"a dream has one target, and 'mixed3a:\*' is several"),
        ({"guide": photo(), "target": "mixed3a:1"}, TargetError, "a guide goes with a whole layer"),
        ({"photo": photo(20, 300)}, ImageError, r"20 x 300 px is too small for default, made for 64 x 64 px"),
        ({"photo": photo(channels=4)}, ImageError, r"a file or a tensor \[3, h, w\], not \[4, 72, 100\]"),
        ({"photo": photo() * 255}, ImageError, r"a photo has floats in \[0, 1\], not float32 from"),
        ({"photo": photo() * float("nan")}, ImageError, "a photo has floats in"),
        ({"photo": "nowhere.png"}, ImageError, "no file 'nowhere.png'"),
        ({"guide": "nowhere.png"}, ImageError, "no file 'nowhere.png'"),
        ({"tile": 1}, RecipeError, r"tile 1 \(--tile\) is too small to see anything in; take 32 px or more"),
        ({"tile": 60_000, "size": 30_000, "photo": photo()}, RecipeError, r"\(--(size|tile)\): .* GiB are free"),
        ({"size": 900_000}, RecipeError, r"size 900000 \(--size\): a dream of 648000 x 900000 px takes"),
        ({"steps": 0}, RecipeError, "steps must be at least 1, not 0"),
        ({"octaves": True}, RecipeError, "octaves is a whole number, not True"),
        ({"octave_scale": 1.0}, RecipeError, "octave_scale is a number above 1, not 1.0"),
        ({"rate": float("nan")}, RecipeError, "rate is a number above 0, not nan"),
        ({"octave": 3}, RecipeError, "no setting 'octave' of a dream. Did you mean 'octaves'"),
        ({"device": "abacus"}, RecipeError, "no device 'abacus' here"),
    ],
)
def test_mistakes_are_one_line(
    default: pl.Model, settings: dict[str, object], error: type[PellucidError], message: str
) -> None:
    arguments = {"photo": photo(), "target": "mixed3a", **settings}
    with pytest.raises(error, match=message) as raised:
        pl.dream(default, **arguments)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)


def test_a_tile_that_the_network_cannot_run_on_is_named() -> None:
    model = pl.Model(nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.Flatten(), nn.Linear(4 * 36, 5)), size=48)
    with pytest.raises(
        RecipeError, match=r"tile 64 \(--tile\) does not do: .* cannot run on pictures of 3 x 64 x 64 px"
    ):
        pl.dream(model, photo(), "0", tile=64)
    assert {octave.tile for octave in pl.dream(model, photo(), "0", **QUICK).octaves} == {(48, 48)}
