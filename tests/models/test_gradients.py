"""Laws of gradient rules: they change what they say, for whom they say, and revert."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.models.gradients import IdentityReLU, NonlinearityRecord, RedirectedReLU

FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "module": nn.ReLU(),
    "module in place": lambda x: nn.ReLU(inplace=True)(x * 1),
    "F.relu": F.relu,
    "F.relu in place": lambda x: F.relu(x * 1, True),
    "torch.relu": torch.relu,
    "method": Tensor.relu,
    "method in place": lambda x: (x * 1).relu_(),
    "torch.relu_": lambda x: torch.relu_(x * 1),
    "in place, result ignored": lambda x: ignoring(x * 1),
    "on a view": lambda x: of_a_view(x * 1),
}
FORMS6: dict[str, Callable[[Tensor], Tensor]] = {
    "module": nn.ReLU6(),
    "module in place": lambda x: nn.ReLU6(inplace=True)(x * 1),
    "F.relu6": F.relu6,
    "F.hardtanh": lambda x: F.hardtanh(x, 0.0, max_val=6.0),
    "F.hardtanh_": lambda x: F.hardtanh_(x * 1, 0.0, 6.0),
}


def ignoring(x: Tensor) -> Tensor:
    x.relu_()
    return x


def of_a_view(x: Tensor) -> Tensor:
    x[:, :].relu_()
    return x


# Image 0 is blocked whole, image 1 is on in one place, image 2 has no gradient coming in at all.
X = torch.tensor([[-1.0, -2.0, 0.0, -3.0], [-1.0, 2.0, 0.0, -3.0], [-1.0, 2.0, 3.0, -3.0]])
G = torch.tensor([[0.5, -0.25, 0.125, -0.0625], [0.5, -0.25, 0.125, -0.0625], [0.0, 0.0, 0.0, 0.0]])
# By hand: the gradient passes where x is on; in image 0, blocked, except where it would push x < 0 further down.
REDIRECTED = torch.tensor([[0.0, -0.25, 0.125, -0.0625], [0.0, -0.25, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
USUAL = torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, -0.25, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])


def gradient(form: Callable[[Tensor], Tensor], x: Tensor = X, g: Tensor = G) -> Tensor:
    x = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(form(x), x, g)
    return found


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_redirected_relu_is_the_formula_in_every_form_and_reverts(form: Callable[[Tensor], Tensor]) -> None:
    assert torch.equal(gradient(form), USUAL)
    with RedirectedReLU():
        assert torch.equal(gradient(form), REDIRECTED)
        assert torch.equal(form(X.clone()), X.clamp(min=0))
        assert torch.equal(form(X.clone().requires_grad_()), X.clamp(min=0))
    assert torch.equal(gradient(form), USUAL)


@pytest.mark.parametrize("form", FORMS6.values(), ids=FORMS6)
def test_redirected_relu6_also_lowers_what_is_full(form: Callable[[Tensor], Tensor]) -> None:
    x = torch.tensor([[-1.0, -1.0, 7.0, 7.0], [-1.0, 7.0, 3.0, 6.0]])
    g = torch.tensor([[1.0, -2.0, 4.0, -8.0], [-1.0, -2.0, -4.0, 8.0]])
    with RedirectedReLU():
        assert torch.equal(gradient(form, x, g), torch.tensor([[0.0, -2.0, 4.0, 0.0], [0.0, 0.0, -4.0, 0.0]]))
        assert torch.equal(form(x.clone()), x.clamp(0, 6))
    assert torch.equal(gradient(form, x, g), torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, -4.0, 0.0]]))


@pytest.mark.parametrize("form", [*FORMS.values(), *FORMS6.values()])
def test_the_identity_rule_passes_all_and_reverts(form: Callable[[Tensor], Tensor]) -> None:
    x, g = X * 4, torch.randn(3, 4)
    usual = gradient(form, x, g)
    with IdentityReLU():
        assert torch.equal(gradient(form, x, g), g)
        assert torch.equal(form(x.clone().requires_grad_()), form(x.clone()))
    with IdentityReLU(torch.tensor([False, True, False])):
        found = gradient(form, x, g)
    assert torch.equal(found, torch.stack([usual[0], g[1], usual[2]]))
    assert torch.equal(gradient(form, x, g), usual)
    assert not torch.equal(usual, g)


def test_a_blocked_image_gets_a_gradient_and_its_neighbours_is_bitwise_unchanged() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(inplace=True), nn.Conv2d(8, 2, 3), nn.ReLU())
        images = torch.rand(3, 3, 8, 8)
    with torch.no_grad():
        net[2].bias.fill_(-0.05)
        images[1] = 0
        net[0].bias.fill_(-0.01)  # with a black picture, nothing is on in the first layer: blocked twice

    def gradients(rows: list[bool] | None = None) -> Tensor:
        x = images.clone().requires_grad_()
        found = torch.autograd.grad(net(x).sum(), x)[0] if rows is None else None
        if found is None:
            with RedirectedReLU(torch.tensor(rows)):
                found = torch.autograd.grad(-net(x).sum(), x)[0]
        return found

    usual = -gradients()
    assert usual[1].abs().max() == 0
    assert usual[0].abs().max() > 0
    redirected = gradients([False, True, False])
    assert redirected[1].abs().max() > 0
    assert torch.equal(redirected[0], usual[0])
    assert torch.equal(redirected[2], usual[2])
    assert torch.equal(gradients([False, False, False]), usual)


def test_following_a_redirected_gradient_wakes_the_unit() -> None:
    x = torch.tensor([[-1.0, -2.0]], requires_grad=True)
    for _ in range(30):
        with RedirectedReLU():
            (g,) = torch.autograd.grad(-F.relu(x).sum(), x)
        x = (x - 0.1 * g).detach().requires_grad_()
    assert F.relu(x).sum() > 0


def test_only_batches_of_the_expected_length_are_redirected() -> None:
    with RedirectedReLU(torch.tensor([True])):  # three rows here: windows folded into the batch
        assert torch.equal(gradient(F.relu), USUAL)
    with RedirectedReLU(torch.tensor([True, True])):
        assert torch.equal(
            gradient(F.relu, torch.tensor([-1.0, 2.0]), torch.tensor([-1.0, -1.0])), torch.tensor([-1.0, -1.0])
        )


def test_it_reverts_after_an_error_and_leaves_modules_alone() -> None:
    module = nn.ReLU()
    with pytest.raises(KeyboardInterrupt), RedirectedReLU():
        raise KeyboardInterrupt
    assert torch.equal(gradient(module), USUAL)
    assert not module._forward_hooks
    assert type(module).forward is nn.ReLU.forward


def test_a_bounded_function_that_is_no_rectifier_keeps_its_gradient() -> None:
    for form in (F.hardtanh, torch.tanh, F.leaky_relu, nn.Hardtanh(-6.0, 6.0)):
        usual = gradient(form, X * 3)
        with RedirectedReLU():
            assert torch.equal(gradient(form, X * 3), usual)


def test_both_rules_work_at_once() -> None:
    x = X.clone().requires_grad_()
    with RedirectedReLU(), NonlinearityRecord() as record:
        z = x * 1
        y = F.relu(z, inplace=True)
        before = record.before(y)
    assert before is not None
    assert torch.equal(before, X)
    assert torch.equal(torch.autograd.grad(y, x, G, retain_graph=True)[0], REDIRECTED)
    assert torch.equal(torch.autograd.grad(before, x, G)[0], G)


def test_the_record_does_not_take_what_was_overwritten_for_a_rectifiers() -> None:
    with NonlinearityRecord() as record:
        on = F.relu(X.clone())
        on += 1
        source = X.clone()
        kept = F.relu(source)
        source.add_(1)
        parts = [F.relu(X.clone()), X.clone()]
        cat = torch.cat(parts, -1)
        parts[1].zero_()
    assert record.before(on) is None
    assert record.before(kept) is None  # what it was given is no more
    whole = record.before(cat)
    assert whole is not None
    assert torch.equal(whole, torch.cat([X, X], 1))
    assert record.before(X) is None


def test_the_record_works_without_gradients() -> None:
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode, NonlinearityRecord() as record:
            before = record.before(F.relu(X.clone(), inplace=True))
            assert before is not None
            assert torch.equal(before, X)
