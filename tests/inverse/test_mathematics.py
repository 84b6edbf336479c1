"""The identities that an inversion rests on, in float64."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.ascent.parameterization import empty_parameterization, parameterization_of
from pellucid.inverse.answers import certificate_deg
from pellucid.inverse.jacobians import linearized
from pellucid.inverse.linear_algebra import angle_deg, complement, gram, metric, metric_inverse, orthonormal
from pellucid.inverse.nonnegative import nonnegative_minimum, quotient
from pellucid.inverse.response_of import ResponseOf
from pellucid.inverse.sampling import sparse_objectives, sparseness
from pellucid.inverse.solve import modulo, solved
from pellucid.objectives.objective import per_image
from pellucid.objectives.response_direction import aggregated, response_direction


def small_net() -> pl.Model:
    """Two smooth convolutions of an 8-px picture: six units that always fire."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Softplus(), nn.Conv2d(8, 6, 3, padding=1), nn.Softplus())
    return pl.Model(net, size=8).at(precision="float64")


def random_matrix(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("power", [0, 1, 2, 4])
@pytest.mark.parametrize("aggregation", ["pooled", "mean", "centre"])
def test_the_gradient_is_the_jacobian_times_m_times_the_objective(power: int, aggregation: str) -> None:
    model = small_net()
    start = pl.render(model, "3:0", steps=1, precision="float64", transforms="none", image="pixels", color="none")
    image = parameterization_of(start)
    response = aggregated("3", aggregation)
    function = ResponseOf(model, partial(empty_parameterization, start), response)
    flat = (start.parameters + random_matrix(*start.parameters.shape)).requires_grad_()
    t = sparse_objectives(1, 6, seed=4)[0]
    objective = response_direction("3", t, cosine_power=power, aggregation=aggregation)  # type: ignore[arg-type]
    score = per_image([objective])(model.tap(image.at(flat), objective.taps))
    (gradient,) = torch.autograd.grad(score.sum(), flat)
    (linear,) = linearized(function, flat.detach(), [None], 64)
    r = linear.response
    slope = (r @ t / r.norm()) ** power
    expected = slope * (linear.jacobian.T @ metric(r, power) @ t)
    assert float((gradient[0] - expected).norm() / gradient.norm()) < 1e-12


@pytest.mark.parametrize("power", [0, 1, 2, 4])
def test_the_metric_has_its_eigenvalues_and_inverse(power: int) -> None:
    r = random_matrix(7)
    m = metric(r, power)
    assert torch.allclose(m @ r, r, atol=1e-12)
    across = complement(orthonormal(r[:, None]))
    assert torch.allclose(m @ across, (power + 1) * across, atol=1e-12)
    assert torch.allclose(m @ metric_inverse(r, power), torch.eye(7, dtype=torch.float64), atol=1e-12)


def test_the_gram_matrix_is_that_of_the_whole_slab_by_slab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pellucid.inverse.linear_algebra._SLAB", 7)
    jacobian = random_matrix(5, 40).float()
    assert torch.allclose(gram(jacobian), jacobian.double() @ jacobian.double().T, atol=1e-12)


def test_small_angles_are_not_lost_to_rounding() -> None:
    a = torch.tensor([1.0, 0.0], dtype=torch.float64)
    b = torch.tensor([1.0, 1e-10], dtype=torch.float64)
    assert float(angle_deg(a, b)) == pytest.approx(1e-10 * 57.29577951308232, rel=1e-9)
    assert float(angle_deg(a, -a)) == pytest.approx(180)


@pytest.mark.parametrize("num_units", [10, 32, 512])
def test_sampled_objectives_are_unit_nonnegative_and_of_even_sparseness(num_units: int) -> None:
    sampled = sparse_objectives(2000, num_units)
    assert float((sampled.norm(dim=1) - 1).abs().max()) < 1e-12
    assert float(sampled.min()) >= 0
    quartiles = torch.quantile(sparseness(sampled), torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64))
    assert float((quartiles - torch.tensor([0.25, 0.5, 0.75])).abs().max()) < 0.04
    assert torch.equal(sampled[:3], sparse_objectives(3, num_units))
    assert not torch.equal(sampled[:3], sparse_objectives(3, num_units, seed=1))


def test_a_certificate_is_never_violated() -> None:
    """Any t_true, J and r: the plain answer is no farther from t_true than the gradient that t_true leaves says."""
    seen = 0
    for seed in range(300):
        jacobian, r = random_matrix(6, 40, seed=seed), random_matrix(6, seed=1000 + seed).abs()
        power = seed % 5
        m = metric(r, power)
        matrix = m @ jacobian @ jacobian.T @ m
        lowest = torch.linalg.eigh(matrix).eigenvectors[:, 0]
        t = lowest + 0.7 * (seed % 7) / 6 * random_matrix(6, seed=2000 + seed)
        t = t / t.norm()
        solution = solved(jacobian @ jacobian.T, r, power, torch.zeros(6, 0, dtype=torch.float64), nonnegative=False)
        bound = certificate_deg(float((t @ matrix @ t).sqrt()), solution.values)
        assert float(solution.values[1]) > float(solution.values[0])
        if bound is not None:
            apart = float(angle_deg(solution.plain, t))
            assert min(apart, 180 - apart) <= bound + 1e-6
            seen += 1
    assert seen > 100


def test_nothing_is_certified_without_a_known_gradient_or_a_gap() -> None:
    assert certificate_deg(None, torch.tensor([0.1, 1.0])) is None
    assert certificate_deg(0.1, torch.tensor([1.0, 1.0])) is None
    assert certificate_deg(2.0, torch.tensor([0.1, 1.0])) is None


