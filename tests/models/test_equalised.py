"""An equalised network says the same on other scales: what rescaling its units changed is taken out again."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pellucid.errors import ModelError, TargetError
from pellucid.models.equalised import Equalised
from pellucid.models.model import Model
from pellucid.models.taps import Tap


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.Flatten(), nn.Linear(32, 5)
    )


SCALES = torch.tensor([0.1, 1.0, 3.0, 10.0])


def test_only_the_named_layer_is_divided_before_and_after_its_rectifier() -> None:
    model, images = Model(network(), size=8), torch.rand(2, 3, 8, 8)
    taps = [Tap("2"), Tap("2", pre=True), Tap("0"), Tap("output")]
    plain, seen = model.tap(images, taps), Equalised(model, {"2": SCALES}).tap(images, taps)
    for tap in taps[:2]:
        assert torch.allclose(seen[tap] * SCALES[:, None, None], plain[tap])
    for tap in taps[2:]:
        assert torch.equal(seen[tap], plain[tap])


def test_it_stays_so_on_another_precision_and_with_folded_batch_norms() -> None:
    model, images = Model(network(), size=8), torch.rand(2, 3, 8, 8)
    wanted = model.tap(images, ["2"])["2"] / SCALES[:, None, None]
    view = Equalised(model, {"2": SCALES})
    assert torch.allclose(view.folded().tap(images, ["2"])[Tap("2")], wanted, atol=1e-5)
    double = view.at(precision="float64")
    assert double.precision == "float64"
    assert torch.allclose(double.tap(images.double(), ["2"])[Tap("2")], wanted.double(), atol=1e-5)


def test_it_is_the_same_network() -> None:
    model = Model(network(), size=8, classes=list("abcde"))
    view = Equalised(model, {"2": SCALES})
    assert view.weights_hash == model.weights_hash
    assert view.layers == model.layers
    assert view.class_index("c") == 2
    images = torch.rand(1, 3, 8, 8)
    assert torch.equal(view(images), model(images))


def test_vectors_are_divided_too() -> None:
    model, images = Model(network(), size=8), torch.rand(2, 3, 8, 8)
    scale = torch.arange(1.0, 6.0)
    seen = Equalised(model, {"output": scale}).tap(images, ["output"])[Tap("output")]
    assert torch.allclose(seen * scale, model(images))


@pytest.mark.parametrize(
    "scale", [torch.ones(3), torch.tensor([1.0, 0.0, 1.0, 1.0]), torch.tensor([1.0, float("nan"), 1, 1])]
)
def test_scales_that_are_none_are_refused(scale: torch.Tensor) -> None:
    with pytest.raises(ModelError, match="one positive scale for each of its 4 units"):
        Equalised(Model(network(), size=8), {"2": scale})
    with pytest.raises(TargetError, match="no layer 'nine'"):
        Equalised(Model(network(), size=8), {"nine": SCALES})
