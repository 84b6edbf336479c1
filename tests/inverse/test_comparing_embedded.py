"""The embedded network compared with itself, its channels reordered and rescaled: the permutation is found."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from pellucid.ascent.recipe import Recipe
from pellucid.inverse.comparing import RECIPE, compare
from pellucid.models.model import Model
from pellucid.models.zoo import load

LAYER, NEXT = "mixed3a", "mixed3b"
BRANCHES = ("branch1x1", "branch3x3.1", "branch5x5.2", "branch_pool.1")  # what ends each branch, in order
READERS = ("branch1x1", "branch3x3.0", "branch5x5.0", "branch_pool.1")  # what reads the block


@torch.no_grad()
def reordered(net: nn.Module, generator: torch.Generator) -> tuple[nn.Module, Tensor]:
    """The same network with the channels of a block in another order and on other scales: unit j was unit order[j]."""
    net = copy.deepcopy(net)
    orders, scales, first = [], [], 0
    for name in BRANCHES:
        block = net.get_submodule(f"{LAYER}.{name}")
        count = block.conv.out_channels
        order, scale = torch.randperm(count, generator=generator), 0.1 * 100 ** torch.rand(count, generator=generator)
        block.conv.weight.copy_(block.conv.weight[order])
        for part in ("weight", "bias", "running_mean", "running_var"):
            values = getattr(block.norm, part)[order]
            getattr(block.norm, part).copy_(values * scale if part in ("weight", "bias") else values)
        orders.append(order + first)
        scales.append(scale)
        first += count
    order, scale = torch.cat(orders), torch.cat(scales)
    for name in READERS:
        weight = net.get_submodule(f"{NEXT}.{name}").conv.weight
        weight.copy_(weight[:, order] / scale[:, None, None])
    return net, order


def test_the_embedded_network_finds_itself_reordered_and_rescaled() -> None:
    a = load("default")
    net, order = reordered(a._module, torch.Generator().manual_seed(0))
    b = Model(net, name="reordered", mean=a.mean, std=a.std, size=a.size)
    coarse = torch.rand(48, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    pictures = nn.functional.interpolate(coarse, size=(32, 32), mode="bilinear")
    assert torch.allclose(a(pictures), b(pictures), atol=1e-3)
    recipe = Recipe.of(RECIPE, size=(32, 32), steps=128)
    units = [3, 50, 100, 130]  # one of each branch
    found = compare(a, b, LAYER, units=units, images=pictures.split(16), rounds=1, recipe=recipe)
    found_again = [
        match.by_pictures is not None and int(order[match.by_pictures]) == match.unit for match in found.matches
    ]
    # So few steps do not bring every unit's picture to where its gradient ends.
    assert sum(found_again) >= 3, found.matches
    for match in found.matches:
        assert match.by_activations is not None
        assert int(order[match.by_activations]) == match.unit
