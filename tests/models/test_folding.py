"""Folding batch norms changes passes over memory, and no activation."""

import pytest
import torch
from torch import Tensor, nn

import pellucid as pl
from pellucid.models.folding import FoldedBatchNorm, fold_batch_norms
from pellucid.models.taps import Tap


def with_statistics(module: nn.Module) -> nn.Module:
    """Batch norms far from the identity, so that a wrong fold shows."""
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d) and part.running_mean is not None and part.running_var is not None:
            part.running_mean.normal_()
            part.running_var.uniform_(0.1, 4)
            if part.affine:
                nn.init.normal_(part.weight)
                nn.init.normal_(part.bias)
    return module.eval().requires_grad_(False)


def folds(module: nn.Module, kept: tuple[str, ...] = ()) -> int:
    """How many are folded; the outputs before and after are compared on the way."""
    images = torch.randn(2, 3, 12, 12)
    before = module(images)
    count = fold_batch_norms(module, lambda: module(torch.zeros(1, 3, 12, 12)), kept)
    torch.testing.assert_close(module(images), before, rtol=1e-4, atol=1e-4)
    return count


class Twice(nn.Module):
    """A convolution called twice, whose batch norm is called once."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) + self.conv(x)


class ReadByTwo(Twice):
    """A convolution whose result goes through the batch norm and past it."""

    def forward(self, x: Tensor) -> Tensor:
        seen = self.conv(x)
        return torch.cat([self.norm(seen), seen], 1)


class ByFunction(Twice):
    """A batch norm that reads what a function made of the convolution's result."""

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(torch.tanh(self.conv(x)))


def chain(**norm: bool) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 5, 3, bias=False), nn.BatchNorm2d(5, **norm), nn.ReLU(inplace=True))


@pytest.mark.parametrize(
    ("module", "count"),
    [
        (chain(), 1),
        (chain(affine=False), 1),
        (chain(track_running_stats=False), 0),
        (nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 5, 3)), 0),
        (Twice(), 0),
        (ReadByTwo(), 0),
        (ByFunction(), 0),
    ],
    ids=["plain", "no affine", "no statistics", "norm first", "called twice", "read by two", "function between"],
)
def test_exactly_the_exact_ones_are_folded(module: nn.Module, count: int) -> None:
    assert folds(with_statistics(module)) == count


def test_a_convolution_that_is_looked_at_is_kept() -> None:
    model = pl.Model(with_statistics(nn.Sequential(chain(), chain_of_five())), size=12)
    images = torch.rand(2, 3, 12, 12)
    assert model.folded().num_folded == 2
    folded = model.folded(kept=["0.0"])
    assert folded.num_folded == 1
    assert folded.weights_hash == model.weights_hash
    for layer in ("0.0", "0.1", "0.2", "1.1", "1.2"):
        torch.testing.assert_close(folded.tap(images, [layer])[layer], model.tap(images, [layer])[layer])


def chain_of_five() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(5, 4, 3, bias=True), nn.BatchNorm2d(4), nn.ReLU(inplace=True))


def test_modules_with_hooks_or_of_other_kinds_are_left_alone() -> None:
    class Own(nn.BatchNorm2d):
        pass

    hooked = with_statistics(chain())
    hooked[0].register_forward_hook(lambda module, inputs, result: result + 1)
    assert folds(hooked) == 0
    assert folds(with_statistics(nn.Sequential(nn.Conv2d(3, 5, 3), Own(5)))) == 0


def test_negative_objectives_still_read_before_the_rectifier() -> None:
    model = pl.Model(with_statistics(chain()), size=12)
    tap = Tap("2", pre=True)
    images = torch.rand(2, 3, 12, 12)
    expected = model.tap(images, [tap])[tap]
    assert expected.min() < 0
    torch.testing.assert_close(model.folded().tap(images, [tap])[tap], expected)


def test_the_embedded_network_is_folded_whole() -> None:
    folded = pl.load("default").folded()
    assert folded.num_folded == 44
    assert sum(isinstance(part, FoldedBatchNorm) for part in folded._module.modules()) == 44


class Behind(nn.Module):
    """A convolution that is looked at, and its batch norm; then one whose batch norm stands elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.second = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(1):
            x = self.norm(self.first(x)) * 2  # what the batch norm read is freed here, and its identity with it
        return nn.functional.batch_norm(self.second(x), torch.zeros(3), torch.ones(3))


def test_a_batch_norm_is_not_folded_into_a_later_convolution() -> None:
    """A freed tensor leaves its identity to a later one, which must not be taken for what the batch norm had read."""
    assert [folds(with_statistics(Behind()), kept=("first",)) for _ in range(20)] == [0] * 20
