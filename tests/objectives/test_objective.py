"""Laws of objectives: arithmetic changes no operand, batches change no score, hashes are the mathematics' own."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pellucid.errors import TargetError
from pellucid.models.layers import OUTPUT, Layer
from pellucid.models.positions import Position
from pellucid.models.taps import Activations, Tap
from pellucid.objectives.classes import logit, probability
from pellucid.objectives.objective import Custom, Objective, PerImage, per_image
from pellucid.objectives.units import channel, direction, layer, neuron, region

LAYER = Layer("l", "ReLU", "bchw", (300, 3, 4), 300)
OTHER = Layer("m", "Conv2d", "bchw", (5, 2, 2), 5)
OUT = Layer(OUTPUT, "output", "bc", (7,), 7)


def activations(b: int = 4, seed: int = 0) -> Activations:
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(b, 300, 3, 4, generator=generator)
    m = torch.randn(b, 5, 2, 2, generator=generator)
    values = {Tap("l"): z.relu(), Tap("l", True): z, Tap("m"): m, Tap("m", True): m}
    values[Tap(OUTPUT)] = torch.randn(b, 7, generator=generator)
    return Activations(values, {"l": LAYER, "m": OTHER, OUTPUT: OUT}, torch.zeros(b, 3, 2, 2))


ACTS = activations()
A, B, C = channel("l", 1), channel("l", 2), neuron("m", 3, 0, 1)


def test_arithmetic_by_hand() -> None:
    a, b, c = (objective(ACTS) for objective in (A, B, C))
    pre = ACTS[Tap("l", True)][:, 2].mean((1, 2))
    for objective, by_hand in (
        (A + B, a + b),
        (A + C, a + c),
        (A - B, a - pre),
        (2 * A, 2 * a),
        (A * 2, 2 * a),
        (A / 4, a / 4),
        (A + 1, a + 1),
        (1 + A, a + 1),
        (A - 1, a - 1),
        (1 - B, 1 - pre),
        (-(A - 3) - 3, -ACTS[Tap("l", True)][:, 1].mean((1, 2))),
        (3 * (A + 2 * C) - 0.5, 3 * a + 6 * c - 0.5),
        (A * B, a * b),
        ((A + 1) * (C - 2), (a + 1) * (c - 2)),
        (A * A * 0.5 + B, a * a * 0.5 + b),
        (sum([A, B, C]), a + b + c),
        (Objective((), 2.5), torch.full((4,), 2.5)),
    ):
        assert torch.allclose(objective(ACTS), by_hand, atol=1e-5)


def test_operands_never_change() -> None:
    operands = [A, B, A + C, A * B]
    before = [(o.terms, o.constant, o.hash) for o in operands]
    x, y, z, w = operands
    _ = (x + y, x - y, -x, 2 * x, x * y, z + x, z * w, x + 1, 1 - x, x / 2, sum(operands))
    x += y
    x *= 3
    assert [(o.terms, o.constant, o.hash) for o in operands] == before
    with pytest.raises(dataclasses.FrozenInstanceError):
        y.constant = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    "number",
    [2, 2.0, np.float32(2), np.float64(2), np.int64(2), Fraction(2), torch.tensor(2.0), np.array(2.0), True + 1],
)
def test_numbers_of_any_kind(number: float) -> None:
    for objective, same in (
        (A * number, A * 2.0),
        (number * A, A * 2.0),
        (A + number, A + 2.0),
        (number + A, A + 2.0),
        (A - number, A - 2.0),
        (number - A, 2.0 - A),
        (A / number, A / 2.0),
    ):
        assert objective == same
        assert objective.hash == same.hash
        assert type(objective.constant) is float
        assert all(type(weight) is float for weight, _ in objective.terms)


@pytest.mark.parametrize("junk", ["2", None, [1.0]])
def test_what_is_no_number_is_an_error(junk: object) -> None:
    for operation in (lambda: A + junk, lambda: A * junk, lambda: A / junk, lambda: A - junk):  # type: ignore[operator]
        with pytest.raises(TypeError):
            operation()


def test_equal_leaves_merge() -> None:
    assert (A + A + 0.5 * A).terms == ((2.5, A.terms[0][1]),)
    assert len((A + B + A).terms) == 2
    assert (A + A)(ACTS).tolist() == pytest.approx((2 * A)(ACTS).tolist())
    assert (A - A).terms == ((0.0, A.terms[0][1]),)


def test_sums_of_hundreds() -> None:
    total = Objective(())
    for index in range(300):
        total = total + (index + 1) * channel("l", index)
    weights = torch.arange(1.0, 301)
    by_hand = (ACTS[Tap("l")].mean((2, 3)) * weights).sum(1)
    assert torch.allclose(total(ACTS), by_hand, rtol=1e-5)
    assert total.taps == (Tap("l"),)


OBJECTIVES: list[Objective | None] = [
    A + B + C,
    None,
    -A,
    channel("l", 7, reduction="norm") * 0.3 - neuron("l", 8),
    region("l", 9, Position("rectangle", (0, 1), (1, 3))),
    direction("m", [1.0, 2.0, 3.0, 4.0, 5.0], cosine_power=2.0) + direction("m", [0.0, 1.0, 0.0, 0.0, 0.0]),
    layer("m") * 2,
    logit(3) + probability(4) - 2,
    A * C + 1,
    sum((channel("l", i) for i in range(50)), Objective(())),
    Objective((), 3.0),
]


@pytest.mark.parametrize("number_of_leaves", [1, 3])
def test_each_image_scores_as_if_it_were_alone_bit_for_bit(number_of_leaves: int) -> None:
    objectives = [o and o * 1.0 + (number_of_leaves - 1) * C for o in OBJECTIVES]
    acts = activations(len(objectives))
    together = per_image(objectives)(acts)
    for row, objective in enumerate(objectives):
        alone = per_image([objective])(acts.rows(torch.tensor([row])))
        assert torch.equal(together[row : row + 1], alone), row
    assert together[1] == 0


def test_each_image_has_the_gradient_that_it_has_alone() -> None:
    acts = activations(len(OBJECTIVES))
    z = {tap: value.clone().requires_grad_() for tap, value in acts.items()}
    shared = Activations(z, acts.layers, acts.image)
    found = torch.autograd.grad(per_image(OBJECTIVES)(shared).sum(), list(z.values()), allow_unused=True)
    together = [torch.zeros_like(z[tap]) if g is None else g for tap, g in zip(z, found, strict=True)]
    assert sum(g is not None for g in found) >= 4
    for row, objective in enumerate(OBJECTIVES):
        if objective is None:
            assert all(gradient[row].abs().max() == 0 for gradient in together)
            continue
        own = {tap: value[row : row + 1].detach().clone().requires_grad_() for tap, value in acts.items()}
        score = per_image([objective])(Activations(own, acts.layers, acts.image[row : row + 1]))
        if not score.requires_grad:
            continue
        alone = torch.autograd.grad(score.sum(), list(own.values()), allow_unused=True)
        for mine, batch in zip(alone, together, strict=True):
            assert torch.equal(batch[row], torch.zeros_like(batch[row]) if mine is None else mine[0]), row


def test_an_objective_scores_every_image_of_a_batch() -> None:
    scores = (A + 2 * C)(ACTS)
    assert scores.shape == (4,)
    assert torch.equal(scores, per_image([A + 2 * C] * 4)(ACTS))


def test_leaves_of_a_family_are_read_once() -> None:
    objective = per_image([channel("l", i) for i in range(4)])
    assert len(objective._groups) == 1
    assert objective.taps == (Tap("l"),)


def test_an_image_can_be_read_before_its_rectifier() -> None:
    woken = PerImage([A, A, None, B], [False, True, False, False])
    assert set(woken.taps) == {Tap("l"), Tap("l", True)}
    got = woken(ACTS)
    assert torch.allclose(got[0], ACTS[Tap("l")][0, 1].mean())
    assert torch.allclose(got[1], ACTS[Tap("l", True)][1, 1].mean())


def test_as_many_objectives_as_images() -> None:
    with pytest.raises(TargetError, match="2 objectives cannot score a batch of 4 images, one each"):
        per_image([A, B])(ACTS)


def test_scores_have_float32_or_better() -> None:
    half = Activations({tap: value.bfloat16() for tap, value in ACTS.items()}, ACTS.layers, ACTS.image.bfloat16())
    assert (A + C)(half).dtype == torch.float32
    double = Activations({tap: value.double() for tap, value in ACTS.items()}, ACTS.layers, ACTS.image.double())
    assert (A * C + 1)(double).dtype == torch.float64


def hashes() -> list[str]:
    named = Custom("mine", ("l",), lambda acts: acts["l"].sum((1, 2, 3)))
    return [*(o.hash for o in OBJECTIVES if o is not None), Objective(((1.0, named),)).hash]


def test_hashes_are_equal_in_two_processes_and_tell_objectives_apart() -> None:
    folder = str(Path(__file__).parent)
    program = f"import sys; sys.path.insert(0, {folder!r}); import test_objective as t; print(*t.hashes())"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == hashes()
    assert len({*hashes()}) == len(hashes())
    assert all(len(digest) == 16 for digest in hashes())


def test_equal_objectives_have_equal_hashes() -> None:
    for one, same in (
        (-A, -1 * A),
        (-A, Objective(()) + A * -1.0),  # 0.0 and -0.0
        (channel("l", np.int64(4)), channel("l", 4)),
        (logit(np.int64(4)), logit(4)),
        (A + A, 2 * A),
        (direction("l", [1.0, 2.0]), direction("l", torch.tensor([1.0, 2.0]), cosine_power=0.0)),
    ):
        assert one == same
        assert one.hash == same.hash
        assert hash(one) == hash(same)
    different = [A, 2 * A, -A, A + 1, B, C, channel("l", 1, reduction="max"), region("l", 1, Position("centre")), A * A]
    assert len({o.hash for o in different}) == len(different)


def test_a_custom_objective_scores_by_its_function() -> None:
    def brightness(acts: Activations) -> Tensor:
        return acts["m"].amax((1, 2, 3))

    custom = Objective(((1.0, Custom("brightest", ("m",), brightness)),))
    assert torch.equal(custom(ACTS), ACTS[Tap("m")].amax((1, 2, 3)))
    mixed = per_image([A, custom, None, custom + A])(ACTS)
    assert torch.equal(mixed[1:2], ACTS[Tap("m")][1].max()[None])
    assert torch.allclose(mixed[3], ACTS[Tap("m")][3].max() + A(ACTS)[3])
    assert custom.taps == (Tap("m"),)


def test_a_custom_objective_that_scores_no_single_images_is_an_error() -> None:
    custom = Objective(((1.0, Custom("mean of all", ("m",), lambda acts: acts["m"].mean())),))
    make = getattr(Custom.score, "__func__", Custom.score)
    make = getattr(make, "__wrapped__", make)  # beyond the shape checker of the tests
    with pytest.raises(
        TargetError, match=r"objective 'mean of all' gave \[\] instead of one score for each of 4 images"
    ):
        make(Custom, ACTS, torch.arange(4), [custom.terms[0][1]])
