"""Per-image optimisers: each row behaves as if it had an optimiser of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from pellucid.ascent.optimizers import Adam, AdamW, NAdam, Optimizer, Sgd, build_optimizer


@pytest.mark.parametrize(
    ("kind", "reference"),
    [
        (Adam, torch.optim.Adam),
        (AdamW, torch.optim.AdamW),
        (NAdam, torch.optim.NAdam),
        (Sgd, lambda rows, lr: torch.optim.SGD(rows, lr=lr, momentum=0.9)),
    ],
)
def test_it_equals_torchs_for_every_row_with_its_own_step_count(
    kind: Callable[..., Optimizer], reference: Callable[..., torch.optim.Optimizer]
) -> None:
    torch.manual_seed(0)
    start = torch.randn(3, 4, 5, dtype=torch.float64)
    ours = start.clone()
    optimizer = kind([ours])
    rows = [start[i].clone().requires_grad_() for i in range(3)]
    theirs = [reference([row], lr=0.1 * (i + 1)) for i, row in enumerate(rows)]
    rates = [0.1, 0.2, 0.3]
    for moving in ([0, 1, 2], [0, 2], [1], [0, 1, 2], [2]):
        gradients = torch.randn(3, 4, 5, dtype=torch.float64)
        optimizer.step([gradients], {i: rates[i] for i in moving})
        for i in moving:
            rows[i].grad = gradients[i].clone()
            theirs[i].step()
    torch.testing.assert_close(ours, torch.stack([row.detach() for row in rows]), rtol=1e-12, atol=1e-12)


def test_a_reset_row_starts_afresh() -> None:
    values = torch.zeros(2, 3)
    for name in ("adam", "adamw", "nadam", "sgd"):
        values.zero_()
        optimizer = build_optimizer(name, [values])
        rates = {0: 0.5, 1: 0.5}
        optimizer.step([torch.ones(2, 3)], rates)
        first = values.clone()
        optimizer.step([torch.ones(2, 3)], rates)
        optimizer.reset_rows([1])
        values.zero_()
        optimizer.step([torch.ones(2, 3)], rates)
        torch.testing.assert_close(values[1], first[1])


def test_the_plain_step_is_a_rate_times_the_gradient() -> None:
    values = torch.zeros(2, 3)
    optimizer = build_optimizer("plain", [values])
    for _ in range(2):
        optimizer.step([torch.full((2, 3), 2.0)], {0: 0.5, 1: 0.25})
    torch.testing.assert_close(values[:, 0], torch.tensor([-2.0, -1.0]))


def test_the_memory_layout_of_a_gradient_changes_nothing() -> None:
    gradient = torch.randn(2, 3, 4, 5)
    for kind in (Adam, AdamW, NAdam, Sgd):
        plain, last = torch.zeros(2, 3, 4, 5), torch.zeros(2, 3, 4, 5)
        kind([plain]).step([gradient], {0: 0.1, 1: 0.1})
        kind([last]).step([gradient.contiguous(memory_format=torch.channels_last)], {0: 0.1, 1: 0.1})
        assert torch.equal(plain, last)
