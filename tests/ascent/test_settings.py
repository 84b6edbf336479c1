"""What each setting of the loop does to a picture: the mathematics it names, seen from outside."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.ascent.schedule import rate_at
from pellucid.errors import ImageError, RecipeError
from pellucid.images.generator import Generator
from pellucid.objectives.penalties import l1
from pellucid.objectives.probes import linear_probe
from pellucid.objectives.units import channel

QUICK = {"steps": 10, "size": 24, "color": "none", "trial": False, "transforms": "none", "precision": "float64"}


@pytest.fixture(scope="module")
def model() -> pl.Model:
    torch.manual_seed(2)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2)
    )
    return pl.Model(net, mean=(0.5,) * 3, std=(0.25,) * 3, size=24)


@pytest.fixture(scope="module")
def usual(model: pl.Model) -> pl.Rendering:
    return pl.render(model, "3:2", image="pixels", **QUICK)


def test_penalties_move_the_picture_but_are_not_reported(model: pl.Model, usual: pl.Rendering) -> None:
    grey = pl.render(model, "3:2", image="pixels", penalties="l1:1", **QUICK)
    assert (grey.images - 0.5).abs().mean() < 0.3 * (usual.images - 0.5).abs().mean()
    assert grey.history[-1] < grey.scores  # the climbed score holds the penalty
    by_hand = pl.render(model, channel("3", 2) - 1.0 * l1(), image="pixels", seed=0, **QUICK)
    assert by_hand.scores < grey.scores  # here the penalty was asked for as part of the objective


def test_penalties_do_not_hide_a_blocked_unit() -> None:
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())
    with torch.no_grad():
        net[0].weight.zero_()
        net[0].bias.fill_(-1.0)
    model = pl.Model(net, mean=(0.5,) * 3, std=(0.25,) * 3, size=16)
    run = pl.render(model, "1:0", penalties="tv:0.1", trial=False, steps=40, size=16)
    assert run.status[0].state == "dead"


def test_a_penalty_needs_a_name_a_weight_and_what_it_is_about(model: pl.Model) -> None:
    for text, message in {
        "l1": "needs a weight",
        "l9:1": "no penalty 'l9'",
        " ": "name none",
        "alpha:1": "set alpha",
    }.items():
        with pytest.raises(RecipeError, match=message):
            pl.render(model, "3:2", penalties=text, **QUICK)


def test_a_price_for_opacity_makes_a_picture_transparent(model: pl.Model) -> None:
    free = pl.render(model, "3:2", alpha=True, **{**QUICK, "steps": 60})
    priced = pl.render(model, "3:2", alpha=True, penalties="alpha:5", **{**QUICK, "steps": 60})
    assert free.images.shape == (1, 4, 24, 24)
    assert priced.images[0, 3].mean() < 0.4 * free.images[0, 3].mean()
    one_channel = pl.Model(nn.Sequential(nn.Conv2d(1, 2, 3)), mean=(0.5,), std=(0.25,), size=16)
    with pytest.raises(RecipeError, match="alpha needs a network of 3 channels"):
        pl.render(one_channel, "0:0", alpha=True, trial=False)


def test_the_background_of_a_transparent_picture_is_another_at_every_step(model: pl.Model) -> None:
    run = pl.render(model, "3:2", alpha=True, learning_rate=1e-12, sd=0.0, **QUICK)
    assert run.history[:, 0].unique().numel() == len(run.history)


@pytest.mark.parametrize(
    "settings",
    [
        {"relu_gradient": "identity"},
        {"max_pool_gradient": "l2"},
        {"max_pool_gradient": "average"},
        {"optimizer": "nadam"},
        {"optimizer": "adamw"},
        {"optimizer": "plain"},
        {"blur": (1.0, 0.5)},
        {"schedule": "linear", "final_rate": 0.01},
    ],
    ids=str,
)
def test_each_setting_changes_the_picture(model: pl.Model, usual: pl.Rendering, settings: dict[str, object]) -> None:
    changed = pl.render(model, "3:2", image="pixels", **QUICK, **settings)
    assert not torch.allclose(changed.images, usual.images, atol=1e-4)
    assert changed.scores > changed.history[0]


def test_a_blurred_picture_has_less_high_frequency(model: pl.Model, usual: pl.Rendering) -> None:
    def roughness(run: pl.Rendering) -> float:
        return float((run.images[..., 1:] - run.images[..., :-1]).abs().mean())

    blurred = pl.render(model, "3:2", image="pixels", blur=(1.0, 1.0), **QUICK)
    assert roughness(blurred) < 0.6 * roughness(usual)
    with pytest.raises(RecipeError, match="blur goes from a picture back"):
        pl.render(model, "3:2", image="cppn", blur=(1.0, 0.5), **QUICK)


def test_a_schedule_falls_to_the_final_rate(model: pl.Model) -> None:
    falling = {"schedule": "cosine", "final_rate": 0.1, "learning_rate": 0.1}
    same = pl.render(model, "3:2", **QUICK, **falling)
    constant = pl.render(model, "3:2", **QUICK, learning_rate=0.1)
    torch.testing.assert_close(same.images, constant.images)


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [("constant", [0.2, 0.2, 0.2]), ("linear", [0.2, 0.175, 0.1]), ("cosine", [0.2, 0.1853553, 0.1])],
)
def test_a_schedule_is_its_curve_and_the_steps_follow_it(model: pl.Model, schedule: str, rates: list[float]) -> None:
    recipe = pl.Recipe(schedule=schedule, learning_rate=0.2, final_rate=0.1)
    found = [rate_at(recipe, done) for done in (0.0, 0.25, 1.0)]
    assert found == pytest.approx(rates if schedule != "constant" else [0.2] * 3)
    settings = {**QUICK, "steps": 10, "image": "pixels", "squash": "unbounded", "learning_rate": 0.01}
    run = pl.render(model, "3:2", schedule=schedule, final_rate=0.0, snapshots=(0, 1, 9, 10), **settings)
    first, last = ((run.snapshots[n + 1] - run.snapshots[n]).abs().mean() for n in (0, 9))
    assert (last < 0.3 * first) == (schedule != "constant")


def test_a_level_stops_the_image_that_reaches_it(model: pl.Model) -> None:
    run = pl.render(model, ["3:2", "3:5"], level=0.2, **{**QUICK, "steps": 200})
    assert all(status.state == "converged" for status in run.status)
    for row, status in enumerate(run.status):
        history = run.history[: status.step, row]
        assert history[-1] >= 0.2 > history[:-1].max()


@pytest.mark.parametrize(("image", "schedule"), [("fourier", "constant"), ("maco", "cosine")])
def test_every_kind_of_image_has_its_own_schedule(model: pl.Model, image: str, schedule: str) -> None:
    settings = {**QUICK, "color": "tiny-imagenet", "image": image}
    usual = pl.render(model, "3:2", **settings)
    given = pl.render(model, "3:2", schedule=schedule, **settings)
    other = pl.render(model, "3:2", schedule="linear", **settings)
    assert torch.equal(usual.images, given.images)
    assert not torch.equal(usual.images, other.images)


@pytest.mark.parametrize(("image", "rate"), [("fourier", 0.1), ("pyramid", 0.05), ("maco", 0.3), ("cppn", 0.005)])
def test_every_kind_of_image_rises_at_its_own_rate(model: pl.Model, image: str, rate: float) -> None:
    settings = {**QUICK, "color": "tiny-imagenet", "steps": 30}
    run = pl.render(model, "3:2", image=image, **settings)
    assert run.resolved.learning_rate == rate
    assert run.scores > run.history[0]
    with_its_rate = pl.render(model, "3:2", image=image, learning_rate=rate, **settings)
    assert torch.equal(with_its_rate.images, run.images)


def test_members_of_a_generator_start_from_a_sample_each() -> None:
    model = pl.Model(nn.Sequential(nn.Conv2d(3, 4, 5, 2), nn.ReLU()), size=64)
    settings = {"steps": 2, "image": "generator", "transforms": "none", "precision": "float32", "snapshots": (0,)}
    made = pl.render(model, "0:1", members=3, **settings)
    starts = made.snapshots[0].flatten(1)
    assert torch.pdist(starts).min() > 1, "other samples"
    assert made.parameters.shape == (3, 128)
    assert made.resolved.learning_rate == 0.05
    with pytest.raises(ImageError, match="size: the generator makes 64 x 64 px, not 24 x 24"):
        pl.render(model, "0:1", size=24, **settings)


class Painter(nn.Module):
    """Eight numbers to a picture."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.paint = nn.Linear(8, 3 * 24 * 24)

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.paint(latent)).view(-1, 3, 24, 24)


