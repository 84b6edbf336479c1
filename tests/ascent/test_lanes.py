"""Lanes: batches side by side make the same pictures, and end as one."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor, nn

import pellucid as pl
from pellucid.ascent.plan import make_plan
from pellucid.ascent.recipe import Recipe
from pellucid.ascent.threads import side_by_side
from pellucid.models.taps import Tap

SETTINGS = {"steps": 4, "precision": "float64", "transforms": "jitter:2", "size": 16, "device": "cpu"}
TARGETS = [f"1:{unit}" for unit in range(7)]


@pytest.fixture(autouse=True)
def _two_cores() -> object:
    """The number of threads decides the usual number of lanes."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    assert torch.get_num_threads() == 2  # nothing that a run does to its lanes stays
    assert threading.active_count() < 10
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model() -> pl.Model:
    torch.manual_seed(0)
    return pl.Model(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)), size=16)


@pytest.mark.parametrize("lanes", [2, 3])
@pytest.mark.parametrize("batch", [0, 3, 4])
def test_lanes_change_no_picture(model: pl.Model, lanes: int, batch: int) -> None:
    alone = pl.render(model, TARGETS, lanes=1, batch=batch, **SETTINGS)
    beside = pl.render(model, TARGETS, lanes=lanes, batch=batch, **SETTINGS)
    assert beside.resolved.lanes == min(lanes, batch or lanes)
    assert beside.targets == alone.targets
    assert [str(status) for status in beside.status] == [str(status) for status in alone.status]
    torch.testing.assert_close(beside.images, alone.images, rtol=0, atol=1e-6)
    torch.testing.assert_close(beside.history, alone.history, rtol=1e-6, atol=1e-9)


def test_one_call_twice_gives_the_same_bits_whatever_lane_a_picture_was_made_in(model: pl.Model) -> None:
    settings = {**SETTINGS, "precision": "float32", "lanes": 2, "batch": 4}
    first, second = (pl.render(model, TARGETS, **settings) for _ in range(2))
    assert torch.equal(first.images, second.images)


def test_streaming_from_lanes_gives_every_picture_once(model: pl.Model) -> None:
    names = [one.targets[0] for one in pl.stream(model, TARGETS, lanes=2, batch=2, **SETTINGS)]
    assert sorted(names) == TARGETS


def test_who_stops_reading_stops_the_lanes(model: pl.Model) -> None:
    threads = threading.active_count()
    pictures = pl.stream(model, TARGETS * 50, lanes=2, batch=2, **SETTINGS)
    next(pictures)
    pictures.close()  # type: ignore[attr-defined]
    assert threading.active_count() == threads


def test_a_callback_stops_all_lanes_and_what_there_is_is_kept(model: pl.Model) -> None:
    got = pl.render(
        model,
        TARGETS,
        lanes=2,
        batch=4,
        callback=lambda progress: progress.image_steps >= 4,
        **{**SETTINGS, "steps": 1000},
    )
    assert {status.state for status in got.status} == {"interrupted"}
    assert 1 <= len(got.targets) <= 4
    assert torch.isfinite(got.scores).all()


def test_ctrl_c_reaches_all_lanes(model: pl.Model) -> None:
    def interrupt(progress: pl.Progress) -> None:
        raise KeyboardInterrupt

    got = pl.render(model, TARGETS, lanes=2, batch=4, callback=interrupt, **{**SETTINGS, "steps": 1000})
    assert {status.state for status in got.status} == {"interrupted"}


class Faulty(nn.Module):
    """Fails at its third look, in whatever lane that is."""

    def __init__(self) -> None:
        super().__init__()
        self.see, self.looks = nn.Conv2d(3, 8, 3), 0

    def forward(self, x: Tensor) -> Tensor:
        if x.requires_grad:
            self.looks += 1
            if self.looks == 3:
                raise OSError("the disk is gone")
        return self.see(x)


def test_a_fault_in_a_lane_ends_the_run_and_is_raised(model: pl.Model) -> None:
    threads = threading.active_count()
    with pytest.raises(OSError, match="the disk is gone"):
        pl.render(pl.Model(Faulty(), size=16), ["see:*"], lanes=2, **{**SETTINGS, "steps": 500})
    assert threading.active_count() == threads


def test_lanes_are_as_many_as_cores_where_there_is_work_for_them(model: pl.Model) -> None:
    def lanes(num_images: int, size: int, **settings: int) -> tuple[int, int, int]:
        recipe = Recipe.of(size=size, trial=False, device="cpu", precision="float32", **settings)
        resolved = make_plan(recipe, model, num_images, [Tap("1")]).resolved
        return resolved.lanes, resolved.threads, resolved.of_lane().batch

    assert lanes(1, 224) == (1, 2, 1)  # one picture has all cores
    assert lanes(2, 224) == (2, 1, 1)
    assert lanes(17, 224) == (2, 1, 5)  # 9 and 8 rather than 16 and 1
    assert lanes(2, 32) == (1, 2, 2)  # too small to share out
    assert lanes(2, 32, lanes=2) == (2, 1, 1)
    assert lanes(8, 224, lanes=1) == (1, 2, 8)
    assert lanes(8, 224, batch=2) == (2, 1, 1)


def test_work_side_by_side_overlaps_and_has_its_share_of_the_cores() -> None:
    all_at_once = threading.Barrier(3, timeout=60)
    shares = side_by_side(1, [lambda: (all_at_once.wait(), torch.get_num_threads())[1] for _ in range(3)])
    assert shares == [1, 1, 1]
    with pytest.raises(ZeroDivisionError):
        side_by_side(1, [lambda: 1 / 0, lambda: 1.0])
