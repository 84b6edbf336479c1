"""What a unit feeds: the weights of a network that was weighted by hand come back, through whatever lies between."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import pellucid as pl
from pellucid.errors import TargetError
from pellucid.explain.feeding import feeds, weights_between

FIRST = [[2.0, 0.0, -1.0], [0.0, 3.0, 0.0]]  # two units of `second` by three of `first`
INNER = [[1.0, 0.0], [0.0, -4.0], [0.5, 0.5]]  # three units of `inner` by two of `second`


class Hand(nn.Module):
    """`second` is `FIRST` of `first`, over 3x3 kernels that sum to it, a batch norm that doubles it, and pooling;
    `inner` and `other` stand side by side behind it. Every rectifier is far below zero, so that all are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 1)
        self.second = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 2, 3, padding=1), nn.BatchNorm2d(2))
        self.pool = nn.MaxPool2d(2)
        self.inner = nn.Sequential(nn.ReLU(), nn.Conv2d(2, 3, 1), nn.ReLU())
        self.other = nn.Conv2d(2, 1, 1)
        with torch.no_grad():
            self.first.bias -= 100  # type: ignore[operator]
            spread = torch.rand(2, 3, 9, generator=torch.Generator().manual_seed(0))
            kernel = spread / spread.sum(2, keepdim=True) * torch.tensor(FIRST)[:, :, None]
            self.second[1].weight.copy_(kernel.view(2, 3, 3, 3))
            self.second[2].running_var.fill_(0.25)  # type: ignore[union-attr]
            self.second[2].bias -= 100  # type: ignore[operator]
            self.inner[1].weight.copy_(torch.tensor(INNER)[..., None, None])
            self.other.weight.copy_(torch.tensor([[[[7.0]], [[0.0]]]]))

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.pool(self.second(self.first(x)))
        return torch.cat([self.inner(pooled), self.other(pooled)], 1)


def hand() -> pl.Model:
    return pl.Model(Hand(), size=16, name="hand")


def test_weights_come_back_through_norm_pooling_and_closed_rectifiers() -> None:
    assert torch.allclose(weights_between(hand(), "first", "second"), 2 * torch.tensor(FIRST), atol=1e-3)
    assert torch.allclose(weights_between(hand(), "second", "inner"), torch.tensor(INNER), atol=1e-5)
    through_both = torch.tensor(INNER) @ (2 * torch.tensor(FIRST))
    assert torch.allclose(weights_between(hand(), "first", "inner", [2, 0]), through_both[[2, 0]], atol=1e-3)


def test_each_unit_names_those_that_it_raises_and_then_those_that_it_lowers() -> None:
    units = {"first": (0, 1, 2), "second": (0, 1), "inner": (0, 1, 2), "other": (0,)}
    table = feeds(hand(), units, count=2)

    def named(column: str, target: str) -> list[tuple[str, float]] | None:
        row = table.row(target)
        assert row is not None
        return row[column] and [(one["target"], round(one["weight"], 3)) for one in row[column]]

    assert named("feeds", "first:0") == [("second:0", 4.0)]  # a weight of none feeds nobody
    assert named("feeds", "first:2") == [("second:0", -2.0)]
    # Behind `second` two layers stand side by side: the strongest of both, and neither feeds the other.
    assert named("feeds", "second:0") == [("other:0", 7.0), ("inner:0", 1.0)]
    assert named("feeds", "second:1") == [("inner:2", 0.5), ("inner:1", -4.0)]
    assert named("feeds", "inner:0") is None
    assert named("fed_by", "second:0") == [("first:0", 4.0), ("first:2", -2.0)]
    assert named("fed_by", "other:0") == [("second:0", 7.0)]
    assert named("fed_by", "first:0") is None
    assert table.about("feeds").provenance["layer before"]["other"] == "second"


def test_only_units_that_are_asked_for_are_named() -> None:
    table = feeds(hand(), {"first": (2,), "second": (0,)})
    assert table.targets == ("first:2", "second:0")
    (one,) = table["fed_by"][1]
    assert (one["target"], round(one["weight"], 3)) == ("first:2", -2.0)


def test_the_embedded_network_is_read_to_its_last_layer() -> None:
    model = pl.load("default")
    logits = dict(model._module.named_parameters())["logits.weight"]
    got = weights_between(model, "mixed5a", "logits", [3])
    assert torch.allclose(got[0], logits[3].float(), atol=1e-5)


def test_what_does_not_depend_or_is_not_there_is_said() -> None:
    with pytest.raises(TargetError, match="does not depend on layer inner"):
        weights_between(hand(), "inner", "other")
    with pytest.raises(TargetError, match="channel 9 is out of range: second has 2 channels"):
        feeds(hand(), {"first": (0,), "second": (9,)})
    with pytest.raises(TargetError, match="no layer 'third'"):
        feeds(hand(), {"third": (0,)})


def test_it_can_be_stopped() -> None:
    shares = []

    def stop(share: float) -> bool:
        shares.append(share)
        return True

    with pytest.raises(KeyboardInterrupt):
        feeds(hand(), {"first": (0, 1), "second": (0, 1), "inner": (0,)}, progress=stop)
    assert shares == [2 / 3]