def test_the_nonnegative_minimum_is_no_worse_than_the_projected_iteration() -> None:
    identity = torch.eye(8, dtype=torch.float64)
    for seed in range(6):
        root = random_matrix(8, 30, seed=seed)
        a = root @ root.T
        starts = [*identity[::3], torch.ones(8, dtype=torch.float64)]
        found = nonnegative_minimum(a, identity, starts, torch.ones(8, dtype=torch.float64))
        assert float(found.min()) >= 0
        assert float(found.norm()) == pytest.approx(1)
        slow = min((_iterated(a, start) for start in starts), key=lambda z: quotient(z, a, identity))
        assert quotient(found, a, identity) <= quotient(slow, a, identity) * (1 + 1e-6)


def _iterated(a: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    """t <- normalise(max(0, t - A t / s_n^2)), as the specification has it."""
    step, t = 1 / torch.linalg.eigvalsh(a)[-1], start / start.norm()
    for _ in range(1000):
        t = (t - step * (a @ t)).clamp(min=0)
        t = t / t.norm()
    return t


@pytest.mark.parametrize("power", [0, 2])
def test_with_a_critical_space_the_nonnegative_answer_does_not_slide_into_what_is_left_out(power: int) -> None:
    """A gradient that never tells of the shift (1, …, 1): a plain nonnegative iteration would answer just that.

    With k = 0 both t and -t are nonnegative after some shift: the response says which of them it was.
    """
    n = 6
    shift = torch.full((n, 1), n**-0.5, dtype=torch.float64)
    t = sparse_objectives(1, n, seed=9)[0]
    r = t + 0.3 * random_matrix(n).abs()
    m = metric(r, power)
    # Columns that know neither the shift nor t: J^T M t = 0 and J^T 1 = 0.
    known = orthonormal(torch.cat([shift, (m @ t)[:, None]], 1))
    jacobian = random_matrix(n, 50)
    jacobian = jacobian - known @ (known.T @ jacobian)
    solution = solved(jacobian @ jacobian.T, r, power, shift, nonnegative=True)
    assert solution.nonnegative is not None
    both = modulo(torch.stack([solution.nonnegative, solution.plain, t]), r, power, shift)
    assert float(angle_deg(both[0], both[2])) < 0.01
    assert float(angle_deg(both[1], both[2])) < 0.01
    assert float(solution.nonnegative.min()) >= 0


def test_a_unit_that_hardly_moves_anything_is_not_the_answer() -> None:
    """Its gradient is small whatever the picture is of; units that a picture was made for cancel each other's."""
    t = sparse_objectives(1, 8, seed=1)[0]
    r = (t + 0.3 * random_matrix(8).abs()) * torch.tensor([1.0] * 7 + [0.02], dtype=torch.float64)
    t[7] = 0
    t = t / t.norm()
    m = metric(r, 2)
    along = m @ t / (m @ t).norm()
    jacobian = random_matrix(8, 60, seed=3)
    jacobian[7] *= 0.003  # alive, far above a dead row, and of no consequence
    jacobian = jacobian - 0.98 * torch.outer(along, along @ jacobian)  # an ascent that has not quite converged
    found = solved(jacobian @ jacobian.T, r, 2, torch.zeros(8, 0, dtype=torch.float64), nonnegative=True)
    assert found.nonnegative is not None
    assert float(angle_deg(found.nonnegative, t)) < 5
    assert abs(float(found.plain[7])) > 0.9


def test_what_is_uncertain_counts_less() -> None:
    """Units whose gradients are known badly: the answer trusts what the others say (k = 0, twenty pictures)."""
    off: dict[bool, list[float]] = {True: [], False: []}
    none = torch.zeros(8, 0, dtype=torch.float64)
    noise = torch.tensor([1.0, 0.05] * 4, dtype=torch.float64)  # of rows of length 1
    for seed, t in enumerate(sparse_objectives(20, 8, seed=2)):
        jacobian = random_matrix(8, 60, seed=seed) / 60**0.5
        jacobian = jacobian - torch.outer(t, t @ jacobian) + noise[:, None] * random_matrix(8, 60, seed=99 + seed) / 60
        for known in off:
            spread = torch.diag(noise.square() / 60) if known else None
            found = solved(jacobian @ jacobian.T, t, 0, none, nonnegative=True, spread=spread)
            assert found.nonnegative is not None
            off[known].append(float(angle_deg(found.nonnegative, t)))
    assert sum(off[True]) < 0.8 * sum(off[False])


def test_the_spread_is_the_error_that_a_mean_jacobian_is_left_with() -> None:
    """Of many means over four pairs, the errors' E E^T come to the spreads that each says of itself."""
    weights = random_matrix(3, 5, seed=1)

    def function(flat: torch.Tensor) -> torch.Tensor:
        return (flat @ weights.T).cos()

    place = random_matrix(1, 5, seed=2)
    shifts = [0.3 * random_matrix(3000, 5, seed=3 + draw) for draw in range(4)]
    both = [sign * shift for shift in shifts for sign in (1, -1)]
    means = linearized(function, place.repeat(3000, 1), both, 64)
    jacobians = torch.stack([one.jacobian for one in means])
    errors = jacobians - jacobians.mean(0)
    true = (errors @ errors.mT).mean(0)
    said = torch.stack([one.spread for one in means if one.spread is not None]).mean(0)
    assert said.shape == (3, 3)
    assert float((said - true).norm() / true.norm()) < 0.1
    assert linearized(function, place, [None], 64)[0].spread is None
    assert linearized(function, place, [0.1 * place, -0.1 * place], 64)[0].spread is None
