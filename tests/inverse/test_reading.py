"""An objective is sought among the units that a picture excites: others leave no gradient, and are no answer."""

from __future__ import annotations

from dataclasses import replace

import torch

from pellucid.inverse.answers import Evidence
from pellucid.inverse.reading import excited, objective_among


def test_excited_is_what_rises_by_a_quarter_of_the_most() -> None:
    usual = torch.tensor([1.0, 1.0, 1.0, 5.0])
    responses = torch.tensor([[9.0, 3.1, 2.9, 5.0], [0.5, 0.9, 0.2, 4.0]])
    assert excited(responses, usual).tolist() == [[True, True, False, False], [False, True, False, False]]


def test_a_unit_without_gradient_is_the_answer_only_where_it_is_excited() -> None:
    """Unit 2 hardly moves, so that it leaves the smallest gradient; unit 0 is stationary among the others."""
    jacobian = torch.tensor([[0.1, 0.0, 0.0], [0.0, 4.0, 1.0], [0.0, 0.0, 1e-3]], dtype=torch.float64)
    response = torch.tensor([6.0, 1.5, 0.01], dtype=torch.float64)
    evidence = Evidence(response, jacobian @ jacobian.T, 0, True)
    uncertain = replace(evidence, spread=1e-2 * torch.eye(3, dtype=torch.float64))
    everywhere = objective_among(uncertain, 2, torch.tensor([True, True, True]))
    among = objective_among(evidence, 2, torch.tensor([True, True, False]))
    assert int(everywhere.argmax()) == 2
    assert int(among.argmax()) == 0
    assert float(among[2]) == 0
    assert float(among.norm()) == 1


def test_one_unit_alone_needs_no_gradient() -> None:
    among = torch.tensor([False, True])
    nothing = Evidence(torch.ones(2).double(), torch.zeros(2, 2).double(), 0, True)
    assert objective_among(nothing, 2, among).tolist() == [0, 1]
