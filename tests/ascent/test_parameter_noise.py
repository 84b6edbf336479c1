"""Noise on what is optimised: the mean around a picture is climbed, image by image."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.ascent.parameter_noise import shifts
from pellucid.ascent.parameterization import parameterization_of
from pellucid.ascent.rendering import Rendering
from pellucid.draws import Draws
from pellucid.errors import ImageError, RecipeError

SETTINGS = {"transforms": "none", "image": "pixels", "color": "none", "precision": "float64", "rescue": False}


def step_net() -> pl.Model:
    """One unit: how far the brightness is above a threshold, a kink in the middle of what noise reaches."""
    net = nn.Sequential(nn.Conv2d(3, 1, 1), nn.ReLU())
    net[0].weight.data.fill_(1.0)
    net[0].bias.data.fill_(-1.5)
    return pl.Model(net, size=4)


def test_noise_comes_in_antithetic_pairs_and_each_picture_has_its_own() -> None:
    flat = torch.zeros(2, 500)
    found = shifts(Draws.from_keys(["a", "b"]), 0.1, 4, flat)
    assert len(found) == 4
    assert torch.equal(found[0], -found[1])
    assert not torch.equal(found[0], found[2])
    assert float(found[0].std()) == pytest.approx(0.1, rel=0.1)
    alone = shifts(Draws.from_keys(["b"]), 0.1, 4, flat[:1])
    assert torch.equal(alone[0][0], found[0][1])
    assert not torch.equal(shifts(Draws.from_keys(["a", "b"]), 0.1, 4, flat, 1)[0], found[0])


def test_the_mean_over_noise_is_what_is_climbed() -> None:
    """Just below the kink the unit is off and has no gradient; the mean around it has one."""
    start = {**SETTINGS, "sd": 0.0, "steps": 3}
    dark = torch.full((3, 4, 4), 0.499)
    still = pl.render(step_net(), "1:0", start=dark, **start)  # type: ignore[arg-type]
    moved = pl.render(step_net(), "1:0", start=dark, parameter_noise=0.2, noise_draws=8, **start)  # type: ignore[arg-type]
    assert float((still.images - 0.499).abs().max()) < 1e-6
    assert float(moved.images.mean()) > 0.55


def test_batching_changes_no_noisy_picture() -> None:
    torch.manual_seed(0)
    model = pl.Model(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)), size=8)
    noisy = {**SETTINGS, "parameter_noise": 0.1, "steps": 4, "refine": 2, "refine_draws": 2}
    together = pl.render(model, ["2:0", "2:1", "2:2"], **noisy)  # type: ignore[arg-type]
    alone = pl.render(model, "2:1", **noisy)  # type: ignore[arg-type]
    assert torch.allclose(together.parameters[1], alone.parameters[0], atol=1e-12)


def test_a_rendering_comes_back_from_its_sidecar_and_goes_on_from_where_it_was(tmp_path: object) -> None:
    model = step_net()
    made = pl.render(model, ["1:0", "1:0~max"], steps=3, **SETTINGS)  # type: ignore[arg-type]
    again = Rendering.load(made.save(f"{tmp_path}/both.png"))
    assert again.realizations == made.realizations
    assert torch.equal(again.parameters, made.parameters)
    assert torch.allclose(parameterization_of(again)().float(), made.images)
    assert [one.family is not None for one in made.realizations] == [True, False]
    on = pl.render(model, ["1:0"], parameters=again.parameters[:1], steps=1, learning_rate=1e-12, **SETTINGS)  # type: ignore[arg-type]
    assert torch.allclose(on.parameters, made.parameters[:1], atol=1e-9)
    with pytest.raises(RecipeError, match="parameters to start from are a row for each of 1 pictures, not 2"):
        pl.render(model, "1:0", parameters=again.parameters, **SETTINGS)  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match=r"parameters of these pictures are \[b, 48\], not \[1, 3\]"):
        pl.render(model, "1:0", parameters=torch.zeros(1, 3), **SETTINGS)  # type: ignore[arg-type]


def test_what_is_no_rendering_is_refused(tmp_path: object) -> None:
    from pellucid.images.sidecars import write_sidecar

    write_sidecar(f"{tmp_path}/tea.safetensors", {"a": torch.zeros(1)}, {"pellucid": "[]"})
    with pytest.raises(ImageError, match="holds no rendering of Pellucid's"):
        Rendering.load(f"{tmp_path}/tea.png")
    with pytest.raises(ImageError, match="cannot read"):
        Rendering.load(f"{tmp_path}/none.png")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"noise_draws": 3}, "noise_draws come in pairs: an even number from 2, not 3"),
        ({"refine_draws": 0}, "refine_draws come in pairs"),
        ({"parameter_noise": -1.0}, "parameter_noise must be at least 0"),
        ({"parameter_noise": 0.1, "squash": "clip"}, "parameter_noise has no bounds that it could keep to"),
    ],
)
def test_noise_that_makes_no_sense_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        pl.Recipe.of(settings)
