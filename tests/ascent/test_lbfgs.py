"""L-BFGS of a batch: each row climbs by itself, as far as a library's does, and never falls."""

from __future__ import annotations

import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

import pellucid as pl
from pellucid.ascent.lbfgs import ascend


def banana(x: Tensor) -> Tensor:
    """Minus Rosenbrock's function: a curved valley, its top of 0 at all ones."""
    return -(100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum(1)


def starts(rows: int) -> Tensor:
    return torch.randn(rows, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_it_climbs_as_far_as_scipys_in_as_many_iterations() -> None:
    begin = starts(6)
    found, histories = ascend(banana, begin, 60)
    for row in range(6):

        def loss(x: object) -> tuple[float, object]:
            leaf = torch.as_tensor(x, dtype=torch.float64)[None].requires_grad_()
            value = -banana(leaf)
            return float(value.detach()), torch.autograd.grad(value.sum(), leaf)[0][0].numpy()

        theirs = minimize(loss, begin[row].numpy(), jac=True, method="L-BFGS-B", options={"maxiter": 60})
        assert float(-banana(found[row][None])) <= theirs.fun + 1e-9
        assert len(histories[row]) < 2 * theirs.nit


def test_a_row_does_not_know_of_its_neighbours() -> None:
    begin = starts(5)
    together, histories = ascend(banana, begin, 25)
    for row in range(5):
        alone, history = ascend(banana, begin[row : row + 1], 25)
        assert torch.equal(alone[0], together[row])
        assert history[0] == histories[row]


def test_scores_never_fall_and_broken_rows_stay_where_they_are() -> None:
    def score(x: Tensor) -> Tensor:
        """Row 1 is not a number, row 2 is flat."""
        factor = torch.tensor([1.0, torch.nan, 0.0], dtype=x.dtype)
        return banana(x) * factor

    begin = starts(3)
    found, histories = ascend(score, begin, 30)
    assert histories[0] == sorted(histories[0])
    assert len(histories[0]) > 10
    assert histories[1:] == [[], []]
    assert torch.equal(found[1:], begin[1:])


def test_a_batch_is_one_computation() -> None:
    calls = []

    def score(x: Tensor) -> Tensor:
        calls.append(len(x))
        return banana(x)

    ascend(score, starts(16), 20)
    assert set(calls) == {16}
    many = len(calls)
    calls.clear()
    ascend(score, starts(1), 20)
    assert many < 2 * len(calls)


@pytest.mark.parametrize("image", ["fourier", "pixels"])
def test_refining_raises_the_clean_score_of_every_picture(image: str) -> None:
    model = pl.load("default")
    settings = {"steps": 8, "size": 48, "image": image, "trial": False}
    plain = pl.render(model, ["mixed3a:3", "mixed3b:5"], **settings)
    refined = pl.render(model, ["mixed3a:3", "mixed3b:5"], refine=8, **settings)
    assert (refined.scores > 1.2 * plain.scores).all()
    assert refined.history.shape[0] > 8
    assert [status.step for status in refined.status] == [8, 8]
    torch.testing.assert_close(refined.history[-1], refined.scores, rtol=1e-4, atol=1e-4)
