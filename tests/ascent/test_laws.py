"""The laws of the loop: neighbours, failures, repetition and interruption change no picture."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.ascent import rescue, slots
from pellucid.ascent.jobs import Job
from pellucid.ascent.plan import make_plan
from pellucid.objectives.metrics import metric
from pellucid.objectives.objective import Custom, Objective
from pellucid.objectives.units import channel

QUICK = {"steps": 6, "size": 24, "precision": "float64", "color": "none"}


class TwoLayers(nn.Module):
    """A small random network: convolution, ReLU, convolution, ReLU, linear readout."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first = nn.Conv2d(3, 8, 5, 2, 2)
        self.act = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(8, 8, 3, 1, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.second(self.act(self.first(x))))
        return self.head(x.mean((2, 3)))


class Detectors(nn.Module):
    """Channel 0 sees red, 1 its lack; 2 is off until 0.9 red; 3 is always off."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.weight[0, 0] = 1
            self.conv.weight[1, 0] = -1
            self.conv.weight[2, 0] = 1
            self.conv.bias.copy_(torch.tensor([0.0, 1.0, -0.9, -5.0]))
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.conv(x)).mean((2, 3))


@pytest.fixture(scope="module")
def model() -> pl.Model:
    return pl.Model(TwoLayers(), size=24)


@pytest.fixture(scope="module")
def detectors() -> pl.Model:
    return pl.Model(Detectors(), size=16)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])  # Adam hides the scale of a gradient, the plain step does not
def test_batching_does_not_change_an_image(model: pl.Model, optimizer: str) -> None:
    settings = {**QUICK, "transforms": "lucid", "optimizer": optimizer}
    targets = ["second:1", "first:2", "logit:3", "act#2:4@c", "-second:0"]
    together = pl.render(model, targets, **settings)
    for index, target in enumerate(targets):
        alone = pl.render(model, target, **settings)
        torch.testing.assert_close(together.images[index], alone.images[0], rtol=0, atol=1e-6)
        torch.testing.assert_close(together.history[:, index], alone.history[:, 0], rtol=1e-5, atol=1e-7)


def test_an_image_that_enters_a_running_batch_is_the_same(model: pl.Model) -> None:
    """Slots are refilled while neighbours are in mid-run: steps, bias correction and draws start afresh."""
    targets = ["second:1", "second:2", "second:3", "second:4", "second:5"]
    staggered = {"second:2": 2, "second:4": 3}  # these leave early, so that others enter at odd moments
    refilled = _with_early_ends(model, targets, staggered, batch=2)
    for target in ("second:1", "second:3", "second:5"):
        alone = pl.render(model, target, **QUICK)
        torch.testing.assert_close(refilled[target], alone.images[0], rtol=0, atol=1e-6)


def _with_early_ends(model: pl.Model, targets: list[str], ends: dict[str, int], batch: int) -> dict[str, torch.Tensor]:
    recipe = pl.Recipe.of(batch=batch, **QUICK)
    taps = channel("second", 0).taps
    running = slots.Slots(model, recipe, make_plan(recipe, model, len(targets), taps).resolved, taps)
    waiting = [
        Job(i, objective, f"seed 0 objective {objective.hash} member 0")
        for i, target in enumerate(targets)
        for objective in [channel("second", int(target.partition(":")[2]))]
    ]
    pictures: dict[str, torch.Tensor] = {}
    while waiting or not running.is_empty:
        free = len(running.free)
        running.enter(waiting[:free])
        waiting = waiting[free:]
        running.step()
        for slot in running.slots:
            if slot is not None and slot.step >= ends.get(targets[slot.job.index], 10**6):
                slot.ended = "done"
        pictures.update({targets[one.job.index]: one.image for one in running.leave()})
    return pictures


def test_a_repeated_target_gives_another_picture(model: pl.Model) -> None:
    twice = pl.render(model, ["second:1", "second:1"], **QUICK)
    assert (twice.images[0] - twice.images[1]).abs().mean() > 0.01
    torch.testing.assert_close(twice.images[0], pl.render(model, "second:1", **QUICK).images[0], rtol=0, atol=1e-6)


def test_the_same_call_gives_the_same_picture_bit_for_bit(model: pl.Model) -> None:
    settings = {**QUICK, "precision": "auto", "transforms": "lucid"}
    first, second = (pl.render(model, ["second:1", "logit:2"], **settings) for _ in range(2))
    assert torch.equal(first.images, second.images)
    other = pl.render(model, ["second:1", "logit:2"], seed=1, **settings)
    assert not torch.equal(first.images, other.images)


def _turns_bad(activations: object) -> torch.Tensor:
    score = activations["second"].mean((1, 2, 3))  # type: ignore[index]
    return score + torch.where(score > -1e9, float("nan"), 0.0)


def test_one_bad_image_spares_its_neighbours(model: pl.Model) -> None:
    bad = Objective(((1.0, Custom("bad", ("second",), _turns_bad)),))
    mixed = pl.render(model, [channel("second", 1), bad, channel("second", 2)], **QUICK)
    assert [status.state for status in mixed.status] == ["done", "nonfinite", "done"]
    assert mixed.status[1].step == 0
    alone = pl.render(model, channel("second", 2), **QUICK)
    torch.testing.assert_close(mixed.images[2], alone.images[0], rtol=0, atol=1e-6)


def test_a_dead_unit_is_said_to_be_dead_and_the_others_finish(detectors: pl.Model) -> None:
    mixed = pl.render(detectors, ["relu:0", "relu:3"], steps=60, learning_rate=0.5, size=16, image="pixels")
    assert [status.state for status in mixed.status] == ["done", "dead"]
    assert mixed.scores[0] > 0.95
    assert mixed.status[1].rescue is not None


def test_a_woken_unit_is_not_dead_because_its_score_is_below_zero(detectors: pl.Model) -> None:
    """Distances to a constant are below zero however much the unit fires."""
    settings = {
        "steps": 100,
        "learning_rate": 0.5,
        "size": 16,
        "image": "pixels",
        "color": "none",
        "transforms": "none",
    }
    woken = pl.render(detectors, metric("relu", 2), **settings)
    assert woken.status[0].rescue == "redirected ReLU"
    assert woken.scores[0] < 0
    assert woken.status[0].state == "done"


def test_a_unit_that_nothing_reaches_is_dead_after_sixteen_steps_without_gradient() -> None:
    net = Detectors()
    with torch.no_grad():
        net.conv.weight[3] = 0
    model = pl.Model(net, size=16)
    steps: list[int] = []
    rendering = pl.render(model, ["relu:3"], steps=200, size=16, callback=lambda progress: steps.append(1))
    assert rendering.status[0].state == "dead"
    assert len(steps) == rescue.PATIENCE == 16


def test_a_unit_that_is_off_at_the_start_is_woken(detectors: pl.Model) -> None:
    settings = {
        "steps": 100,
        "learning_rate": 0.5,
        "size": 16,
        "image": "pixels",
        "color": "none",
        "transforms": "none",
    }
    woken = pl.render(detectors, "relu:2", **settings)
    assert woken.status[0].state == "done"
    assert woken.status[0].rescue == "redirected ReLU"
    assert woken.scores[0] > 0.05
    left = pl.render(detectors, "relu:2", rescue=False, **settings)
    assert left.status[0].state == "dead"
    assert left.scores[0] == 0


def test_rescuing_one_image_changes_no_other(detectors: pl.Model) -> None:
    both = pl.render(detectors, ["relu:2", "relu:0"], **QUICK)
    alone = pl.render(detectors, ["relu:0"], **QUICK)
    torch.testing.assert_close(both.images[1], alone.images[0], rtol=0, atol=1e-6)


def test_nothing_leaks_into_the_users_module() -> None:
    net = TwoLayers().train()
    net.first.weight.requires_grad_(False)
    calls: list[int] = []
    net.second.register_forward_hook(lambda *_: calls.append(1))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    model = pl.Model(net, size=24)

    def interrupt(progress: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(pl.PellucidError):
        pl.render(model, "nowhere:1", **QUICK)
    pl.render(model, "second:1", callback=interrupt, **QUICK)
    pl.render(model, "second:1", **QUICK)
    assert net.training
    assert net.second.training
    assert [p.requires_grad for p in net.parameters()] == [False, True, True, True, True, True]
    assert all(p.grad is None for p in net.parameters())
    assert sum(len(module._forward_hooks) for module in net.modules()) == 1
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(len(m._forward_hooks) <= 1 for m in model._module.modules())


def test_ctrl_c_returns_what_there_is(model: pl.Model) -> None:
    def interrupt_late(progress: pl.Progress) -> None:  # type: ignore[name-defined]
        if progress.image_steps >= 6:
            raise KeyboardInterrupt

    got = pl.render(model, ["second:1", "second:2", "second:3"], batch=2, callback=interrupt_late, **QUICK)
    assert [status.state for status in got.status] == ["interrupted", "interrupted"]
    assert [status.step for status in got.status] == [3, 3]
    assert got.targets == ("second:1", "second:2")
    assert math.isfinite(got.scores.sum())


def test_a_callback_may_stop_the_run(model: pl.Model) -> None:
    got = pl.render(model, "second:1", callback=lambda progress: True, **QUICK)
    assert str(got.status[0]) == "interrupted after 1 steps"
