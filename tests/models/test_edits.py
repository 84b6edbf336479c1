"""Edits: what a forward is given in place of a layer's activations goes on from there, and nowhere else."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn

import pellucid as pl
from pellucid.errors import TargetError
from pellucid.models.model import Model


class LastFirst(nn.Module):
    """A channels-last block that returns a tuple, and what reads its first tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.block, self.head = LastFirst.Block(), nn.Linear(3, 2)

    class Block(nn.Module):
        def forward(self, x: Tensor) -> tuple[str, Tensor]:
            return "first", x.permute(0, 2, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        _, y = self.block(x)
        return self.head(y.mean((1, 2)))


def linear() -> Model:
    torch.manual_seed(0)
    parts = OrderedDict(conv=nn.Conv2d(3, 4, 3), relu=nn.ReLU(inplace=True), mean=nn.AdaptiveAvgPool2d(1))
    return Model(nn.Sequential(parts), size=8)


def test_what_is_replaced_goes_on_through_the_network() -> None:
    model, images = linear(), torch.rand(2, 3, 8, 8)
    seen = model.tap(images, ["conv", "mean"], edits={"conv": lambda z: torch.full_like(z, 7.0)})
    assert (seen["conv"] == 7).all()
    assert (seen["mean"] == 7).all()
    assert (model.tap(images, ["mean"])["mean"] != 7).all()


def test_a_unit_is_ablated_alone() -> None:
    model, images = linear(), torch.rand(2, 3, 8, 8) + 1

    def ablated(z: Tensor) -> Tensor:
        return torch.where(torch.arange(4).view(4, 1, 1) == 2, 0.0, z)

    before, after = model.tap(images, ["mean"])["mean"], model.tap(images, ["mean"], edits={"conv": ablated})["mean"]
    assert (after[:, 2] == 0).all()
    assert torch.equal(after[:, [0, 1, 3]], before[:, [0, 1, 3]])


def test_a_gradient_reaches_the_layer_though_what_follows_overwrites_it() -> None:
    model, kept = linear(), []

    def remembered(z: Tensor) -> Tensor:
        kept.append(z.detach().requires_grad_())
        return kept[0].clone()

    model.tap(torch.rand(1, 3, 8, 8), ["mean"], edits={"conv": remembered})["mean"].sum().backward()
    assert torch.allclose(kept[0].grad, (kept[0] > 0) / 36)


def test_channels_last_in_a_tuple_are_edited_as_maps() -> None:
    model = Model(LastFirst(), size=(4, 6))
    shapes: list[torch.Size] = []

    def edit(z: Tensor) -> Tensor:
        shapes.append(z.shape)
        return z * 0 + torch.arange(3.0).view(3, 1, 1)

    seen = model.tap(torch.rand(2, 3, 4, 6), ["output"], edits={"block": edit})["output"]
    assert shapes == [torch.Size([2, 3, 4, 6])]
    assert torch.allclose(seen, model._module.head(torch.arange(3.0)).expand(2, 2))


def test_a_member_of_an_ensemble_is_edited_alone() -> None:
    both, images = pl.Ensemble(a=linear(), b=linear()), torch.rand(1, 3, 8, 8)
    seen = both.tap(images, ["a/mean", "b/mean"], edits={"a/conv": torch.zeros_like})
    assert (seen["a/mean"] == 0).all()
    assert (seen["b/mean"] != 0).any()


def test_mistakes_are_said_before_or_as_they_happen() -> None:
    model, images = linear(), torch.rand(1, 3, 8, 8)
    with pytest.raises(TargetError, match=r"no layer 'cnov' in Sequential. Did you mean 'conv'"):
        model.tap(images, ["mean"], edits={"cnov": lambda z: z})
    with pytest.raises(TargetError, match=r"an edit of conv gave \[1, 4, 6\] in place of \[1, 4, 6, 6\]"):
        model.tap(images, ["mean"], edits={"conv": lambda z: z[..., 0]})
    assert not any(part._forward_hooks for part in model._module.modules())
