"""Groups in the loop: they enter and leave whole, are coupled by what the recipe says, and by nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.ascent.jobs import Job, Slot
from pellucid.ascent.lanes import Waiting
from pellucid.ascent.plan import make_plan
from pellucid.ascent.recipe import Recipe
from pellucid.ascent.rescue import Rescue
from pellucid.ascent.slots import Slots
from pellucid.errors import RecipeError, TargetError
from pellucid.models.taps import Tap
from pellucid.objectives.groups import Diversity
from pellucid.objectives.units import channel

QUICK = {"steps": 12, "size": 24, "precision": "float64", "color": "none", "trial": False, "transforms": "jitter:2"}


@pytest.fixture(scope="module")
def model() -> pl.Model:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(3, 8, 5, 2, 2), nn.Tanh(), nn.Conv2d(8, 8, 3, 1, 1), nn.Tanh())
    return pl.Model(net, mean=(0.5,) * 3, std=(0.25,) * 3, size=24)


def likeness(model: pl.Model, images: torch.Tensor) -> float:
    """The mean similarity of pictures at layer 3, as diversity has it."""
    activations = model.at(precision="float64").tap(images.double(), ["3"])
    term = Diversity(next(iter(activations)))
    return -float(term(activations, torch.zeros(len(images), dtype=torch.int64)).mean())


def test_diverse_pictures_are_less_alike_and_start_the_same(model: pl.Model) -> None:
    repeats = pl.render(model, "3:2", members=4, snapshots=(0,), **QUICK)
    diverse = pl.render(model, "3:2", members=4, diversity=1.0, snapshots=(0,), **QUICK)
    assert torch.equal(repeats.snapshots[0], diverse.snapshots[0])
    assert likeness(model, diverse.images) < likeness(model, repeats.images) - 0.05
    assert diverse.targets == ("3:2",) * 4


def test_a_group_changes_no_picture_of_another(model: pl.Model) -> None:
    alone = pl.render(model, "3:2", members=3, diversity=1.0, **QUICK)
    among = pl.render(model, ["3:5", "3:2"], members=3, diversity=1.0, **QUICK)
    torch.testing.assert_close(among.images[3:], alone.images, rtol=1e-6, atol=1e-6)
    mixed = pl.render(model, ["3:5", "3:2", "3:2", "3:2"], groups=[-1, 7, 7, 7], diversity=1.0, **QUICK)
    torch.testing.assert_close(mixed.images[1:], alone.images, rtol=1e-6, atol=1e-6)
    single = pl.render(model, "3:5", **QUICK)
    torch.testing.assert_close(mixed.images[:1], single.images, rtol=1e-6, atol=1e-6)


def test_groups_wait_for_slots_that_hold_all_of_them(model: pl.Model) -> None:
    whole = pl.render(model, ["3:1", "3:2", "3:3"], members=2, diversity=1.0, **QUICK)
    narrow = pl.render(model, ["3:1", "3:2", "3:3"], members=2, diversity=1.0, batch=3, lanes=1, **QUICK)
    assert narrow.resolved.batch == 2
    torch.testing.assert_close(narrow.images, whole.images, rtol=1e-6, atol=1e-6)


def test_jobs_of_a_group_are_taken_together() -> None:
    jobs = [Job(i, channel("a", 0), str(i), group=group) for i, group in enumerate([0, -1, 0, 1, 1])]
    waiting = Waiting(jobs)
    assert waiting.largest_group == 2
    assert [job.index for job in waiting.take(1)] == []
    first = waiting.take(3)
    assert [job.index for job in first] == [0, 2, 1]
    assert [job.index for job in waiting.take(1)] == []
    assert [job.index for job in waiting.take(5)] == [3, 4]
    waiting.put_back(first)
    assert [job.index for job in waiting.take(2)] == [0, 2]


def test_a_member_that_ends_early_waits_for_its_group(model: pl.Model) -> None:
    levels = pl.render(model, ["3:2", "3:3", "3:4"], groups=[0, 0, -1], diversity=0.1, level=0.2, batch=3, **QUICK)
    ends = [status.step for status in levels.status]
    assert ends[0] != ends[1]  # each at its own step: an end is not the group's
    streamed = pl.stream(model, ["3:2", "3:3", "3:4"], groups=[0, 0, -1], diversity=0.1, level=0.2, batch=3, **QUICK)
    order = [one.targets[0] for one in streamed]
    assert abs(order.index("3:2") - order.index("3:3")) == 1


def test_a_group_leaves_whole(model: pl.Model) -> None:
    recipe = Recipe.of(QUICK, diversity=0.1, members=2)
    jobs = [Job(i, channel("3", i), str(i), group=group) for i, group in enumerate([0, 0, -1])]
    taps = [Tap("3")]
    slots = Slots(model, recipe, make_plan(recipe, model, 3, taps, 2).resolved, taps)
    slots.enter(jobs[: len(slots.slots)])
    slots.step()
    first, second = slots.slots[:2]
    assert first is not None
    assert second is not None
    first.ended = "done"
    assert slots.leave() == []
    second.ended = "done"
    assert [one.job.index for one in slots.leave()] == [0, 1]


def test_who_counts_as_a_member() -> None:
    slot = Slot(Job(0, channel("a", 0), "key", group=3), Rescue())
    assert slot.group == -1  # it has not moved by itself yet: the others would hide that it is blocked
    slot.step = 1
    assert slot.group == 3
    for state, group in {"done": 3, "converged": 3, "nonfinite": -1, "dead": -1}.items():
        slot.ended = state  # type: ignore[assignment]
        assert slot.group == group


def test_a_broken_member_spares_its_group(model: pl.Model) -> None:
    def broken(activations: object) -> torch.Tensor:
        return activations["3"].mean((1, 2, 3)) * torch.nan  # type: ignore[index,no-any-return]

    from pellucid.objectives.objective import Custom, Objective

    bad = Objective(((1.0, Custom("nan", ("3",), broken)),))
    run = pl.render(model, ["3:2", "3:2", bad], groups=[0, 0, 0], diversity=1.0, **QUICK)
    assert [status.state for status in run.status] == ["done", "done", "nonfinite"]
    pair = pl.render(model, ["3:2", "3:2"], groups=[0, 0], diversity=1.0, **QUICK)
    torch.testing.assert_close(run.images[:2], pair.images, rtol=1e-6, atol=1e-6)


def test_aligned_neighbours_are_more_alike(model: pl.Model) -> None:
    free = pl.render(model, ["3:2", "3:5"], groups=[0, 0], alignment=1e-9, **QUICK)
    aligned = pl.render(model, ["3:2", "3:5"], groups=[0, 0], alignment=20.0, shared_start=True, **QUICK)

    def apart(run: pl.Rendering) -> float:
        seen = model.tap(run.images, ["3"])["3"]
        return float((seen[0] - seen[1]).square().mean())

    assert apart(aligned) < 0.5 * apart(free)


def test_shared_starts_are_the_same_noise(model: pl.Model) -> None:
    run = pl.render(model, ["3:2", "3:5"], shared_start=True, snapshots=(0,), **QUICK)
    assert torch.equal(run.snapshots[0][0], run.snapshots[0][1])


def test_a_group_shares_its_coarse_shapes(model: pl.Model) -> None:
    settings = {**QUICK, "sd": 0.3, "steps": 4}
    own = pl.render(model, ["3:2", "3:5", "3:2"], **settings)
    shared = pl.render(model, ["3:2", "3:5", "3:2"], groups=[0, 0, -1], shared_low_res=True, **settings)

    def coarse(images: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(images, 8).flatten(1)

    def alike(run: pl.Rendering, one: int, other: int) -> float:
        return float(torch.corrcoef(coarse(run.images)[[one, other]])[0, 1])

    assert alike(shared, 0, 1) > alike(own, 0, 1) + 0.2
    alone = pl.render(model, ["3:2", "3:5"], groups=[0, 0], shared_low_res=True, **settings)
    torch.testing.assert_close(shared.images[:2], alone.images, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"diversity": 1.0}, "diversity is for groups of two pictures or more"),
        ({"shared_low_res": True}, "shared_low_res is for groups of two pictures or more"),
        ({"groups": [0, 0]}, "groups mean nothing without"),
        ({"groups": [0], "diversity": 1.0}, "names a group for each of 2 pictures, not 1"),
        ({"groups": [0, 0], "diversity": 1.0, "members": 2}, "give one of them"),
        ({"members": 2, "diversity": 1.0, "refine": 3}, "refine is done picture by picture"),
        ({"members": 2, "diversity": 1.0, "best_of": 3}, "best_of chooses picture by picture"),
        ({"members": 2, "group_layer": "3"}, "give one of them a weight"),
        ({"members": 2, "shared_low_res": True, "image": "maco", "color": "tiny-imagenet"}, "and to no other"),
        ({"members": 2, "alignment": 1.0, "octaves": "16:2 24:2", "size": None}, "octaves go picture by picture"),
    ],
)
def test_contradictions_are_refused_before_the_first_step(
    model: pl.Model, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        pl.render(model, ["3:2", "3:5"], **{**QUICK, **settings})


def test_an_unknown_group_layer_is_refused(model: pl.Model) -> None:
    with pytest.raises(TargetError, match="no layer '9'"):
        pl.render(model, "3:2", members=2, diversity=1.0, group_layer="9", **QUICK)


def test_a_group_does_not_hide_that_a_unit_is_blocked() -> None:
    # Unit 0 is off everywhere and stays so; unit 1 lets diversity pull at the pictures all the same.
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())
    torch.manual_seed(0)
    with torch.no_grad():
        net[0].weight[0].zero_()
        net[0].bias.copy_(torch.tensor([-1.0, 0.0]))
    blocked = pl.Model(net, mean=(0.5,) * 3, std=(0.25,) * 3, size=16)
    run = pl.render(blocked, "1:0", members=2, diversity=1.0, steps=40, size=16, trial=False)
    assert [status.state for status in run.status] == ["dead", "dead"]
