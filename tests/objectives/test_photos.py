"""Laws of caricature and inversion: the formula by a loop, the photo as the optimum, errors for what cannot match."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from pellucid.errors import TargetError
from pellucid.models.layers import Layer
from pellucid.models.model import Model
from pellucid.models.taps import Activations, Tap
from pellucid.objectives.objective import per_image
from pellucid.objectives.photos import caricature, inversion

GENERATOR = torch.Generator().manual_seed(0)
Z = torch.randn(3, 2, 2, 3, dtype=torch.float64, generator=GENERATOR)
Z0 = torch.randn(2, 2, 3, dtype=torch.float64, generator=GENERATOR)
LAYER = Layer("l", "Conv2d", "bchw", (2, 2, 3), 2)
MODEL = Model(nn.Sequential(nn.Conv2d(3, 4, 3, bias=False)), size=(6, 7), name="conv")
ACTS = Activations({Tap("l"): Z}, {"l": LAYER}, torch.zeros(3, 3, 2, 2))


@pytest.mark.parametrize("power", [0.0, 1.0, 4.0])
def test_caricature_by_a_loop(power: float) -> None:
    got = caricature("l", Z0, cosine_power=power)(ACTS)
    for image in range(3):
        dot = own = other = 0.0
        for a, b in zip(Z[image].flatten().tolist(), Z0.flatten().tolist(), strict=True):
            dot, own, other = dot + a * b, own + a * a, other + b * b
        assert got[image].item() == pytest.approx(dot * max(0.1, dot / math.sqrt(own * other)) ** power)


def test_inversion_by_a_loop_and_zero_at_the_photo() -> None:
    got = inversion("l", Z0)(ACTS)
    for image in range(3):
        by_hand = sum((a - b) ** 2 for a, b in zip(Z[image].flatten().tolist(), Z0.flatten().tolist(), strict=True))
        assert got[image].item() == pytest.approx(-by_hand)
    at = Activations({Tap("l"): Z0[None]}, {"l": LAYER}, torch.zeros(1, 3, 2, 2))
    assert inversion("l", Z0)(at).item() == 0


def test_a_caricature_of_any_length_points_the_same_way_and_exaggeration_pays() -> None:
    at = Activations({Tap("l"): torch.stack([Z0, 2 * Z0])}, {"l": LAYER}, torch.zeros(2, 3, 2, 2))
    once, twice = caricature("l", Z0, cosine_power=2.0)(at).tolist()
    assert once == pytest.approx(Z0.square().sum().item())
    assert twice == pytest.approx(2 * once)
    z = torch.zeros(1, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    score = caricature("l", Z0, cosine_power=2.0)(Activations({Tap("l"): z}, {"l": LAYER}, torch.zeros(1, 3, 2, 2)))
    (gradient,) = torch.autograd.grad(score.sum(), z)
    assert torch.cosine_similarity(gradient.flatten(), Z0.flatten(), 0).item() == pytest.approx(1)


def test_descent_to_the_photo_through_an_invertible_network() -> None:
    photo = torch.rand(1, 3, 6, 7, generator=GENERATOR)
    mix = nn.Conv2d(3, 3, 1, bias=False)
    with torch.no_grad():
        mix.weight.copy_(torch.tensor([[2.0, 1, 0], [0, 2, 1], [1, 0, 2]])[:, :, None, None])  # of determinant 9
    one = Model(nn.Sequential(mix), size=(6, 7))
    objective = inversion("0", one.tap(photo, ["0"]))
    images = torch.full_like(photo, 0.5).requires_grad_()
    assert objective(one.tap(photo, objective.taps)).item() == 0
    for _ in range(200):
        (gradient,) = torch.autograd.grad(objective(one.tap(images, objective.taps)).sum(), images)
        images = (images + 0.1 * gradient).detach().requires_grad_()  # the singular values lie between 1.7 and 3
    assert (images - photo).abs().max() < 1e-4


def test_every_image_its_own_photo() -> None:
    photos = MODEL.tap(torch.rand(2, 3, 6, 7, generator=GENERATOR), ["0"])
    one, two = (photos.rows(torch.tensor([row])) for row in (0, 1))
    scores = per_image([inversion("0", one), inversion("0", two)])(photos)
    assert scores.abs().max() == 0
    assert per_image([inversion("0", two), inversion("0", one)])(photos).max() < -0.01


def test_what_cannot_be_matched_is_an_error() -> None:
    photos = MODEL.tap(torch.rand(2, 3, 6, 7), ["0"])
    with pytest.raises(TargetError, match="2 photos were given, and one can be matched"):
        inversion("0", photos)
    with pytest.raises(TargetError, match=r"the photo has no activations of 1: model.tap\(photo\[None\], \['1'\]\)"):
        caricature("1", photos)
    with pytest.raises(TargetError, match="the photo's activations of l are all zero: there is nothing to exaggerate"):
        caricature("l", torch.zeros(2, 2, 3))
    with pytest.raises(TargetError, match="are not all finite"):
        inversion("l", torch.full((2, 2, 3), torch.nan))
    with pytest.raises(TargetError, match=r"activations of 0 are \[4, 4, 5\], the image's \[4, 6, 7\]; tap the photo"):
        inversion("0", photos.rows(torch.tensor([0])))(MODEL.tap(torch.rand(1, 3, 8, 9), ["0"]))
