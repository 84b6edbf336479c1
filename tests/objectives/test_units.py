"""Laws of objectives on units: every formula, by hand, on two small maps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from pellucid.errors import TargetError
from pellucid.models.layers import Layer
from pellucid.models.positions import Position
from pellucid.models.taps import Activations, Tap
from pellucid.objectives.objective import Objective, per_image
from pellucid.objectives.response import Reduction
from pellucid.objectives.units import channel, direction, layer, neuron, region

# Two images, two channels, 2 x 3 places.
Z = torch.tensor(
    [
        [[[1.0, -2.0, 3.0], [4.0, 0.0, 6.0]], [[0.5, 1.0, 0.0], [0.0, -1.0, 2.0]]],
        [[[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], [[3.0, -3.0, 1.0], [1.0, 5.0, -1.0]]],
    ]
)
LAYER = Layer("l", "Conv2d", "bchw", (2, 2, 3), 2)


def activations(z: Tensor = Z, pre: Tensor | None = None) -> Activations:
    values = {Tap("l"): z} if pre is None else {Tap("l"): z, Tap("l", True): pre}
    return Activations(values, {"l": LAYER}, torch.zeros(len(z), 3, 2, 2))


@pytest.mark.parametrize(
    ("objective", "by_hand"),
    [
        (channel("l", 0), [2.0, 0.0]),
        (channel("l", 1), [2.5 / 6, 1.0]),
        (channel("l", 0, reduction="sum"), [12.0, 0.0]),
        (channel("l", 1, reduction="norm"), [2.5, math.sqrt(46)]),
        (channel("l", 1, reduction="max"), [2.0, 5.0]),
        (channel("l", 0, reduction="pooled"), [4.0, 0.0]),
        (neuron("l", 0), [0.0, 0.0]),  # the centre of 2 x 3 is 1, 1
        (neuron("l", 1), [-1.0, 5.0]),
        (neuron("l", 0, 0, 2), [3.0, 0.0]),
        (region("l", 0, Position("rectangle", (1, 2), (0, None))), [10 / 3, 0.0]),
        (region("l", 1, Position("rectangle", (0, 2), (1, 3)), reduction="max"), [2.0, 5.0]),
        (layer("l"), [(1 + 4 + 9 + 16 + 36 + 0.25 + 1 + 1 + 4) / 12, 46 / 12]),
        (layer("l", Position.cell(0, 0)), [1.25 / 2, 9 / 2]),
        (direction("l", [2.0, -1.0]), [(24 - 2.5) / 6, -1.0]),
        (direction("l", [2.0, -1.0], position=Position.cell(0, 0)), [1.5, -3.0]),
    ],
)
def test_every_formula_by_hand(objective: Objective, by_hand: Sequence[float]) -> None:
    assert objective(activations()).tolist() == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("power", [0.5, 1.0, 4.0])
def test_direction_with_cosine_power_by_hand(power: float) -> None:
    d = (3.0, -4.0)
    got = direction("l", d, cosine_power=power)(activations())
    for image, score in enumerate(got.tolist()):
        terms = []
        for row in range(2):
            for col in range(3):
                z = Z[image, :, row, col].tolist()
                dot, length = z[0] * d[0] + z[1] * d[1], math.hypot(*z) * 5
                terms.append(dot * max(0.1, dot / length if length else 0.0) ** power)
        assert score == pytest.approx(sum(terms) / 6, rel=1e-4)


def test_the_cosine_does_not_depend_on_the_length_of_the_direction() -> None:
    one = direction("l", [3.0, -4.0], cosine_power=2.0)(activations())
    tiny = direction("l", [3e-8, -4e-8], cosine_power=2.0)(activations())
    assert torch.allclose(tiny * 1e8, one, rtol=1e-4)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 4.0])
def test_a_direction_is_safe_where_nothing_is_active(power: float) -> None:
    z = torch.zeros_like(Z).requires_grad_()
    score = direction("l", [1.0, 2.0], cosine_power=power)(activations(z))
    score.sum().backward()
    assert score.tolist() == [0.0, 0.0]
    assert z.grad is not None
    assert z.grad.isfinite().all()
    assert (z.grad[:, 1] > 0).all()  # and there is a way out: along the direction


@pytest.mark.parametrize(
    ("objective", "by_hand"),
    [
        (channel("l", 1), torch.full((2, 3), 1 / 6)),
        (channel("l", 1, reduction="sum"), torch.ones(2, 3)),
        (channel("l", 1, reduction="norm"), Z[0, 1] / 2.5),
        (channel("l", 1, reduction="max"), torch.tensor([[0.0, 0, 0], [0, 0, 1]])),
        (channel("l", 1, reduction="pooled"), torch.tensor([[0.0, 1, 0], [0, 0, 0]])),
        (neuron("l", 1), torch.tensor([[0.0, 0, 0], [0, 1, 0]])),
        (layer("l"), 2 * Z[0, 1] / 12),
        (direction("l", [2.0, -3.0]), torch.full((2, 3), -0.5)),
    ],
)
def test_gradients_by_hand(objective: Objective, by_hand: Tensor) -> None:
    z = Z.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(objective(activations(z))[0], z)
    assert torch.allclose(gradient[0, 1], by_hand.float(), atol=1e-6)
    assert gradient[1].abs().max() == 0


def test_a_negative_weight_reads_before_the_rectifier() -> None:
    pre = Z - 10
    acts = activations(Z, pre)
    assert (-channel("l", 1)).taps == (Tap("l", True),)
    assert (-channel("l", 1))(acts).tolist() == pytest.approx([10 - 2.5 / 6, 9.0])
    assert (-direction("l", [1.0, 1.0]))(acts).tolist() == pytest.approx([20 - 14.5 / 6, 19.0])
    both = channel("l", 0) - 2 * channel("l", 1)
    assert set(both.taps) == {Tap("l"), Tap("l", True)}
    assert both(acts).tolist() == pytest.approx([2 + 20 - 5 / 6, 18.0])
    assert (-layer("l")).taps == (Tap("l"),)  # a square has no use for what is off
    negative = -channel("l", 1)
    assert (-negative).taps == (Tap("l"),)


def test_a_unit_that_is_off_has_a_gradient_only_before_the_rectifier() -> None:
    pre = (Z - 10).requires_grad_()
    acts = activations(pre.relu(), pre)
    (behind,) = torch.autograd.grad(channel("l", 0)(acts).sum(), pre, retain_graph=True)
    (before,) = torch.autograd.grad((-channel("l", 0))(acts).sum(), pre)
    assert behind.abs().max() == 0
    assert torch.allclose(before[:, 0], torch.full((2, 2, 3), -1 / 6))


@pytest.mark.parametrize("bad", [-1, 2, 99])
def test_a_channel_out_of_range_is_an_error_and_never_counts_from_the_end(bad: int) -> None:
    message = rf"channel {bad} is out of range: l has 2 channels, 0 to 1"
    with pytest.raises(TargetError, match=message):
        channel("l", bad)(activations())
    with pytest.raises(TargetError, match=message):
        per_image([channel("l", 0), channel("l", bad)])(activations())


def test_bad_directions_neurons_and_reductions_are_errors() -> None:
    for vector in ([0.0, 0.0], [float("nan"), 1.0], torch.ones(2, 2)):
        with pytest.raises(TargetError, match="a direction is one finite number per channel, not all zero"):
            direction("l", vector)
    with pytest.raises(TargetError, match="a direction in l has 2 numbers, not 3"):
        direction("l", [1.0, 2.0, 3.0])(activations())
    with pytest.raises(TargetError, match=r"a neuron has a row and a column, or neither \(the centre\)"):
        neuron("l", 0, 1)
    make = getattr(region, "__wrapped__", region)
    with pytest.raises(TargetError, match=r"no reduction 'median'\. There are: mean, sum, norm, max, pooled\."):
        make("l", 0, None, reduction="median")
    with pytest.raises(TargetError, match="@5,0 lies outside the 2x3 map"):
        neuron("l", 0, 5, 0)(activations())


@pytest.mark.parametrize("reduction", ["mean", "sum", "norm", "max", "pooled"])
def test_every_images_gradient_is_its_own(reduction: Reduction) -> None:
    z = Z.clone().requires_grad_()
    scores = per_image([channel("l", 0, reduction=reduction), channel("l", 1, reduction=reduction)])(activations(z))
    (gradient,) = torch.autograd.grad(scores[1], z)
    assert gradient[0].abs().max() == 0
    assert gradient[1, 0].abs().max() == 0
    assert gradient[1, 1].abs().max() > 0


def test_vectors_of_any_kind_are_the_same_direction() -> None:
    kinds = [[1.0, 2.0], (1.0, 2.0), list(np.array([1.0, 2.0])), torch.tensor([1, 2]), torch.ones(2).cumsum(0)]
    assert len({direction("l", kind) for kind in kinds}) == 1
    assert direction("l", torch.ones(2, requires_grad=True)) == direction("l", [1.0, 1.0])
