"""Per-image optimisers: each row behaves as if it had an optimiser of its own."""

from __future__ import annotations

import torch

from pellucid.ascent.optimizers import Adam, Sgd


def test_adam_equals_torchs_for_every_row_with_its_own_step_count() -> None:
    torch.manual_seed(0)
    start = torch.randn(3, 4, 5, dtype=torch.float64)
    ours = start.clone()
    optimizer = Adam([ours])
    rows = [start[i].clone().requires_grad_() for i in range(3)]
    theirs = [torch.optim.Adam([row], lr=0.1 * (i + 1)) for i, row in enumerate(rows)]
    rates = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    for moving in (None, [0, 2], [1], None, [2]):
        gradients = torch.randn(3, 4, 5, dtype=torch.float64)
        optimizer.step([gradients], rates, None if moving is None else torch.tensor(moving))
        for i in range(3) if moving is None else moving:
            rows[i].grad = gradients[i].clone()
            theirs[i].step()
    torch.testing.assert_close(ours, torch.stack([row.detach() for row in rows]), rtol=1e-12, atol=1e-12)


def test_a_reset_row_starts_afresh() -> None:
    values = torch.zeros(2, 3)
    for optimizer in (Adam([values]), Sgd([values])):
        values.zero_()
        rates = torch.full((2,), 0.5)
        optimizer.step([torch.ones(2, 3)], rates)
        first = values.clone()
        optimizer.step([torch.ones(2, 3)], rates)
        optimizer.reset_rows(torch.tensor([1]))
        values.zero_()
        optimizer.step([torch.ones(2, 3)], rates)
        torch.testing.assert_close(values[1], first[1])


def test_sgd_is_the_plain_step_without_momentum() -> None:
    values = torch.zeros(2, 3)
    optimizer = Sgd([values], momentum=0.0)
    for _ in range(2):
        optimizer.step([torch.full((2, 3), 2.0)], torch.tensor([0.5, 0.25]))
    torch.testing.assert_close(values[:, 0], torch.tensor([-2.0, -1.0]))
