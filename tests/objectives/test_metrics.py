"""Laws of metrics to a constant and of levels, by hand and by a loop."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import Tensor, nn

from pellucid.errors import TargetError
from pellucid.models.layers import Layer
from pellucid.models.model import Model
from pellucid.models.positions import Position
from pellucid.models.taps import Activations, Tap
from pellucid.objectives.metrics import METRICS, ConstantReached, Metric, level, metric
from pellucid.objectives.objective import per_image
from pellucid.objectives.units import channel

Z = torch.tensor([[[[1.0, -2.0, 3.0], [4.0, 0.0, 6.0]]], [[[0.0, 0.0, 0.0], [9.0, -1.0, 1.0]]]])
LAYER = Layer("l", "Conv2d", "bchw", (1, 2, 3), 1)
GAPS = [[9.0, 12.0, 7.0, 6.0, 10.0, 4.0], [10.0, 10.0, 10.0, 1.0, 11.0, 9.0]]  # 10 - z
BY_HAND: dict[Metric, list[float]] = {
    "l1": [-48.0, -51.0],
    "l2": [-5 * math.sqrt(sum(gap**2 for gap in gaps)) for gaps in GAPS],
    "linf": [-28.0, -30.0],  # the larger of two row sums: 28 and 20; 30 and 21
    "max": [-12.0, -11.0],
}


def activations(z: Tensor = Z, pre: Tensor | None = None) -> Activations:
    values = {Tap("l"): z} if pre is None else {Tap("l"): z, Tap("l", True): pre}
    return Activations(values, {"l": LAYER}, torch.zeros(len(z), 3, 2, 2))


@pytest.mark.parametrize("kind", METRICS)
def test_metrics_by_hand(kind: Metric) -> None:
    assert metric("l", 0, kind, constant=10)(activations()).tolist() == pytest.approx(BY_HAND[kind])
    assert metric("l", 0, kind)(activations(torch.full((1, 1, 2, 3), 199.0))).tolist() == pytest.approx(
        [{"l1": -6, "l2": -5 * math.sqrt(6), "linf": -3, "max": -1}[kind]]
    )


def test_l1_is_the_channels_sum_up_to_a_constant() -> None:
    z = Z.clone().requires_grad_()
    scores = metric("l", 0)(activations(z))
    sums = channel("l", 0, reduction="sum")(activations(z))
    assert torch.allclose(scores, sums - 6 * 200)
    assert torch.autograd.grad(scores.sum(), z)[0].eq(1).all()


@pytest.mark.parametrize(
    ("kind", "by_hand"),
    [
        ("l2", [[5 * gap / math.sqrt(426) for gap in GAPS[0][:3]], [5 * gap / math.sqrt(426) for gap in GAPS[0][3:]]]),
        ("linf", [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]),  # the weakest row
        ("max", [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]),  # the weakest place
    ],
)
def test_each_metric_pushes_where_it_says(kind: Metric, by_hand: list[list[float]]) -> None:
    z = Z.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(metric("l", 0, kind, constant=10)(activations(z))[0], z)
    assert torch.allclose(gradient[0, 0], torch.tensor(by_hand))


@pytest.mark.parametrize("kind", METRICS)
def test_a_unit_that_reaches_the_constant_warns_unless_nothing_pushes_it_down(kind: Metric) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        metric("l", 0, kind, constant=9.0)(activations())
    assert [one.category for one in caught] == ([] if kind == "l1" else [ConstantReached])
    if caught:
        assert "l reaches 9, and from there the metric" in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metric("l", 0, kind, constant=9.001)(activations())


def test_a_negative_metric_reads_before_the_rectifier() -> None:
    pre = Z - 10
    assert (-metric("l", 0)).taps == (Tap("l", True),)
    assert (-metric("l", 0, "max", constant=10))(activations(Z, pre)).tolist() == [22.0, 21.0]


def test_a_metric_at_a_place() -> None:
    row = Position("rectangle", (1, 2), (0, None))
    assert metric("l", 0, "linf", constant=10, position=row)(activations()).tolist() == [-20.0, -21.0]


def test_a_level_is_the_optimum_from_both_sides() -> None:
    z = Z.clone().requires_grad_()
    scores = per_image([level("l", 0, 2.0), level("l", 0, 4.5)])(activations(z))
    assert scores.tolist() == [0.0, -9.0]  # the means are 2 and 1.5
    (gradient,) = torch.autograd.grad(scores.sum(), z)
    assert gradient[0].eq(0).all()
    assert torch.allclose(gradient[1], torch.tensor(6.0 / 6))
    (gradient,) = torch.autograd.grad(level("l", 0, 0.0)(activations(z))[0], z)
    assert torch.allclose(gradient[0], torch.tensor(-4.0 / 6))
    assert level("l", 0, 8, reduction="max")(activations()).tolist() == [-4.0, -1.0]
    assert level("l", 0, 1, position=Position.cell(0, 2))(activations()).tolist() == [-4.0, -1.0]
    assert (-level("l", 0, 1)).taps == (Tap("l"),)


def test_ascent_on_a_level_drives_a_hand_weighted_unit_to_it() -> None:
    mean_of_red = nn.Conv2d(3, 1, 1, bias=False)
    with torch.no_grad():
        mean_of_red.weight.copy_(torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1))
    model = Model(nn.Sequential(mean_of_red), size=4)
    objective = level("0", 0, 0.3)
    for start in (0.0, 1.0):
        images = torch.full((1, 3, 4, 4), start, requires_grad=True)
        for _ in range(100):
            (gradient,) = torch.autograd.grad(objective(model.tap(images, objective.taps)).sum(), images)
            images = (images + 2 * gradient).detach().requires_grad_()
        assert images[0, 0].mean().item() == pytest.approx(0.3, abs=1e-3)
        assert images[0, 1:].eq(start).all()


def test_bad_settings_are_errors() -> None:
    make = getattr(metric, "__wrapped__", metric)  # beyond the tests' type checker
    with pytest.raises(TargetError, match=r"no metric 'l3'\. There are: l1, l2, linf, max\."):
        make("l", 0, "l3")
    with pytest.raises(TargetError, match="a level of activation is a finite number, not nan"):
        level("l", 0, float("nan"))
    with pytest.raises(TargetError, match="channel 1 is out of range: l has 1 channels, 0 to 0"):
        metric("l", 1)(activations())
    make = getattr(level, "__wrapped__", level)
    with pytest.raises(TargetError, match=r"no reduction 'median'\."):
        make("l", 0, 1.0, reduction="median")
