"""Attribution: networks whose answer is known by hand, and the laws that each method promises."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn

import pellucid as pl
from pellucid.errors import ImageError, TargetError
from pellucid.explain.attribution import METHODS, attribute, last_spatial_layer
from pellucid.explain.contributions import between, contributions_to

SIDE = 16


def corner() -> pl.Model:
    """Class 0 is the mean red of the upper left quarter; class 1 its square; class 2 the blue anywhere."""

    class Corner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.look = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            x = self.look(x)
            red = x[:, 0, : SIDE // 2, : SIDE // 2].mean((1, 2))
            return torch.stack([red, red**2, x[:, 2].mean((1, 2))], 1)

    return pl.Model(Corner(), size=SIDE, name="corner")


def deep() -> pl.Model:
    torch.manual_seed(0)
    parts = OrderedDict(
        first=nn.Conv2d(3, 5, 3, padding=1),
        relu=nn.ReLU(inplace=True),
        second=nn.Conv2d(5, 6, 3, padding=1),
        act=nn.ReLU(inplace=True),
        mean=nn.AdaptiveAvgPool2d(1),
        flat=nn.Flatten(),
        fc=nn.Linear(6, 4),
    )
    return pl.Model(nn.Sequential(parts), size=SIDE, name="deep")


def photo() -> Tensor:
    return torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("method", ["gradient", "smoothgrad", "integrated-gradients", "occlusion"])
def test_only_what_matters_is_marked(method: str) -> None:
    found = attribute(corner(), photo(), "logit:0", method, samples=8)
    marked = found.map.abs() > 1e-7
    inside = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    inside[: SIDE // 2, : SIDE // 2] = True
    if method == "occlusion":  # windows reach over the edge by half of themselves
        assert marked[inside].float().mean() > 0.9
        assert not marked[SIDE // 2 + 1 :].any()
        assert not marked[:, SIDE // 2 + 1 :].any()
    else:
        assert torch.equal(marked, inside)
        assert not found.values[1:].any()  # green and blue


def test_the_gradient_by_hand() -> None:
    found = attribute(corner(), photo(), "logit:1", "gradient")
    red = photo()[0, : SIDE // 2, : SIDE // 2].mean()
    assert torch.allclose(found.map[0, 0], 2 * red / (SIDE // 2) ** 2)
    assert found.score == pytest.approx(float(red**2), rel=1e-5)


def test_smoothgrad_averages_over_noise_and_its_seed_decides() -> None:
    one, again, other = (attribute(deep(), photo(), "logit:2", "smoothgrad", samples=20, seed=s) for s in (0, 0, 1))
    assert torch.equal(one.values, again.values)
    assert not torch.equal(one.values, other.values)
    near, far = attribute(deep(), photo(), "logit:2", "gradient").values, other.values
    assert 0.5 < torch.cosine_similarity(near.flatten(), far.flatten(), dim=0) < 0.9999


@pytest.mark.parametrize("target", ["logit:1", "first:2", "-second:3", "prob:0", "act:4@3,5"])
def test_integrated_gradients_are_complete(target: str) -> None:
    found = attribute(deep(), photo(), target, samples=128)
    assert found.missing is not None
    assert found.blank_score is not None
    # A kink of a ReLU between two of the 128 steps is worth at most a step.
    assert abs(found.missing) < 0.01 * abs(found.score - found.blank_score) + 1e-3


def test_a_curved_score_is_shared_exactly() -> None:
    found = attribute(corner(), photo(), "logit:1", samples=16)
    red, part = photo()[0, : SIDE // 2, : SIDE // 2], (SIDE // 2) ** 2
    # The integral of 2 (g + t (m - g)) over t, times (x - g) / part, with g = 0.5 and m the mean.
    expected = (red.mean() + 0.5) * (red - 0.5) / part
    assert torch.allclose(found.map[: SIDE // 2, : SIDE // 2], expected, atol=1e-6)


def test_occlusion_of_the_one_patch_that_matters() -> None:
    image = torch.full((3, SIDE, SIDE), 0.5)
    image[0, 4:6, 4:6] = 1.0
    found = attribute(corner(), image, "logit:0", "occlusion", window_px=2)
    lost = 0.5 * 4 / (SIDE // 2) ** 2
    assert float(found.map[4:6, 4:6].amax()) <= lost + 1e-6
    assert found.map[4:6, 4:6].amin() > 0
    outside = found.map.clone()
    outside[3:7, 3:7] = 0
    assert not (outside.abs() > 1e-7).any()


def test_grad_cam_by_loops() -> None:
    model = deep()
    found = attribute(model, photo(), "logit:3", "grad-cam")
    z = model.tap(photo()[None], ["act"])["act"][0]
    weight = dict(model._module.named_parameters())["fc.weight"][3]
    cam = torch.zeros(SIDE, SIDE)
    for unit in range(6):
        cam += weight[unit] / SIDE**2 * z[unit]
    assert found.layer == "act"
    assert torch.allclose(found.map, cam.clamp(min=0), atol=1e-6)


def test_grad_cam_of_a_unit_shows_where_it_fires() -> None:
    found = attribute(deep(), photo(), "act:1", "grad-cam")
    z = deep().tap(photo()[None], ["act"])["act"][0, 1]
    assert found.layer == "act"
    assert torch.allclose(found.map, z / SIDE**2, atol=1e-6)


def test_weight_times_activation_is_exact_and_says_where_it_is_not() -> None:
    model = deep()
    for layer in ("act", "mean", "flat"):
        found = contributions_to(model, photo(), "logit:2", layer, "weight-x-activation")
        mean = model.tap(photo()[None], ["flat"])["flat"][0]
        parameters = dict(model._module.named_parameters())
        assert torch.allclose(found.units, parameters["fc.weight"][2] * mean, atol=1e-6)
        assert found.rest == pytest.approx(float(parameters["fc.bias"][2]), abs=1e-6)
        assert float(found.units.sum()) + (found.rest or 0) == pytest.approx(found.score, abs=1e-5)
    with pytest.raises(TargetError, match="not affine in layer first"):
        contributions_to(model, photo(), "logit:2", "first", "weight-x-activation")


def test_integrated_contributions_are_complete() -> None:
    found = contributions_to(deep(), photo(), "logit:2", "first", "integrated-gradients", samples=200)
    assert found.rest is not None
    assert float(found.units.sum()) + found.rest == pytest.approx(found.score, abs=2e-3)


def test_from_unit_to_unit_by_loops() -> None:
    model = deep()
    got = between(model, photo(), "relu", "second", [4, 0])
    z = model.tap(photo()[None], ["relu"])["relu"]
    weight = dict(model._module.named_parameters())["second.weight"]
    for row, later in enumerate([4, 0]):
        for earlier in range(5):
            alone = torch.zeros_like(z)
            alone[:, earlier] = z[:, earlier]
            expected = torch.nn.functional.conv2d(alone, weight, padding=1)[0, later].mean()
            assert got[row, earlier] == pytest.approx(float(expected), abs=1e-6)


def test_the_strongest_come_first_and_make_a_table() -> None:
    found = contributions_to(deep(), photo(), "logit:1", "act")
    order = [abs(value) for _, value in found.strongest(6)]
    assert order == sorted(order, reverse=True)
    table = found.table(deep())
    assert table.targets[3] == "act:3"
    assert table["contribution"][3] == pytest.approx(float(found.units[3]))
    assert "logit:1" in table.about("contribution").meaning


def test_nothing_changes_the_network_and_the_last_map_is_found() -> None:
    model = deep()
    before = model(photo()[None])
    for method in METHODS:
        attribute(model, photo(), "logit:0", method, samples=2)
    assert torch.equal(model(photo()[None]), before)
    assert not any(part._forward_hooks for part in model._module.modules())
    assert last_spatial_layer(model) == "act"


def test_mistakes_are_said_in_one_line() -> None:
    model = deep()
    with pytest.raises(TargetError, match=r"no method 'shap' of attribution\. There are: gradient, smoothgrad"):
        attribute(model, photo(), "logit:0", "shap")
    with pytest.raises(TargetError, match="does not depend on layer fc: take one that comes before"):
        attribute(model, photo(), "act:1", "grad-cam", layer="fc")
    with pytest.raises(TargetError, match="one target is attributed at a time"):
        attribute(model, photo(), "act:*")
    with pytest.raises(ImageError, match="is 1 to 16 px wide here, not 20"):
        attribute(model, photo(), "logit:0", "occlusion", window_px=20)
    with pytest.raises(TargetError, match="needs a layer with positions, and flat has none"):
        attribute(model, photo(), "logit:0", "grad-cam", layer="flat")
