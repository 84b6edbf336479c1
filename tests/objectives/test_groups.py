"""Laws of group terms: the formulas by loops, and a group that nothing outside it can touch."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pellucid.errors import TargetError
from pellucid.models.layers import OUTPUT, Layer
from pellucid.models.taps import Activations, Tap
from pellucid.objectives.groups import Alignment, Diversity, GroupTerm, interpolation, tap_of
from pellucid.objectives.objective import Objective
from pellucid.objectives.penalties import l1
from pellucid.objectives.units import channel, direction

LAYER = Layer("l", "Conv2d", "bchw", (3, 2, 4), 3)
GROUPS = torch.tensor([7, -1, 7, 2, 7, 2, 5, -1])  # of three, of two, one alone, two without
TERMS: list[GroupTerm] = [Diversity(Tap("l"), 2.0), Alignment(Tap("l"), 0.5, 3.0)]


def activations(z: Tensor) -> Activations:
    return Activations({Tap("l"): z}, {"l": LAYER}, torch.zeros(len(z), 3, 2, 2))


def random(b: int = 8, seed: int = 0) -> Tensor:
    return torch.randn(b, 3, 2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def cosine_of_grams(one: Tensor, other: Tensor) -> float:
    """By loops over channels and positions."""

    def gram(z: Tensor) -> list[float]:
        flat = z.flatten(1).tolist()
        return [sum(a * b for a, b in zip(row, col, strict=True)) for row in flat for col in flat]

    a, b = gram(one), gram(other)
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def test_diversity_by_loops() -> None:
    z = random()
    got = Diversity(Tap("l"), 2.0)(activations(z), GROUPS)
    for row, group in enumerate(GROUPS.tolist()):
        others = [j for j, other in enumerate(GROUPS.tolist()) if other == group and j != row and group >= 0]
        by_hand = [-2 * cosine_of_grams(z[row], z[j]) / len(others) for j in others]
        assert got[row].item() == pytest.approx(sum(by_hand), abs=1e-9)


def test_equal_pictures_are_least_diverse_and_their_places_do_not_matter() -> None:
    z = random(1)
    moved = z.roll((1, 2), (2, 3))
    same = torch.cat([z, 3 * moved])  # the same at another place and strength
    assert Diversity(Tap("l"))(activations(same), torch.tensor([0, 0])).tolist() == pytest.approx([-1, -1])
    apart = torch.zeros(2, 3, 2, 4, dtype=torch.float64)
    apart[0, 0], apart[1, 1] = 1, 1  # nothing in common
    assert Diversity(Tap("l"))(activations(apart), torch.tensor([0, 0])).abs().max() < 1e-9


def test_alignment_by_loops_and_its_sum_is_lucids() -> None:
    z = random(9)
    groups = torch.tensor([0, 0, 1, 0, 0, 0, 1, 0, 0])
    got = Alignment(Tap("l"), 0.5, 3.0)(activations(z), groups)
    total = 0.0
    by_hand = [0.0] * 9
    for group in (0, 1):
        members = [row for row in range(9) if groups[row] == group]
        for (i, a), (j, b) in itertools.combinations(enumerate(members), 2):
            if j - i <= 4:
                difference = 0.5 * (z[a] - z[b]).square().mean().item() / 3 ** (j - i)
                total += difference
                by_hand[a] -= difference / 2
                by_hand[b] -= difference / 2
    assert got.tolist() == pytest.approx(by_hand)
    assert got.sum().item() == pytest.approx(-total)


@pytest.mark.parametrize("term", TERMS)
def test_images_outside_the_group_are_untouched(term: GroupTerm) -> None:
    z = random().requires_grad_()
    scores = term(activations(z), GROUPS)
    assert scores[[1, 6, 7]].eq(0).all()
    (gradient,) = torch.autograd.grad(scores.sum(), z)
    assert gradient[[1, 6, 7]].eq(0).all()
    assert all(gradient[row].abs().max() > 0 for row in (0, 2, 3, 4, 5))
    (of_one,) = torch.autograd.grad(term(activations(z), GROUPS)[[3, 5]].sum(), z)
    assert of_one[[0, 1, 2, 4, 6, 7]].eq(0).all()
    # What the others hold changes nothing, not even where it is broken.
    other = z.detach().clone()
    other[[0, 1, 6]] = torch.nan
    broken = other.requires_grad_()
    again = term(activations(broken), GROUPS)
    (theirs,) = torch.autograd.grad(again.nan_to_num().sum(), broken)
    assert torch.equal(again[[3, 5]], scores[[3, 5]])
    assert torch.equal(theirs[[3, 5]], gradient[[3, 5]])
    assert again[[1, 6, 7]].eq(0).all()


@pytest.mark.parametrize("term", TERMS)
def test_a_group_scores_the_same_wherever_it_stands(term: GroupTerm) -> None:
    z = random()
    scores = term(activations(z), GROUPS)
    alone = term(activations(z[[0, 2, 4]]), torch.tensor([1, 1, 1]))
    assert torch.allclose(alone, scores[[0, 2, 4]], rtol=1e-12)
    order = torch.tensor([3, 0, 1, 2, 6, 4, 5, 7])  # members keep their order
    assert torch.allclose(term(activations(z[order]), GROUPS[order]), scores[order], rtol=1e-12)
    assert term(activations(z), torch.full((8,), -1)).eq(0).all()


@pytest.mark.parametrize("term", TERMS)
def test_gradients_are_those_of_the_scores(term: GroupTerm) -> None:
    z = random().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: term(activations(z), GROUPS), (z,), fast_mode=True)


def test_climbing_diversity_makes_pictures_differ_and_alignment_alike() -> None:
    for term, sign in ((Diversity(Tap("l")), -1), (Alignment(Tap("l"), 10.0), 1)):
        z = (random(1).expand(3, -1, -1, -1) + 0.3 * random(3, seed=1)).requires_grad_()
        groups = torch.zeros(3, dtype=torch.int64)

        def likeness(z: Tensor) -> float:
            return sum(cosine_of_grams(z[i], z[j]) for i, j in ((0, 1), (0, 2), (1, 2))) / 3

        before = likeness(z)
        for _ in range(50):
            (gradient,) = torch.autograd.grad(-term(activations(z), groups).sum(), z)
            z = (z - 0.3 * gradient).detach().requires_grad_()
        assert sign * (likeness(z) - before) > 0.02


@pytest.mark.parametrize("term", TERMS)
def test_nothing_active_is_no_nan(term: GroupTerm) -> None:
    z = torch.zeros(3, 3, 2, 4, requires_grad=True)
    scores = term(activations(z), torch.zeros(3, dtype=torch.int64))
    (gradient,) = torch.autograd.grad(scores.sum(), z)
    assert scores.isfinite().all()
    assert gradient.isfinite().all()


def test_tokens_lie_on_their_grid_and_class_scores_have_one_place() -> None:
    z = random(2).float()
    tokens = torch.cat([torch.full((2, 1, 3), 100.0), z.flatten(2).transpose(1, 2)], 1)
    layers = {"t": Layer("t", "Block", "bnc", (9, 3), 3, 1, (2, 4)), OUTPUT: Layer(OUTPUT, "output", "bc", (3,), 3)}
    acts = Activations({Tap("t"): tokens, Tap(OUTPUT): z[:, :, 0, 0]}, layers, torch.zeros(2, 3, 2, 2))
    groups = torch.tensor([0, 0])
    assert torch.allclose(Diversity(Tap("t"))(acts, groups), Diversity(Tap("l"))(activations(z), groups))
    cosine = torch.cosine_similarity(z[0, :, 0, 0], z[1, :, 0, 0], 0)
    assert torch.allclose(Diversity(Tap(OUTPUT))(acts, groups), -cosine.square())


def test_the_layer_defaults_to_the_targets() -> None:
    assert tap_of(channel("mixed4a", 3) - 0.1 * l1()) == Tap("mixed4a")
    assert tap_of(-channel("mixed4a", 3)) == Tap("mixed4a", True)
    assert tap_of("mixed3a") == Tap("mixed3a")
    with pytest.raises(TargetError, match="the objective reads no layer that its pictures could differ at; name one"):
        tap_of(l1())


def test_as_many_numbers_as_images() -> None:
    with pytest.raises(TargetError, match="2 group numbers cannot group a batch of 8 images, one each"):
        TERMS[0](activations(random()), torch.tensor([0, 0]))


def test_the_text_of_a_term_is_the_same_in_another_process() -> None:
    program = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_groups as t; print(t.TERMS)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == repr(TERMS)
    assert len({repr(term) for term in (*TERMS, Diversity(Tap("l")), Diversity(Tap("m")))}) == 4


def test_an_interpolation_goes_from_one_channel_to_the_other() -> None:
    acts = activations(random())
    row = interpolation(LAYER, 0, 2, steps=5)
    assert len(row) == 5
    first, last = channel("l", 0)(acts), channel("l", 2)(acts)
    for step, objective in enumerate(row):
        assert torch.allclose(objective(acts), (1 - step / 4) * first + step / 4 * last)
    assert row[0] == direction("l", [1.0, 0.0, 0.0])
    assert row[-1] == direction("l", [0.0, 0.0, 1.0])
    assert len({objective.hash for objective in row}) == 5
    a, b = [1.0, 2.0, 0.0], torch.tensor([0.0, 1.0, -1.0])
    middle = interpolation(LAYER, a, b, steps=3, cosine_power=2.0)[1]
    assert middle == direction("l", [0.5, 1.5, -0.5], cosine_power=2.0)
    assert all(isinstance(objective, Objective) for objective in row)


def test_bad_interpolations_are_errors() -> None:
    with pytest.raises(TargetError, match="an interpolation has two ends, and 1 steps were asked for"):
        interpolation(LAYER, 0, 1, steps=1)
    with pytest.raises(TargetError, match="channel 3 is out of range: l has 3 channels, 0 to 2"):
        interpolation(LAYER, 0, 3)
    with pytest.raises(TargetError, match="a direction is one finite number per channel, not all zero"):
        interpolation(LAYER, [1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], steps=3)


def test_the_gradient_of_diversity_is_that_of_its_formula() -> None:
    maps = torch.randn(2, 3, 4, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5)).requires_grad_()
    present = torch.tensor([[True, True, True], [True, True, False]])
    assert torch.autograd.gradcheck(lambda z: Diversity(Tap("a")).of_groups(z, present), maps)
    flat = maps.flatten(3)
    grams = torch.nn.functional.normalize((flat @ flat.transpose(2, 3)).flatten(2), dim=2)
    total = (grams[:, 0] * grams[:, 1]).sum()
    (wanted,) = torch.autograd.grad(-total * 2, maps)
    pair = torch.tensor([[True, True, False]] * 2)
    (got,) = torch.autograd.grad(Diversity(Tap("a")).of_groups(maps, pair)[:, :2].sum(), maps)
    torch.testing.assert_close(got, wanted)