def test_a_generators_latents_are_optimised_and_held_by_its_prior(model: pl.Model) -> None:
    painter = Painter()

    def make(num_images: int, size: tuple[int, int]) -> Generator:
        return Generator(num_images, size, painter, latent_shape=(8,))

    settings = {**QUICK, "precision": "float32", "steps": 40}
    free = pl.render(model, ["3:2", "3:5"], make_image=make, **settings)
    held = pl.render(model, ["3:2", "3:5"], make_image=make, prior=1.0, **settings)
    assert free.parameters.shape == (2, 8)
    assert (free.scores > free.history[0]).all()
    assert held.parameters[0].norm() < 0.5 * free.parameters[0].norm()
    with pytest.raises(RecipeError, match="prior is the weight of a generator's prior"):
        pl.render(model, "3:2", prior=1.0, **QUICK)
    with pytest.raises(ImageError, match="size"):
        pl.render(model, "3:2", make_image=make, **{**settings, "size": 32})


def test_probes_have_names_by_the_caller(model: pl.Model) -> None:
    probe = linear_probe("3", torch.eye(8)[2])
    named = pl.render(model, "probe:eyes", probes={"eyes": probe}, **QUICK)
    assert named.scores > named.history[0]


def test_a_maker_of_images_and_a_start_work_in_octaves_too(model: pl.Model, tmp_path: Path) -> None:
    photo = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(0))
    run = pl.render(model, "3:2", octaves="24:1:1e-9", start=photo, image="pixels", color="none", trial=False)
    torch.testing.assert_close(run.images[0], photo, atol=0.01, rtol=0)
    run.save(tmp_path / "a.png")
    assert (tmp_path / "a.png").exists()
