"""Laws of smoothed max-pooling: its values stay, its gradient is the smooth one's, and it reverts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.errors import RecipeError
from pellucid.models.max_pooling import SmoothedMaxPool

FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "module": nn.MaxPool2d(2),
    "F.max_pool2d": lambda x: F.max_pool2d(x, 2),
    "by name": lambda x: F.max_pool2d(input=x, kernel_size=(2, 2), stride=[2, 2]),
    "torch.max_pool2d": lambda x: torch.max_pool2d(x, 2),
    "adaptive module": nn.AdaptiveMaxPool2d((2, 3)),
    "F.adaptive_max_pool2d": lambda x: F.adaptive_max_pool2d(x, (2, 3)),
}
NOT_REACHED: dict[str, Callable[[Tensor], Tensor]] = {
    "with indices": lambda x: F.max_pool2d(x, 2, return_indices=True)[0],
    "dilated": lambda x: F.max_pool2d(x, 2, dilation=2),
    "amax": lambda x: x.amax((2, 3)),
    "aten": lambda x: torch.ops.aten.max_pool2d(x, 2),
    "one dimension": lambda x: F.max_pool1d(x.flatten(2), 2),
}
X = torch.randn(3, 2, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def gradient(form: Callable[[Tensor], Tensor], x: Tensor = X) -> Tensor:
    """The gradient of 1 · y_0 + 2 · y_1 + …, so that no two windows weigh the same."""
    x = x.clone().requires_grad_()
    y = form(x)
    return torch.autograd.grad((y * torch.arange(1.0, y.numel() + 1).view_as(y)).sum(), x)[0]


def by_hand(kind: str, x: Tensor = X) -> Tensor:
    """Windows of 2 x 2, one after the other."""
    found = torch.zeros_like(x)
    weight = 0.0
    for image in range(len(x)):
        for channel in range(2):
            for row in (0, 2):
                for col in (0, 2, 4):
                    weight += 1
                    window = x[image, channel, row : row + 2, col : col + 2]
                    a, b = window.square().mean(), 1e-2 + window.abs().mean()
                    share = (2 * window * b - a * window.sign()) / (4 * b**2) if kind == "l2" else torch.tensor(0.25)
                    found[image, channel, row : row + 2, col : col + 2] = weight * share
    return found


@pytest.mark.parametrize("kind", ["l2", "average"])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_gradient_is_the_smooth_poolings_and_reverts(form: Callable[[Tensor], Tensor], kind: str) -> None:
    usual = gradient(form)
    assert torch.equal(usual, gradient(lambda x: F.max_pool2d(x, 2)))
    with SmoothedMaxPool(kind):  # type: ignore[arg-type]
        assert torch.allclose(gradient(form), by_hand(kind), rtol=1e-12)
        assert torch.equal(form(X.clone().requires_grad_()), F.max_pool2d(X, 2))
        assert torch.equal(form(X), F.max_pool2d(X, 2))
    assert torch.equal(gradient(form), usual)


@pytest.mark.parametrize("form", NOT_REACHED.values(), ids=NOT_REACHED)
def test_what_is_not_reached_keeps_its_gradient(form: Callable[[Tensor], Tensor]) -> None:
    usual = gradient(form)
    with SmoothedMaxPool():
        assert torch.equal(gradient(form), usual)


def test_only_the_rows_asked_for_are_smoothed() -> None:
    usual, smooth = gradient(FORMS["module"]), by_hand("l2")
    with SmoothedMaxPool("l2", torch.tensor([False, True, False])):
        found = gradient(FORMS["module"])
        assert torch.equal(gradient(FORMS["module"], X[:2]), usual[:2])  # another batch: windows, perhaps
    assert torch.equal(found[0], usual[0])
    assert torch.allclose(found[1], smooth[1])
    assert torch.equal(found[2], usual[2])


@pytest.mark.parametrize("windows", [{"padding": 1, "stride": 2}, {"stride": 2, "ceil_mode": True}, {"stride": 1}])
def test_padding_does_not_count(windows: dict[str, int]) -> None:
    ones = torch.ones(1, 1, 5, 5, dtype=torch.float64)
    with SmoothedMaxPool("average"):
        found = gradient(lambda x: F.max_pool2d(x, 3, **windows), ones)
    total = F.max_pool2d(ones, 3, **windows).numel()
    assert found.sum().item() == pytest.approx(total * (total + 1) / 2)  # every window passes all of its weight on


def test_an_unknown_smoothing_is_an_error() -> None:
    make = getattr(SmoothedMaxPool.__init__, "__wrapped__", SmoothedMaxPool.__init__)  # beyond the tests' type checker
    with pytest.raises(RecipeError, match=r"no smoothing of max-pooling 'l3'. There are: l2, average\."):
        make(object.__new__(SmoothedMaxPool), "l3")
