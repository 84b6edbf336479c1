"""Laws of ensembles: each member sees its own picture once, and only when it is asked for."""

from __future__ import annotations

from collections import Counter, OrderedDict

import pytest
import torch
from torch import Tensor, nn

from pellucid.errors import ModelError, TargetError
from pellucid.models.ensemble import Ensemble
from pellucid.models.model import Model
from pellucid.models.taps import Tap
from pellucid.models.targets import Target
from pellucid.objectives.from_target import objective_of

RUNS: Counter[str] = Counter()


class Weighing(nn.Module):
    """Multiplies the channels by known weights and sums them; counts its runs."""

    def __init__(self, label: str, *weights: float) -> None:
        super().__init__()
        self.label = label
        self.conv = nn.Conv2d(len(weights), 2, 1, bias=False)
        self.relu = nn.ReLU()
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([weights, [-w for w in weights]])[:, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        RUNS[self.label] += 1
        return self.relu(self.conv(x)).mean((2, 3))


@pytest.fixture
def pair() -> Ensemble:
    RUNS.clear()
    a, b = Model(Weighing("a", 1, 0, 0), size=8, name="reds"), Model(Weighing("b", 0, 2, 0), size=(4, 4), name="greens")
    pair = Ensemble(a=a, b=b)
    assert pair.layers
    RUNS.clear()
    return pair


IMAGES = torch.stack(
    [torch.stack([torch.full((8, 8), v) for v in rgb]) for rgb in ((0.25, 0.5, 1.0), (0.75, 1.0, 0.0))]
)


def test_layers_carry_the_members_prefix(pair: Ensemble) -> None:
    assert list(pair.layers) == ["a/conv", "a/relu", "a/output", "b/conv", "b/relu", "b/output"]
    assert pair.layer("a/conv").shape == (2, 8, 8)
    assert pair.layer("b/conv").shape == (2, 4, 4)  # at its own size
    assert pair.layer("b/conv").name == "b/conv"
    assert (pair.name, pair.size, pair.channels) == ("reds+greens", (8, 8), 3)


def test_a_joint_objective_runs_each_network_once(pair: Ensemble) -> None:
    objective = objective_of(Target.parse("a/conv:0 + 0.5*b/conv:0 - b/relu:1 + a/relu:0"), pair)
    RUNS.clear()
    scores = objective(pair.tap(IMAGES, objective.taps))
    assert RUNS == {"a": 1, "b": 1}
    # red + green, - (the pre-activation of b's second unit, -2 green), + red
    assert torch.allclose(scores, torch.tensor([0.25 + 0.5 + 1.0 + 0.25, 0.75 + 1.0 + 2.0 + 0.75]))


def test_only_members_that_are_asked_for_run(pair: Ensemble) -> None:
    seen = pair.tap(IMAGES, ["b/conv"])
    assert RUNS == {"b": 1}
    assert seen["b/conv"].shape == (2, 2, 4, 4)
    assert torch.equal(seen.image, IMAGES)


def test_a_member_of_the_ensembles_size_follows_the_picture_and_another_keeps_its_own(pair: Ensemble) -> None:
    larger = torch.rand(1, 3, 16, 12)
    seen = pair.tap(larger, ["a/conv", "b/conv", Tap("b/relu", pre=True)])
    assert seen["a/conv"].shape == (1, 2, 16, 12)
    assert seen["b/conv"].shape == (1, 2, 4, 4)
    assert torch.equal(seen[Tap("b/relu", pre=True)], seen["b/conv"])
    assert pair.layer("a/conv", (16, 12)).shape == (2, 16, 12)
    larger.requires_grad_()
    (gradient,) = torch.autograd.grad(pair.tap(larger, ["b/conv"])["b/conv"][:, 0].mean(), larger)
    assert torch.allclose(gradient[0].sum((1, 2)), torch.tensor([0.0, 2.0, 0.0]), atol=1e-5)


def test_an_ensemble_is_a_model(pair: Ensemble) -> None:
    assert isinstance(pair, Model)
    assert torch.equal(pair(IMAGES), IMAGES[:, :1].mean((2, 3)) * torch.tensor([1.0, 0.0]))
    assert pair.output_kind == "logits"
    assert repr(pair) == "<Model reds+greens: 3 x 8 x 8 px, float32 on cpu>"
    double = pair.at(precision="float64")
    assert isinstance(double, Ensemble)
    assert double.tap(IMAGES.double(), ["b/conv"])["b/conv"].dtype == torch.float64
    assert double.weights_hash == pair.weights_hash == "+".join(m.weights_hash for m in pair.members.values())


def test_members_go_to_the_precision_of_the_first(pair: Ensemble) -> None:
    mixed = Ensemble(a=pair.members["a"].at(precision="float64"), b=pair.members["b"])
    assert {member.precision for member in mixed.members.values()} == {"float64"}
    assert pair.members["b"].precision == "float32"


def test_ensembles_nest(pair: Ensemble) -> None:
    outer = Ensemble(x=pair, y=pair.members["a"])
    assert torch.equal(outer.tap(IMAGES, ["x/a/conv"])["x/a/conv"], pair.tap(IMAGES, ["a/conv"])["a/conv"])


def test_errors(pair: Ensemble) -> None:
    with pytest.raises(ModelError, match="an Ensemble needs at least one member"):
        Ensemble()
    with pytest.raises(ModelError, match="member 'grey' of the Ensemble has another number of channels or value range"):
        Ensemble(a=pair.members["a"], grey=Model(Weighing("grey", 1), channels=1, size=8))
    with pytest.raises(ModelError, match="member 'wide' of the Ensemble has another number of channels or value range"):
        Ensemble(a=pair.members["a"], wide=Model(Weighing("wide", 1, 1, 1), size=8, value_range=(0.0, 255.0)))
    with pytest.raises(TargetError, match=r"no member 'c' in the ensemble \(layer 'c/conv'\)\. Members: a, b\."):
        pair.tap(IMAGES, ["c/conv"])
    with pytest.raises(TargetError, match=r"no layer 'cnov' in greens\. Did you mean 'conv'\?"):
        pair.layer("b/cnov")
    with pytest.raises(
        TargetError, match="classes of an ensemble are given by member and index: a/output:0, not 'cat'"
    ):
        objective_of(Target.parse("logit:cat"), pair)
    assert OrderedDict(pair.members).keys() == {"a", "b"}
