"""A network compared with itself finds itself, however its channels are ordered and scaled; mistakes are said."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
import torch
from torch import nn

from pellucid.ascent.recipe import Recipe
from pellucid.errors import ModelError, PellucidError, RecipeError, TargetError
from pellucid.inverse.comparing import RECIPE, compare
from pellucid.inverse.comparison import Comparison, assigned, best
from pellucid.models.model import Model

UNITS, SIZE = 6, 14
QUICK = Recipe.of(RECIPE, steps=120)


def network(seed: int = 0) -> nn.Sequential:
    """Two convolutions whose filters are as different as filters can be."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, UNITS, 3), nn.ReLU(), nn.Flatten(), nn.Linear(600, 4)
    )
    for layer in (net[0], net[2]):
        nn.init.orthogonal_(layer.weight)
        nn.init.constant_(layer.bias, 0.05)
    return net


PERMUTATION = torch.tensor([3, 5, 0, 2, 1, 4])  # unit j of the copy is unit PERMUTATION[j] of the network
SCALES = torch.tensor([8.0, 0.25, 1.0, 3.0, 0.1, 20.0])


def reordered(net: nn.Sequential) -> nn.Sequential:
    """The same network with the units of its second convolution in another order and on other scales."""
    copy = network()
    copy.load_state_dict(net.state_dict())
    with torch.no_grad():
        copy[2].weight.copy_(net[2].weight[PERMUTATION] * SCALES[:, None, None, None])
        copy[2].bias.copy_(net[2].bias[PERMUTATION] * SCALES)
        maps = net[5].weight.view(4, UNITS, -1)[:, PERMUTATION] / SCALES[:, None]
        copy[5].weight.copy_(maps.flatten(1))
    return copy


@pytest.fixture(scope="module")
def found() -> Comparison:
    net = network()
    coarse = torch.rand(40, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    pictures = nn.functional.interpolate(coarse, size=(SIZE, SIZE), mode="bilinear")
    a, b = Model(net, size=SIZE, name="net"), Model(reordered(net), size=SIZE, name="copy")
    assert torch.allclose(a(pictures), b(pictures), atol=1e-5)  # it is the same network
    return compare(a, b, "3", units=range(UNITS), images=pictures.split(16), rounds=1, recipe=QUICK)


def test_pictures_find_the_permutation(found: Comparison) -> None:
    for match in found.matches:
        assert match.by_pictures is not None
        assert int(PERMUTATION[match.by_pictures]) == match.unit
        assert match.weight > 0.9
    assert {int(PERMUTATION[b]) == a for a, b in found.one_to_one.items()} == {True}


def test_activations_find_it_too_and_both_agree(found: Comparison) -> None:
    for match in found.matches:
        assert match.by_activations is not None
        assert int(PERMUTATION[match.by_activations]) == match.unit
        assert match.correlation == pytest.approx(1, abs=1e-4)
    assert found.agreement == 1


def test_a_picture_of_the_same_network_stays_as_it_is(found: Comparison) -> None:
    assert float(found.ssim.min()) > 0.85
    assert max(match.turned_deg for match in found.matches) < 20


def test_the_result_is_plain_data_and_a_table(found: Comparison) -> None:
    document = json.loads(json.dumps(found.as_dict()))
    assert document["agreement"] == 1
    assert len(document["matches"]) == UNITS
    lines = found.csv().splitlines()
    assert lines[0].startswith("layer,unit,layer_b,by_pictures,weight")
    assert len(lines) == UNITS + 1
    assert lines[1].startswith("3,0,3,2,")


def test_a_silent_unit_is_left_out_and_none_is_matched_with_it() -> None:
    net = network()
    with torch.no_grad():
        net[2].weight[1], net[2].bias[1] = 0, -1
    model = Model(net, size=SIZE)
    result = compare(model, model, "3", units=[0, 1, 2], rounds=0, recipe=QUICK)
    assert result.units == (0, 2)
    assert 1 in result.silent[0]
    assert result.silent[0] == result.silent[1]
    assert 1 not in {match.by_pictures for match in result.matches}
    assert result.correlations is None
    assert result.agreement is None
    with pytest.raises(TargetError, match="silent on these pictures"):
        compare(model, model, "3", units=[1], rounds=0, recipe=QUICK)


def test_the_best_of_nothing_is_none() -> None:
    assert best(torch.tensor([0.0, -1.0, float("nan")])) is None
    assert best(torch.tensor([float("nan"), 0.2, 0.5])) == 2


def test_each_unit_is_given_away_once() -> None:
    weights = torch.tensor([[0.9, 0.8, 0.0], [0.8, 0.1, 0.0], [float("nan"), 0.0, 0.0]])
    assert assigned(weights) == {0: 1, 1: 0}


MISTAKES: list[tuple[Callable[[Model], object], type[PellucidError], str]] = [
    (lambda m: compare(m, m, "nine"), TargetError, "no layer 'nine'"),
    (lambda m: compare(m, m, "3", "eight"), TargetError, "no layer 'eight'"),
    (lambda m: compare(m, m, "3", units=[0, 6]), TargetError, "no unit 6 in 3 of net: it has units 0 to 5"),
    (lambda m: compare(m, m, "3", units=[]), TargetError, "name at least one unit"),
    (lambda m: compare(m, m, "3", aggregation="median"), TargetError, "no aggregation 'median'"),
    (lambda m: compare(m, m, "3", cosine_power=-1), TargetError, "cosine_power is a whole number"),
    (lambda m: compare(m, m, "3", recipe={"precision": "bfloat16"}), RecipeError, "float32 or float64"),
    (lambda m: compare(m, m, "3", rounds=-1), RecipeError, "rounds count from 0"),
    (lambda m: compare(m, m, "3", noise_draws=3), RecipeError, "noise_draws by twos"),
    (lambda m: compare(m, m, "3", recipe={"transforms": "lucid"}), RecipeError, "without transforms"),
    (lambda m: compare(m, m, "3", recipe={"penalties": "l1:1"}), RecipeError, "without transforms, penalties"),
    (
        lambda m: compare(m, Model(nn.Conv2d(1, 2, 3), channels=1, size=SIZE), "3", "output"),
        ModelError,
        "pictures that both",
    ),
    (
        lambda m: compare(m, Model(nn.Conv2d(3, 2, 3), size=SIZE, value_range=(-1.0, 1.0)), "3"),
        ModelError,
        "pictures that both",
    ),
    (
        lambda m: compare(Model(network()[:4], size=SIZE + 1), m, "3"),
        ModelError,
        "cannot run on pictures",
    ),
]


@pytest.mark.parametrize(("mistake", "kind", "message"), MISTAKES, ids=[re.sub(r"\W+", "-", m[2]) for m in MISTAKES])
def test_a_mistake_is_said_before_the_first_step(
    mistake: Callable[[Model], object], kind: type[PellucidError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        mistake(Model(network(), size=SIZE, name="net"))
