"""Laws of guides: the formula by loops, in parts as at once, of any size, and errors for what is no guide."""

from __future__ import annotations

import pytest
import torch

from pellucid.errors import TargetError
from pellucid.models.layers import Layer
from pellucid.models.taps import Activations, Tap
from pellucid.objectives import guides
from pellucid.objectives.guides import guided

GENERATOR = torch.Generator().manual_seed(0)
Z = torch.randn(2, 3, 2, 3, dtype=torch.float64, generator=GENERATOR)
Y = torch.randn(1, 3, 4, 2, dtype=torch.float64, generator=GENERATOR)


def seen(values: torch.Tensor) -> Activations:
    layer = Layer("l", "Conv2d", "bchw", tuple(values.shape[1:]), values.shape[1])
    return Activations({Tap("l"): values}, {"l": layer}, torch.zeros(len(values), 3, 8, 8))


@pytest.mark.parametrize("at_once", [1, 30, 2**24])
def test_a_guide_by_loops(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(guides, "_MOST_PRODUCTS", at_once)
    got = guided("l", seen(Y))(seen(Z))
    for image in range(2):
        best = [
            max(sum(z * y for z, y in zip(one, other, strict=True)) for other in Y[0].flatten(1).T.tolist())
            for one in Z[image].flatten(1).T.tolist()
        ]
        assert got[image].item() == pytest.approx(sum(best) / len(best))


def test_its_gradient_is_the_guides_activation_that_fits_best() -> None:
    z = Z.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(guided("l", seen(Y))(seen(z)).sum(), z)
    best = torch.einsum("mcp,cq->mpq", Z.flatten(2), Y[0].flatten(1)).argmax(2)
    torch.testing.assert_close(gradient.flatten(2), Y[0].flatten(1)[:, best].movedim(0, 1) / 6)


def test_what_is_no_guide_is_said() -> None:
    with pytest.raises(TargetError, match=r"a guide is one photo, seen by l: model.tap\(photo\[None\], \['l'\]\)"):
        guided("l", seen(Z))
    with pytest.raises(TargetError, match="are all zero: there is nothing to take up"):
        guided("l", seen(0 * Y))
    with pytest.raises(TargetError, match="the guide has 2 channels, and l has 3"):
        guided("l", seen(Y[:, :2]))(seen(Z))
