"""Laws of responses: how much a unit fires, by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pellucid.errors import TargetError
from pellucid.models.layers import Layer
from pellucid.models.positions import Position
from pellucid.models.taps import Activations, Tap
from pellucid.objectives.response import REDUCTIONS, Reduction, Response, places, reduced

MAP = torch.tensor([[[-1.0, 2.0, 0.0, 4.0], [3.0, 1.0, 6.0, -5.0], [7.0, 0.0, 2.0, 2.0]]])  # [1, 3, 4]
BY_HAND: dict[Reduction, float] = {
    "mean": 21 / 12,
    "sum": 21.0,
    "norm": math.sqrt(149),
    "max": 7.0,
    "pooled": (3 + 6) / 2,  # of whole 2x2 windows only: the last row of an odd map has none
}


def activations(value: Tensor, layer: Layer, pre: bool = False) -> Activations:
    return Activations({Tap(layer.name, pre): value}, {layer.name: layer}, torch.zeros(len(value), 3, 2, 2))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_reductions_by_hand(reduction: Reduction) -> None:
    layer = Layer("l", "Conv2d", "bchw", (2, 3, 4), 2)
    value = torch.stack([torch.cat([MAP, MAP * 2])])
    got = Response("l", reduction)(activations(value, layer))
    assert torch.allclose(got, torch.tensor([[BY_HAND[reduction], 2 * BY_HAND[reduction]]]))
    assert len({*BY_HAND.values()}) == len(REDUCTIONS)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_gradients_are_finite_at_zero_and_on_maps_of_one_place(reduction: Reduction) -> None:
    for shape in ((1, 1, 3, 3), (1, 1, 1, 1), (1, 1, 1, 5)):
        z = torch.zeros(shape, requires_grad=True)
        reduced(z, reduction).sum().backward()
        assert z.grad is not None
        assert z.grad.isfinite().all()
    one = torch.tensor([[[-2.5]]])
    assert reduced(one, reduction).item() == (2.5 if reduction == "norm" else -2.5)


def test_low_precision_is_reduced_in_float32() -> None:
    z = torch.full((1, 1, 64, 64), 1.0, dtype=torch.bfloat16)
    assert reduced(z, "sum").dtype == torch.float32
    assert reduced(z, "sum").item() == 4096
    assert reduced(z.double(), "sum").dtype == torch.float64


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,2", 6.0),
        ("c", 6.0),  # 3 // 2, 4 // 2
        ("1,:", 5 / 4),
        (":,0", 3.0),
        ("0:2,1:3", 9 / 4),
        ("2,3", 2.0),
    ],
)
def test_positions_by_hand(text: str, expected: float) -> None:
    layer = Layer("l", "Conv2d", "bchw", (1, 3, 4), 1)
    position, _ = Position.read(text)
    got = Response("l", position=position)(activations(MAP[None], layer))
    assert got.item() == pytest.approx(expected)


def test_a_position_outside_the_map_is_an_error() -> None:
    layer = Layer("l", "Conv2d", "bchw", (1, 3, 4), 1)
    with pytest.raises(TargetError, match=r"@3,0 lies outside the 3x4 map: rows 0 to 2, columns 0 to 3\."):
        Response("l", position=Position.cell(3, 0))(activations(MAP[None], layer))


@pytest.mark.parametrize("prefix", [0, 1, 2, 5])
def test_tokens_lie_on_their_grid_and_prefix_tokens_stay_out(prefix: int) -> None:
    layer = Layer("t", "Block", "bnc", (prefix + 6, 2), 2, prefix, (2, 3))
    patches = torch.arange(6.0)
    value = torch.cat([torch.full((prefix,), 100.0) + torch.arange(prefix), patches])[None, :, None] * torch.tensor(
        [1.0, -1.0]
    )
    acts = activations(value, layer)
    assert torch.equal(places(value, layer), torch.stack([patches, -patches])[None].view(1, 2, 2, 3))
    assert torch.equal(Response("t")(acts), torch.tensor([[2.5, -2.5]]))
    assert torch.equal(Response("t", position=Position("patch"))(acts), torch.tensor([[2.5, -2.5]]))
    assert torch.equal(Response("t", position=Position.cell(1, 0))(acts), torch.tensor([[3.0, -3.0]]))
    assert torch.equal(Response("t", "max", Position("centre"))(acts), torch.tensor([[4.0, -4.0]]))
    if prefix:
        assert torch.equal(Response("t", position=Position("cls"))(acts), torch.tensor([[100.0, -100.0]]))
    else:
        with pytest.raises(TargetError, match=r"layer 't' has no class token; its 6 tokens are patches"):
            Response("t", position=Position("cls"))(acts)


def test_a_row_of_numbers_has_one_place() -> None:
    layer = Layer("fc", "Linear", "bc", (3,), 3)
    value = torch.tensor([[1.0, -2.0, 3.0]])
    assert torch.equal(Response("fc")(activations(value, layer)), value)
    assert torch.equal(Response("fc", "pooled", Position("centre"))(activations(value, layer)), value)


def test_the_pre_activation_is_another_tap() -> None:
    layer = Layer("l", "ReLU", "bchw", (1, 3, 4), 1)
    assert Response("l", pre=True).tap == Tap("l", True)
    assert Response("l", pre=True)(activations(MAP[None], layer, pre=True)).item() == pytest.approx(21 / 12)
