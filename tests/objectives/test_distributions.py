"""Laws of distribution match: sorted activations by loops, blind to places, best at the references' distribution."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pellucid.errors import TargetError
from pellucid.models.layers import Layer
from pellucid.models.model import Model
from pellucid.models.taps import Activations, Tap
from pellucid.objectives.distributions import distribution_match, relevance, sorted_average
from pellucid.objectives.units import channel

GENERATOR = torch.Generator().manual_seed(0)
Z = torch.randn(2, 3, 2, 4, dtype=torch.float64, generator=GENERATOR)
REFERENCES = torch.randn(5, 3, 2, 4, dtype=torch.float64, generator=GENERATOR)
LAYER = Layer("l", "Conv2d", "bchw", (3, 2, 4), 3)


def activations(z: Tensor) -> Activations:
    return Activations({Tap("l"): z}, {"l": LAYER}, torch.zeros(len(z), 3, 2, 2))


@pytest.mark.parametrize("weights", [None, [1.0, 0.0, 2.5]])
def test_the_score_by_loops(weights: list[float] | None) -> None:
    given = None if weights is None else torch.tensor(weights)
    got = distribution_match("l", activations(REFERENCES), given)(activations(Z))
    for image, score in zip(Z, got, strict=True):
        total = 0.0
        for c in range(3):
            ranked = [sorted(reference[c].flatten().tolist()) for reference in REFERENCES]
            average = [sum(values) / 5 for values in zip(*ranked, strict=True)]
            own = sorted(image[c].flatten().tolist())
            total += (weights or [1, 1, 1])[c] * sum((a - b) ** 2 for a, b in zip(own, average, strict=True)) / 8
        assert score.item() == pytest.approx(-total, rel=1e-6)


def test_places_do_not_matter_and_the_references_own_distribution_is_the_optimum() -> None:
    average = sorted_average(activations(REFERENCES), "l")
    shuffled = average[:, torch.randperm(8, generator=GENERATOR)].view(1, 3, 2, 4)
    objective = distribution_match("l", average)
    assert objective(activations(shuffled)).item() == pytest.approx(0, abs=1e-12)
    assert objective(activations(shuffled + 0.1)).item() == pytest.approx(-0.03)
    one, two = (sorted_average(activations(part), "l") for part in (REFERENCES[:3], REFERENCES[3:]))
    assert torch.allclose((3 * one + 2 * two) / 5, average)


def test_every_place_is_drawn_to_the_value_of_its_rank() -> None:
    z = torch.tensor([[[[3.0, 1.0], [2.0, 0.0]]]], requires_grad=True)
    layer = Layer("l", "Conv2d", "bchw", (1, 2, 2), 1)
    objective = distribution_match("l", torch.tensor([[10.0, 40.0, 20.0, 30.0]]))
    score = objective(Activations({Tap("l"): z}, {"l": layer}, torch.zeros(1, 3, 2, 2)))
    (gradient,) = torch.autograd.grad(score.sum(), z)
    assert gradient[0, 0].tolist() == [[2 * 37 / 4, 2 * 19 / 4], [2 * 28 / 4, 2 * 10 / 4]]


def test_pictures_of_another_size_are_matched_at_the_same_shares() -> None:
    layer = Layer("l", "Conv2d", "bchw", (1, 1, 3), 1)
    five = torch.tensor([[[[0.0, 2.0, 1.0, 4.0, 3.0]]]])
    objective = distribution_match("l", torch.tensor([[0.0, 2.0, 4.0]]))
    acts = Activations({Tap("l"): five}, {"l": layer}, torch.zeros(1, 3, 2, 2))
    assert objective(acts).item() == pytest.approx(0, abs=1e-9)


def test_several_layers_add_up_and_ascent_finds_the_references_colours() -> None:
    identity = nn.Conv2d(3, 3, 1, bias=False)
    with torch.no_grad():
        identity.weight.copy_(torch.eye(3)[:, :, None, None])
    model = Model(nn.Sequential(identity, nn.AvgPool2d(2)), size=4)
    references = model.tap(torch.rand(6, 3, 4, 4, generator=GENERATOR) * torch.tensor([1.0, 0.2, 0.2]).view(1, 3, 1, 1),
                           ["0", "1"])  # fmt: skip
    objective = distribution_match("0", references) + 0.5 * distribution_match("1", references)
    images = torch.rand(1, 3, 4, 4, generator=GENERATOR).requires_grad_()
    first = objective(model.tap(images, objective.taps)).item()
    parts = [distribution_match(name, references)(model.tap(images, [name])).item() for name in ("0", "1")]
    assert first == pytest.approx(parts[0] + 0.5 * parts[1], rel=1e-5)
    for _ in range(200):
        (gradient,) = torch.autograd.grad(objective(model.tap(images, objective.taps)).sum(), images)
        images = (images + gradient).detach().requires_grad_()
    assert objective(model.tap(images, objective.taps)).item() > first / 20
    assert torch.allclose(images.mean((0, 2, 3)), references["0"].mean((0, 2, 3)), atol=0.02)


def test_bad_weights_and_other_layers_are_errors() -> None:
    average = sorted_average(activations(REFERENCES), "l")
    for weights in (torch.ones(2), -torch.ones(3)):
        with pytest.raises(TargetError, match="the 3 channels of l need as many weights of 0 or more"):
            distribution_match("l", average, weights)
    with pytest.raises(TargetError, match="the references of l have 2 channels, not 3"):
        distribution_match("l", average[:2])(activations(Z))


def test_relevance_is_gradient_times_activation_of_each_channel() -> None:
    """Two layers: three colours, then 2 red - 4 green, so that red and green matter by as much and blue not at all."""
    net = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.Conv2d(3, 1, 1, bias=False))
    with torch.no_grad():
        net[0].weight.copy_(torch.eye(3)[:, :, None, None])
        net[1].weight.copy_(torch.tensor([2.0, -4.0, 0.0])[None, :, None, None])
    model = Model(net, size=4)
    pictures = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    shares = (pictures * torch.tensor([2.0, 4.0, 0.0])[:, None, None]).sum((0, 2, 3))
    torch.testing.assert_close(relevance(model, channel("1", 0), pictures, "0"), shares / shares.mean())
    with pytest.raises(TargetError, match="nothing in 1 matters"):
        relevance(model, channel("0", 0), pictures, "1")
