"""A ReLU taken behind max-pooling changes passes over memory, and neither an activation nor a gradient, to the bit."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

import pellucid as pl
from pellucid.models.delayed_relu import delay_relus
from pellucid.models.gradients import IdentityReLU, RedirectedReLU
from pellucid.models.max_pooling import SmoothedMaxPool


class Rectified(TorchDispatchMode):
    """Counts the numbers that ReLUs and their gradients go over."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket in (torch.ops.aten.relu, torch.ops.aten.relu_, torch.ops.aten.threshold_backward):
            self.count += args[0].numel()
        return func(*args, **(kwargs or {}))


class Plain(nn.Module):
    """A convolution, and whatever follows it, by a function."""

    def __init__(self, *after: Callable[[Tensor], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.other = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(3, 8, 1)
        self.relu, self.pool, self.end = nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), nn.Conv2d(8, 4, 1)
        self.requires_grad_(False)


class Chain(Plain):
    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.end(self.pool(self.relu(self.conv(x))))
        return result


class ByFunctions(Plain):
    """As it is taught: rectifier and pooling are functions of the whole network's forward."""

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.end(F.max_pool2d(F.relu(self.conv(x)), 2))
        return result


class ByOneFunction(Plain):
    """A module between functions, which is no part of the whole network's own calls."""

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.end(torch.max_pool2d(self.relu(self.conv(x)), 2, padding=1))
        return F.relu(result)


class Block(Plain):
    """Ends in a function, as torchvision's `BasicConv2d` does."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x), inplace=True)


class Blocks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks, self.pool, self.end = nn.ModuleList([Block(), Block()]), nn.MaxPool2d(2), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.end(self.pool(torch.cat([block(x) for block in self.blocks], 1)) - 0.1)
        return result


class InPlace(Plain):
    """A tree of concatenations; one branch in place, one by a method."""

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.cat([self.conv(x).relu_(), torch.relu(self.other(x))], 1)
        result: Tensor = self.pool(torch.concat((inner, F.relu(self.conv(-x))), dim=1))
        return result


class PooledTwice(Plain):
    def forward(self, x: Tensor) -> Tensor:
        seen = self.relu(self.conv(x))
        return torch.cat([self.pool(seen), self.pool(seen)], 1)


class Skip(Plain):
    """As a U-Net has it: what is pooled is read again later."""

    def forward(self, x: Tensor) -> Tensor:
        seen = self.relu(self.conv(x))
        return F.interpolate(self.pool(seen), size=seen.shape[2:]) + seen


class BeforeIsRead(Plain):
    """What a ReLU rectified is read again, as it was."""

    def forward(self, x: Tensor) -> Tensor:
        before = self.conv(x)
        pooled = self.pool(self.relu(before))
        return F.interpolate(pooled, size=before.shape[2:]) + before


class MixedParts(Plain):
    """One part of a concatenation is no ReLU's."""

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.pool(torch.cat([self.relu(self.conv(x)), self.other(x)], 1))
        return result


class Added(Plain):
    """Something is added before the pooling."""

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.pool(self.relu(self.conv(x)) + 1)
        return result


class CalledTwice(Plain):
    """One module rectifies two maps."""

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.relu(self.end(self.pool(self.relu(self.conv(x)))))
        return result


class Returned(Plain):
    """The map that is pooled is what the forward gives."""

    def forward(self, x: Tensor) -> Tensor:
        seen: Tensor = self.relu(self.conv(x))
        self.pool(seen)
        return seen


class CopiesItself(Chain):
    def __deepcopy__(self, memo: Any) -> nn.Module:
        return CopiesItself()


class WithIndices(Plain):
    def forward(self, x: Tensor) -> Tensor:
        pooled, places = F.max_pool2d(self.relu(self.conv(x)), 2, return_indices=True)
        return pooled + places


DELAYED = {Chain: 1, ByFunctions: 1, ByOneFunction: 1, Blocks: 2, InPlace: 3}
AS_THEY_ARE = [PooledTwice, Skip, BeforeIsRead, MixedParts, Added, CalledTwice, Returned, CopiesItself, WithIndices]


def images(grad: bool = True) -> Tensor:
    drawn = torch.randn(2, 3, 13, 15, generator=torch.Generator().manual_seed(1))
    drawn[0, :, 4:] = 0  # places where a window is off, or where its numbers are all the same
    return drawn.requires_grad_(grad)


def looked(module: nn.Module, rule: Any = None) -> tuple[Tensor, Tensor, int]:
    """What a network gives, its gradient, and over how many numbers its ReLUs went."""
    shown = images()
    with Rectified() as rectified:
        if rule is None:
            result = module(shown)
        else:
            with rule:
                result = module(shown)
        (gradient,) = torch.autograd.grad(result.square().sum(), shown)
    return result.detach(), gradient, rectified.count


def delayed(module: nn.Module, kept: tuple[str, ...] = ()) -> int:
    return delay_relus(module, lambda: module(images(grad=False)), kept)


def alike(one: nn.Module, other: nn.Module, rule: Callable[[], Any] = lambda: None) -> None:
    for ours, theirs in zip(looked(one, rule())[:2], looked(other, rule())[:2], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


@pytest.mark.parametrize("kind", DELAYED)
def test_values_and_gradients_are_the_same_to_the_bit(kind: type[nn.Module]) -> None:
    plain, fast = kind(), kind()
    assert delayed(fast) == DELAYED[kind]
    alike(fast, plain)
    assert looked(fast)[2] < looked(plain)[2] / 2


@pytest.mark.parametrize("kind", AS_THEY_ARE)
def test_what_something_else_reads_is_left_alone(kind: type[nn.Module]) -> None:
    plain, same = kind(), kind()
    assert delayed(same) == 0
    alike(same, plain)
    assert looked(same)[2] == looked(plain)[2]


@pytest.mark.parametrize("kind", DELAYED)
@pytest.mark.parametrize("rule", [IdentityReLU, RedirectedReLU, SmoothedMaxPool])
def test_gradient_rules_find_each_relu_where_it_stands(kind: type[nn.Module], rule: Callable[[], Any]) -> None:
    plain, fast = kind(), kind()
    delayed(fast)
    alike(fast, plain, rule)


def test_copies_have_forwards_of_their_own() -> None:
    fast = Chain()
    delayed(fast)
    copied = copy.deepcopy(fast)
    with torch.no_grad():
        fast.conv.weight.zero_()
        fast.pool.kernel_size = 5
    alike(copied, Chain())


@pytest.mark.parametrize(
    ("kind", "kept"), [(Chain, "relu"), (ByFunctions, ""), (Blocks, "blocks.1"), (InPlace, ""), (ByOneFunction, "relu")]
)
def test_what_somebody_wants_to_see_stays(kind: type[nn.Module], kept: str) -> None:
    module = kind()
    seen: list[Tensor] = []
    if kept:
        assert delayed(module, (kept,)) == 0
        module.get_submodule(kept).register_forward_hook(lambda part, inputs, result: seen.append(result.clone()))
        module(images())
        assert (seen[0] >= 0).all()
    else:  # the whole network's result is no map that is pooled
        assert delayed(module, ("",)) == DELAYED[kind]


def test_a_hook_of_the_users_own_sees_what_it_saw() -> None:
    module = Chain()
    seen: list[Tensor] = []
    module.relu.register_forward_hook(lambda part, inputs, result: seen.append(result))
    assert delayed(module) == 0
    module(images())
    assert (seen[-1] >= 0).all()


def test_calls_outside_of_every_module_are_left_alone() -> None:
    module = Chain()
    run = lambda: F.max_pool2d(F.relu(module.conv(images(grad=False))), 2)  # noqa: E731
    assert delay_relus(module, run) == 0


def test_a_working_copy_takes_them_where_it_is_folded() -> None:
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    network = torchvision.models.googlenet(weights=None, init_weights=False, aux_logits=False)
    model = pl.Model(network, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2), size=96)
    assert model.num_delayed == 0
    folded = model.folded(["inception4c"])
    # Behind the first and the third convolution, and the four branches of 3b and of 4e.
    assert folded.num_delayed == 10
    assert folded.twin().num_delayed == 10
    assert model.folded(["inception3b", "conv1"]).num_delayed == 5
    shown = torch.rand(2, 3, 96, 96)
    for layer in ("inception4c", "inception3b", "conv1"):
        worker = model.folded([layer])
        torch.testing.assert_close(worker.tap(shown, [layer])[layer], model.tap(shown, [layer])[layer])
