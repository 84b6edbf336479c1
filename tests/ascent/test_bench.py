"""The bench measures what it says: counts known by hand, times that cannot be beaten, images that climb."""

from __future__ import annotations

import time

import pytest
import torch
from torch import Tensor, nn

import pellucid as pl
from pellucid.ascent import bench, memory
from pellucid.ascent.bench import measure
from pellucid.ascent.plan import known_plans, make_plan
from pellucid.ascent.recipe import Recipe
from pellucid.ascent.slots import Slots
from pellucid.models.taps import Tap

QUICK = Recipe(size=(16, 16), precision="float32", layout="contiguous", batch=4, device="cpu", trial=False, steps=50)


@pytest.fixture(autouse=True)
def small_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """The peak of small matrices is enough here, and quick."""
    monkeypatch.setattr(bench, "_SIZES", (64, 128))
    known_plans.clear()


class Sleeps(nn.Module):
    """A convolution that takes at least 20 ms."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(0.02)
        return self.conv(x)


class OftenOff(nn.Module):
    """Behind the ReLU unit 0 is on, unit 1 is off until it is woken, and unit 2 is off for good."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 3, 1), nn.ReLU()
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([[1.0] * 3, [1.0] * 3, [0.0] * 3])[:, :, None, None])
            self.conv.bias.copy_(torch.tensor([0.0, -2.0, -1.0]))

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.conv(x))


def test_operations_are_those_of_the_cut_network_by_hand() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 6, 1), nn.Conv2d(6, 100, 3))
    got = measure(pl.Model(net, size=16), "2", QUICK, steps=1)
    one_way = 2 * 16 * 16 * (3 * 9 * 8 + 8 * 6)  # a multiplication and an addition for each weight and place
    assert got.flops == 2 * one_way  # backward to the picture is as much; what lies behind the layer is not run
    assert got.share_of_peak == pytest.approx(got.flops * got.image_steps_per_second / got.peak_flops)
    assert got.bare_share_of_peak == pytest.approx(got.flops * got.bare_image_steps_per_second / got.peak_flops)


def test_a_network_without_matrix_products_has_no_share_of_them() -> None:
    got = measure(pl.Model(nn.Sequential(nn.Tanh()), size=16), "0", QUICK, steps=1)
    assert got.flops is got.share_of_peak is got.bare_share_of_peak is None


def test_times_are_those_of_the_work() -> None:
    got = measure(pl.Model(Sleeps(), size=16), "conv", QUICK, steps=6)
    assert got.timed_steps >= 6
    for rate in (got.image_steps_per_second, got.bare_image_steps_per_second):
        assert 0 < rate <= 4 / 0.02  # four images in one forward of 20 ms at least
    assert got.images_per_second == got.image_steps_per_second / 50
    assert next(iter(got.split)) == "network"  # the longest part is told first
    assert set(got.split) == {"network", "transforms", "image", "optimizer", "rest"}
    assert sum(got.split.values()) == pytest.approx(1, abs=0.01)
    assert got.loop_to_bare > 0.5  # the loop runs the network as well, whatever else it does


def test_bare_network_and_loop_run_the_same_network() -> None:
    seen: list[tuple[int, torch.dtype]] = []

    class Watched(Sleeps):
        def forward(self, x: Tensor) -> Tensor:
            if x.requires_grad:
                seen.append((len(x), self.conv.weight.dtype))
            return self.conv(x)

    measure(pl.Model(Watched(), size=16), "conv", Recipe.of(QUICK, precision="float64", batch=3), steps=2)
    one_image, *others = sorted(set(seen), key=lambda call: call[0])
    assert one_image == (1, torch.float64)  # for its operations to be counted
    assert others == [(3, torch.float64)]


def test_nothing_is_timed_while_images_are_woken() -> None:
    model, tap = pl.Model(OftenOff(), size=16), Tap("relu")
    resolved = make_plan(QUICK, model, 64, [tap]).resolved
    slots = Slots(model, Recipe.of(QUICK, steps=10**6, sd=0.001, color="none", learning_rate=0.5), resolved, [tap])
    bench.warm_up(slots, bench.endless_jobs("relu", 3, 0))
    units = [slot.job.index % 3 for slot in slots.slots if slot is not None]
    assert len(units) == 4
    assert not any(slot is None or slot.rescue.redirects for slot in slots.slots)
    assert 1 in units
    assert 2 not in units  # the dead one has made room


def test_a_layer_of_few_units_shows_them_again_from_other_starts() -> None:
    jobs = bench.endless_jobs("conv", 2, 0)
    first = [next(jobs) for _ in range(4)]
    assert [job.objective.hash for job in first[:2]] == [job.objective.hash for job in first[2:]]
    assert len({job.key for job in first}) == 4


def test_what_a_device_does_not_count_is_left_out() -> None:
    assert memory.peak_bytes(torch.device("mps")) is None


def test_mistakes_are_named() -> None:
    model = pl.Model(Sleeps(), size=16)
    with pytest.raises(pl.PellucidError, match="Did you mean 'conv'"):
        measure(model, "cnov", QUICK)
    with pytest.raises(pl.PellucidError, match="no device 'tpu' here"):
        measure(model, "conv", Recipe.of(QUICK, device="tpu"))
