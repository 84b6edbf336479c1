"""Laws of every family of leaves: an image scores in a batch as alone, gradients are right, hashes follow the bytes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pellucid.models.layers import Layer
from pellucid.models.taps import Activations, Tap
from pellucid.objectives.distributions import distribution_match
from pellucid.objectives.guides import guided
from pellucid.objectives.masks import masked, raster
from pellucid.objectives.metrics import METRICS, level, metric
from pellucid.objectives.objective import Objective, per_image
from pellucid.objectives.penalties import (
    blur_penalty,
    boundary_complexity,
    input_difference,
    isotropic_variation,
    l1,
    l2,
    total_variation,
)
from pellucid.objectives.photos import caricature, inversion
from pellucid.objectives.probes import linear_probe, probe
from pellucid.objectives.units import channel, region

LAYER = Layer("l", "Conv2d", "bchw", (3, 3, 4), 3)
MASK = [[True, False, False, True], [False, True, False, False], [False, False, False, True]]


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def activations(b: int, seed: int = 0) -> Activations:
    image = numbers(b, 3, 6, 7, seed=seed + 1).requires_grad_()
    z = numbers(b, 3, 3, 4, seed=seed).requires_grad_()
    return Activations({Tap("l"): z, Tap("l", True): z}, {"l": LAYER}, image)


# Each row of the catalogue twice, with other numbers: two leaves of one family, but for the penalties.
FAMILIES: dict[str, list[Objective]] = {
    **{f"metric {kind}": [metric("l", c, kind, constant=9.0) for c in (0, 2)] for kind in METRICS},
    "level": [level("l", c, c + 0.5) for c in (1, 2)],
    "mask": [region("l", c, masked(MASK)) for c in (0, 1)],
    "raster": [raster("l", c, 5, reduction="norm") for c in (0, 1)],
    "caricature": [caricature("l", numbers(3, 3, 4, seed=s), cosine_power=2.0) for s in (1, 2)],
    "inversion": [inversion("l", numbers(3, 3, 4, seed=s)) for s in (1, 2)],
    "guide": [guided("l", activations(1, seed=s)) for s in (1, 2)],
    "probe": [probe(linear_probe("l", numbers(3, seed=s), bias=s)) for s in (1, 2)],
    "distribution": [
        distribution_match("l", numbers(3, 12, seed=s), torch.tensor([1.0, 2.0, s], dtype=torch.float64))
        for s in (1, 2)
    ],
    "l1": [l1(), l1(constant=0.2)],
    "l2": [l2(), l2(constant=0.2)],
    "total variation": [total_variation()],
    "isotropic variation": [isotropic_variation()],
    "blur": [blur_penalty()],
    "boundary": [boundary_complexity(2), boundary_complexity(1, constant=0.0)],
    "input difference": [input_difference(numbers(3, 6, 7, seed=s)) for s in (1, 2)],
}
ALL = [objective for objectives in FAMILIES.values() for objective in objectives]


def gradients(scores: Tensor, acts: Activations) -> list[Tensor]:
    return list(torch.autograd.grad(scores.sum(), [acts["l"], acts.image], materialize_grads=True, allow_unused=True))


def test_each_image_scores_as_if_it_were_alone_bit_for_bit() -> None:
    acts = activations(len(ALL))
    together = per_image(ALL)(acts)
    assert together.dtype == torch.float64
    for row, objective in enumerate(ALL):
        alone = per_image([objective])(acts.rows(torch.tensor([row])))
        assert torch.equal(together[row : row + 1], alone), objective


def test_each_image_has_the_gradient_that_it_has_alone() -> None:
    acts = activations(len(ALL))
    together = gradients(per_image(ALL)(acts), acts)
    for row, objective in enumerate(ALL):
        own = Activations(
            {Tap("l"): acts["l"][row : row + 1].detach().requires_grad_()},
            acts.layers,
            acts.image[row : row + 1].detach().requires_grad_(),
        )
        for alone, batch in zip(gradients(objective(own), own), together, strict=True):
            assert torch.equal(batch[row], alone[0]), objective


@pytest.mark.parametrize(
    "name", [name for name in FAMILIES if name != "blur"]
)  # whose gradient is another's on purpose
def test_gradients_are_those_of_the_scores(name: str) -> None:
    def score(z: Tensor, image: Tensor) -> Tensor:
        values = Activations({Tap("l"): z}, {"l": LAYER}, image)
        return per_image([FAMILIES[name][0], FAMILIES[name][-1]])(values)

    acts = activations(2)
    assert torch.autograd.gradcheck(score, (acts["l"], acts.image), fast_mode=True)


@pytest.mark.parametrize("name", FAMILIES)
def test_no_row_is_another_row_or_the_plain_channel(name: str) -> None:
    acts = activations(3)
    own = gradients(FAMILIES[name][0](acts), acts)
    for other, objectives in {**FAMILIES, "channel": [channel("l", 0)], "nothing": [Objective(())]}.items():
        if other == name:
            continue
        scores = objectives[0](acts)
        theirs = gradients(scores, acts) if scores.requires_grad else [torch.zeros_like(one) for one in own]
        assert any(not torch.allclose(mine, other_one) for mine, other_one in zip(own, theirs, strict=True)), other


def test_arithmetic_on_every_row() -> None:
    acts = activations(4)
    for objective in ALL:
        before = objective.hash
        total = 2 * objective - channel("l", 1) * objective / 2 + 3
        by_hand = 2 * objective(acts) - 0.5 * channel("l", 1)(acts) * objective(acts) + 3
        assert torch.allclose(total(acts), by_hand)
        assert torch.allclose((-objective)(acts), -objective(acts))
        assert objective.hash == before


def test_sums_of_hundreds() -> None:
    acts = activations(2)
    weights = [0.01 * (index + 1) for index in range(20 * len(ALL))]
    total = sum((w * one for w, one in zip(weights, ALL * 20, strict=True)), Objective(()))
    by_hand = torch.stack([w * one(acts) for w, one in zip(weights, ALL * 20, strict=True)]).sum(0)
    assert torch.allclose(total(acts), by_hand)
    assert len(total.terms) == len(ALL)


def test_hashes_are_equal_in_two_processes_and_tell_objectives_apart() -> None:
    folder = str(Path(__file__).parent)
    program = f"import sys; sys.path.insert(0, {folder!r}); import test_families as t; print(*(o.hash for o in t.ALL))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == [objective.hash for objective in ALL]
    assert len({objective.hash for objective in ALL}) == len(ALL)
    assert len({*ALL}) == len(ALL)


def test_photos_enter_hashes_by_their_bytes() -> None:
    z = numbers(3, 3, 4, seed=1)
    nudged = z.clone()
    nudged[2, 2, 3] += 1e-12
    assert inversion("l", z) == inversion("l", z.clone())
    assert inversion("l", z).hash == inversion("l", z.clone()).hash
    assert inversion("l", z).hash != inversion("l", nudged).hash
    assert inversion("l", z.float()) == inversion("l", nudged.float())
    kept = inversion("l", z)
    before = kept.hash, kept(activations(1)).item()
    z += 1
    assert (kept.hash, kept(activations(1)).item()) == before  # a copy, not the caller's tensor
    assert len(repr(kept)) < 300
