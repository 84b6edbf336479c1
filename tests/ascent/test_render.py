"""What a user asks of `render`: known optima, histories, snapshots, starts, files and clear errors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

import pellucid as pl
from pellucid.errors import RecipeError
from pellucid.images.files import read, read_metadata
from pellucid.images.sidecars import read_sidecar
from pellucid.objectives.units import channel


class RedDetector(nn.Module):
    """One channel that fires for red and is held back by green and blue."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([[1.0, -1.0, -1.0], [-1.0, 1.0, 1.0]])[:, :, None, None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).mean((2, 3))


class ChannelsLast(nn.Module):
    """Works on `[b, h, w, c]` inside, as Swin does; channel 1 of `mix` is green minus the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(3, 7, bias=False)
        with torch.no_grad():
            self.mix.weight.zero_()
            self.mix.weight[1] = torch.tensor([-1.0, 1.0, -1.0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.mix(x.permute(0, 2, 3, 1)).mean((1, 2))


class Tokens(nn.Module):
    """A class token, then 4 x 4 patches; unit 2 of `mix` is the blueness of a patch, 0 for the class token."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 3, 4, 4, bias=False)
        self.mix = nn.Linear(3, 5, bias=False)
        with torch.no_grad():
            self.patches.weight.zero_()
            for c in range(3):
                self.patches.weight[c, c] = 1 / 16
            self.mix.weight.zero_()
            self.mix.weight[2] = torch.tensor([-1.0, -1.0, 1.0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([torch.zeros_like(tokens[:, :1]), tokens], 1)
        return self.mix(tokens)[:, 0]


# Every pixel goes its own way to its bound, so that the optimum is reached exactly.
PLAIN = {"steps": 100, "learning_rate": 0.5, "image": "pixels", "color": "none", "transforms": "none"}


@pytest.fixture(scope="module")
def red() -> pl.Model:
    return pl.Model(RedDetector(), size=16)


@pytest.mark.parametrize("image", ["fourier", "pixels"])
@pytest.mark.parametrize("squash", ["sigmoid", "clip"])
def test_red_detector_paints_red(red: pl.Model, image: str, squash: str) -> None:
    got = pl.render(red, "conv:0", **{**PLAIN, "image": image, "squash": squash})
    # The optimum is 1: pure red. Waves under a sigmoid overshoot in places, where no gradient brings them back.
    waves = image == "fourier" and squash == "sigmoid"
    assert got.scores[0] > (0.7 if waves else 0.9)
    means = got.images[0].mean((1, 2))
    assert means[0] > 0.9
    assert means[1] < 0.15
    assert means[2] < 0.15


def test_a_negative_target_paints_the_opposite(red: pl.Model) -> None:
    means = pl.render(red, "-conv:0", **PLAIN).images[0].mean((1, 2))
    assert means[0] < 0.07
    assert means[1] > 0.93
    assert means[2] > 0.93


def test_a_channels_last_network_reaches_its_known_optimum() -> None:
    model = pl.Model(ChannelsLast(), size=12)
    assert model.layers["mix"].axes == "bhwc"
    got = pl.render(model, ["mix:1", "mix:1@2:5,3:9"], **PLAIN)
    assert got.scores.min() > 0.9  # optimum 1: pure green
    inside = got.images[1][:, 2:5, 3:9].mean((1, 2))
    assert inside[1] > 0.9
    assert inside[0] < 0.1


def test_a_token_network_reaches_its_known_optimum() -> None:
    model = pl.Model(Tokens(), size=16)
    layer = model.layers["mix"]
    assert (layer.prefix_tokens, layer.grid) == (1, (4, 4))
    got = pl.render(model, ["mix:2", "mix:2@1,3"], **PLAIN)
    assert got.scores.min() > 0.9  # optimum 1: pure blue; a mean over 17 tokens could not pass 16/17
    patch = got.images[1][2, 4:8, 12:16]
    assert patch.mean() > 0.95


def test_a_token_outside_the_prefix_is_not_reached_by_cls() -> None:
    got = pl.render(pl.Model(Tokens(), size=16), "mix:2@cls", **PLAIN)
    assert got.status[0].state == "dead"  # the class token is constant


def test_networks_of_one_and_four_channels_are_rendered(tmp_path: Path) -> None:
    for channels in (1, 4):
        conv = nn.Conv2d(channels, 2, 3, padding=1)
        model = pl.Model(nn.Sequential(conv, nn.Flatten()), channels=channels, size=(16, 20))
        got = pl.render(model, "0:1", steps=8)
        assert got.images.shape == (1, channels, 16, 20)
        got.save(tmp_path / f"{channels}.png")


def test_a_declared_value_range_is_what_the_network_gets() -> None:
    model = pl.Model(RedDetector(), size=8, value_range=(-1.0, 1.0))
    got = pl.render(model, "conv:0", **PLAIN)
    assert got.scores[0] > 2.7  # the optimum is 3: red 1, green and blue -1
    assert got.images.min() < -0.9
    assert got.pictures.min() >= 0


def test_two_networks_share_one_picture() -> None:
    other = RedDetector()
    with torch.no_grad():
        other.conv.weight[0] = torch.tensor([-0.2, 1.0, -1.0])[:, None, None]
    pair = pl.Ensemble(a=pl.Model(RedDetector(), size=12), b=pl.Model(other, size=12))
    got = pl.render(pair, "a/conv:0 + 2*b/conv:0", **PLAIN)
    means = got.images[0].mean((1, 2))  # by hand: red 0.6, green 1, blue -3
    assert means[0] > 0.9
    assert means[1] > 0.9
    assert means[2] < 0.1


def test_history_and_snapshots_follow_the_run(red: pl.Model) -> None:
    got = pl.render(red, ["conv:0", "conv:1"], steps=12, snapshots=(0, 3, 12), transforms="none")
    assert got.history.shape == (12, 2)
    assert got.history[-1, 0] > got.history[0, 0]
    assert sorted(got.snapshots) == [0, 3, 12]
    torch.testing.assert_close(got.snapshots[12], got.images)
    contrast = [got.snapshots[step][0].sub(0.5).abs().mean() for step in (0, 3, 12)]
    assert contrast[0] < contrast[1] < contrast[2]


def test_an_image_stops_on_its_plateau(red: pl.Model) -> None:
    got = pl.render(red, "conv:0", **{**PLAIN, "steps": 500, "plateau": 10})
    assert got.status[0].state == "converged"
    assert 20 <= got.status[0].step < 300
    assert got.scores[0] > 0.95


def test_a_run_may_start_from_a_picture(red: pl.Model, tmp_path: Path) -> None:
    photo = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    got = pl.render(red, "conv:0", start=photo, steps=1, snapshots=(0,), transforms="none")
    assert (got.snapshots[0][0] - photo).abs().mean() < 0.01
    Image.new("RGB", (16, 16), (0, 128, 255)).save(tmp_path / "photo.png")
    got = pl.render(red, "conv:0", recipe={"start": str(tmp_path / "photo.png"), "snapshots": (0,)}, steps=1)
    assert (got.snapshots[0][0].mean((1, 2)) - torch.tensor([0, 128 / 255, 1])).abs().max() < 0.02


def test_each_picture_may_start_from_one_of_its_own(red: pl.Model) -> None:
    photos = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    got = pl.render(red, ["conv:0", "conv:1"], start=photos, members=2, steps=1, snapshots=(0,), best_of=2, batch=3)
    assert (got.snapshots[0] - photos).abs().mean((1, 2, 3)).max() < 0.01
    with pytest.raises(RecipeError, match=r"one for each of 2, not 4"):
        pl.render(red, ["conv:0", "conv:1"], start=photos, steps=1)


def test_streaming_gives_each_picture_as_it_finishes(red: pl.Model) -> None:
    whole = pl.render(red, ["conv:0", "conv:1", "-conv:1"], steps=4, batch=2)
    parts = list(pl.stream(red, ["conv:0", "conv:1", "-conv:1"], steps=4, batch=2))
    assert [part.targets[0] for part in parts] == ["conv:0", "conv:1", "-conv:1"]
    assert torch.equal(torch.cat([part.images for part in parts]), whole.images)


def test_a_saved_picture_says_where_it_comes_from(red: pl.Model, tmp_path: Path) -> None:
    got = pl.render(red, ["conv:0", "conv:1"], steps=4)
    got[0].save(tmp_path / "one.png")
    assert '"target": "conv:0"' in read_metadata(tmp_path / "one.png")["pellucid"]
    tensors, texts = read_sidecar(tmp_path / "one.safetensors")
    assert torch.equal(tensors["images"], got.images[:1])
    assert red.weights_hash in texts["pellucid"]
    got.save(tmp_path / "sheet.png")
    assert read(tmp_path / "sheet.png").shape[2] > 100
    with pytest.raises(pl.PellucidError, match="cannot write"):
        got.save(tmp_path / "nowhere" / "x.png")


def test_a_rendering_can_be_indexed_and_shows_itself(red: pl.Model) -> None:
    got = pl.render(red, ["conv:0", "conv:1"], steps=2)
    assert got[-1].targets == ("conv:1",)
    assert len(got[0:2]) == 2
    assert got._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(IndexError, match="no image 2 in a rendering of 2"):
        got[2]


def test_objectives_and_targets_are_the_same_thing(red: pl.Model) -> None:
    by_text = pl.render(red, "conv:0", steps=3)
    by_value = pl.render(red, channel("conv", 0), steps=3)
    assert torch.equal(by_text.images, by_value.images)


@pytest.mark.parametrize(
    ("target", "settings", "message"),
    [
        ("cnov:0", {}, "no layer 'cnov' in RedDetector. Did you mean 'conv'?"),
        ("conv:2", {}, "channel 2 is out of range"),
        ("conv:0@99,0", {}, "outside the 16x16 map"),
        ("logit:7", {}, "class 7 is out of range"),
        ([], {}, "no target was given"),
        ("conv:0", {"stpes": 3}, "no setting 'stpes' in a recipe. Did you mean 'steps'?"),
        ("conv:0", {"transforms": "lucdi"}, "Did you mean 'lucid'"),
        ("conv:0", {"device": "tpu"}, "no device 'tpu' here"),
        ("conv:0", {"steps": 0}, "steps must be at least 1"),
        ("conv:0", {"steps": "many"}, "steps is a whole number, not 'many'"),
    ],
)
def test_mistakes_are_named_before_the_first_step(
    red: pl.Model, target: str | list[str], settings: dict[str, object], message: str
) -> None:
    with pytest.raises(pl.PellucidError) as caught:
        pl.render(red, target, **settings)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bar_shows_how_far_a_run_is(red: pl.Model, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[pl.Progress] = []
    got = pl.render(red, ["conv:0", "conv:1"], steps=4, progress=True, callback=seen.append)
    assert len(got) == 2
    assert [progress.image_steps for progress in seen] == [2, 4, 6, 8]
    assert seen[-1].seconds_left == 0
    assert seen[0].fields["total"] == 8
    capsys.readouterr()
