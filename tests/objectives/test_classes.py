"""Laws of class scores: before and behind the softmax, and for networks that end in one."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from pellucid.errors import TargetError
from pellucid.models.layers import OUTPUT, Layer
from pellucid.models.model import Model
from pellucid.models.taps import Activations, Tap
from pellucid.models.targets import Target
from pellucid.objectives.classes import log_probability, logit, probability
from pellucid.objectives.from_target import objective_of
from pellucid.objectives.objective import per_image

LOGITS = torch.tensor([[1.0, 2.0, -1.0], [0.0, 0.0, 3.0]])
SUMS = [math.e + math.e**2 + math.exp(-1), 2 + math.e**3]


def activations(output: Tensor) -> Activations:
    return Activations({Tap(OUTPUT): output}, {OUTPUT: Layer(OUTPUT, "output", "bc", (3,), 3)}, torch.zeros(2, 3, 2, 2))


def test_class_scores_by_hand() -> None:
    acts = activations(LOGITS)
    assert logit(1)(acts).tolist() == [2.0, 0.0]
    assert probability(1)(acts).tolist() == pytest.approx([math.e**2 / SUMS[0], 1 / SUMS[1]])
    assert log_probability(1)(acts).tolist() == pytest.approx([2 - math.log(SUMS[0]), -math.log(SUMS[1])])


def test_class_scores_of_a_network_that_ends_in_a_softmax() -> None:
    acts = activations(LOGITS.softmax(1))
    of_logits = activations(LOGITS)
    for index in range(3):
        assert torch.equal(probability(index, ends_in_softmax=True)(acts), LOGITS.softmax(1)[:, index])
        for make in (logit, log_probability):
            got = make(index, ends_in_softmax=True)(acts)
            assert torch.allclose(got, log_probability(index)(of_logits), atol=1e-6)


def test_a_probability_of_zero_has_no_infinite_logarithm() -> None:
    output = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]], requires_grad=True)
    score = logit(2, ends_in_softmax=True)(activations(output))
    score.sum().backward()
    assert score.isfinite().all()
    assert output.grad is not None
    assert output.grad.isfinite().all()


def test_each_image_its_own_class() -> None:
    scores = per_image([logit(0), probability(2)])(activations(LOGITS))
    assert scores.tolist() == pytest.approx([1.0, math.e**3 / SUMS[1]])
    assert per_image([logit(2), logit(0)])(activations(LOGITS)).tolist() == [-1.0, 0.0]


def test_low_precision_outputs_are_scored_in_float32() -> None:
    assert probability(0)(activations(LOGITS.bfloat16())).dtype == torch.float32


@pytest.mark.parametrize("index", [-1, 3])
def test_a_class_out_of_range_is_an_error(index: int) -> None:
    with pytest.raises(TargetError, match=rf"class {index} is out of range: the network has 3 classes, 0 to 2"):
        logit(index)(activations(LOGITS))


@pytest.mark.parametrize("softmax", [False, True])
def test_targets_choose_by_how_the_network_ends(softmax: bool) -> None:
    trunk = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = Model(nn.Sequential(trunk, nn.Softmax(1)) if softmax else trunk, size=4, classes=("red", "green", "blue"))
    images = torch.rand(2, 3, 4, 4)
    means = images.mean((2, 3))
    for text, by_hand in (
        ("prob:green", means.softmax(1)[:, 1]),
        ("logit:2", means.log_softmax(1)[:, 2] if softmax else means[:, 2]),
        ("-logit:blue", -means.log_softmax(1)[:, 2] if softmax else -means[:, 2]),
        ("2*prob:red - output:0", 2 * means.softmax(1)[:, 0] - (means.softmax(1) if softmax else means)[:, 0]),
    ):
        objective = objective_of(Target.parse(text), model)
        assert torch.allclose(objective(model.tap(images, objective.taps)), by_hand, atol=1e-6), text
