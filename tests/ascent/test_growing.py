"""Octaves and several starts: runs of the ascent one after another, side by side."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.ascent import growing
from pellucid.ascent.growing import octave_recipes
from pellucid.ascent.octaves import Octave, parse_octaves
from pellucid.ascent.recipe import Recipe
from pellucid.errors import ModelError, RecipeError

QUICK = {"precision": "float64", "color": "none", "trial": False, "transforms": "jitter:2"}


@pytest.fixture(scope="module")
def model() -> pl.Model:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(3, 8, 5, 2, 2), nn.Tanh(), nn.Conv2d(8, 8, 3, 1, 1), nn.Tanh())
    return pl.Model(net, mean=(0.5,) * 3, std=(0.25,) * 3, size=24)


def test_octaves_are_read_from_text_or_by_name() -> None:
    assert parse_octaves("32:8 48:4:0.2..0.1 64:2:0.1:1.5..0.5") == (
        Octave(32, 8),
        Octave(48, 4, (0.2, 0.1)),
        Octave(64, 2, (0.1, 0.1), (1.5, 0.5)),
    )
    assert parse_octaves("feature-maps")[0] == Octave(299, 100, (0.4, 0.3), (2.4, 0.8))


@pytest.mark.parametrize("text", ["32", "32:x", "0:4", "32:4:0", "32:4:0.1..b", "32:4:0.1:1..2:3", " ", "32:4:nan"])
def test_octaves_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="octave"):
        Recipe(octaves=text)


def test_an_octave_has_its_size_steps_rates_and_blur() -> None:
    first, second = octave_recipes(Recipe(octaves="32:8 48:4:0.2..0.1:1..0.5", snapshots=(0, 8, 10), refine=3))
    assert (first.size, first.steps, first.rate, first.final_rate, first.blur) == ((32, 32), 8, 0.1, 0.1, None)
    assert (second.size, second.steps, second.rate, second.final_rate) == ((48, 48), 4, 0.2, 0.1)
    assert (second.blur, second.schedule) == ((1.0, 0.5), "linear")
    assert (first.snapshots, second.snapshots) == ((0, 8), (2,))
    assert (first.refine, second.refine) == (0, 3)


def test_an_octave_goes_on_with_the_picture_of_the_one_before(model: pl.Model) -> None:
    first = pl.render(model, ["3:2", "3:5"], size=16, steps=6, **QUICK)
    both = pl.render(model, ["3:2", "3:5"], octaves="16:6 32:1:1e-9", snapshots=(0, 6), **QUICK)
    assert both.images.shape == (2, 3, 32, 32)
    assert [status.step for status in both.status] == [7, 7]
    assert both.history.shape == (7, 2)
    torch.testing.assert_close(both.history[:6], first.history, rtol=1e-6, atol=1e-6)
    enlarged = nn.functional.interpolate(first.images, size=32, mode="bilinear", antialias=True)
    torch.testing.assert_close(both.snapshots[6], enlarged, rtol=1e-5, atol=1e-5)
    small = nn.functional.interpolate(both.images, size=16, mode="bilinear", antialias=True)
    assert float((small - first.images).abs().mean()) < 0.02


def test_octaves_do_not_couple_pictures_nor_depend_on_how_many_go_together(model: pl.Model) -> None:
    together = pl.render(model, ["3:2", "3:5", "3:6"], octaves="16:5 24:5", batch=3, **QUICK)
    apart = pl.render(model, ["3:2", "3:5", "3:6"], octaves="16:5 24:5", batch=1, **QUICK)
    torch.testing.assert_close(together.images, apart.images, rtol=1e-6, atol=1e-6)


def test_a_stopped_run_gives_every_picture_that_has_begun_at_the_last_size(model: pl.Model) -> None:
    run = pl.render(
        model,
        ["3:2", "3:5"],
        octaves="16:5 24:50",
        batch=2,
        lanes=1,
        callback=lambda progress: progress.image_steps > 16,
        **QUICK,
    )
    assert run.images.shape == (2, 3, 24, 24)
    assert [status.state for status in run.status] == ["interrupted"] * 2
    assert all(5 < status.step < 55 for status in run.status)
    early = pl.render(
        model, "3:2", octaves="16:50 24:5", batch=1, callback=lambda progress: progress.image_steps > 3, **QUICK
    )
    assert early.images.shape == (1, 3, 24, 24)
    assert early.status[0].state == "interrupted"


def test_a_picture_that_ends_in_an_early_octave_does_not_cost_the_others_theirs() -> None:
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())
    with torch.no_grad():
        net[0].weight[0].zero_()
        net[0].bias.fill_(-1.0)
        net[0].weight[1].fill_(0.1)
        net[0].bias[1] = 1.0
    both = pl.render(pl.Model(net, size=16), ["1:0", "1:1"], octaves="16:40 24:5", **QUICK)
    assert [status.state for status in both.status] == ["dead", "done"]
    assert both.images.shape == (2, 3, 24, 24)
    assert both.parameters.shape[0] == 2


def test_an_octave_that_memory_does_not_hold_is_refused_before_the_first_step(
    model: pl.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "free_bytes", lambda device: 2**10)
    with pytest.raises(RecipeError, match="octaves grow to 200 px"):
        pl.render(model, "3:2", octaves="16:5 200:5", **QUICK)
    monkeypatch.undo()
    with pytest.raises(ModelError, match="400000 x 400000 px do not fit into memory"):
        pl.render(model, "3:2", octaves="16:5 400000:5", **QUICK)
    with pytest.raises(RecipeError, match="octaves have sizes"):
        pl.render(model, "3:2", octaves="16:5", size=24)


def test_the_best_of_several_starts_is_kept(model: pl.Model) -> None:
    settings = {**QUICK, "steps": 8, "size": 24, "sd": 1.0}
    one = pl.render(model, ["3:2", "3:5"], **settings)
    best = pl.render(model, ["3:2", "3:5"], best_of=4, **settings)
    assert best.targets == ("3:2", "3:5")
    assert (best.scores >= one.scores).all()
    assert (best.scores > one.scores).any()
    more = pl.render(model, ["3:2", "3:5"], best_of=4, batch=3, **settings)
    torch.testing.assert_close(more.images, best.images, rtol=1e-6, atol=1e-6)
    assert [one.targets for one in pl.stream(model, ["3:2", "3:5"], best_of=2, **settings)] == [("3:2",), ("3:5",)]
