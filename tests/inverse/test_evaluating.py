"""The protocol: objectives rendered, inverted and compared; a critical space chosen; and it all written down."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.errors import RecipeError
from pellucid.inverse.answers import Evidence
from pellucid.inverse.choosing import choose_critical_space
from pellucid.inverse.critical_spaces import critical_space
from pellucid.inverse.evaluation import Evaluation, evaluate, evaluate_each, objectives_for
from pellucid.inverse.evaluation_files import save_evaluation, save_evaluations, table_rows
from pellucid.inverse.linear_algebra import angle_deg, metric, orthonormal
from pellucid.inverse.sampling import sparse_objectives

RECIPE = {"steps": 40, "refine": 60, "squash": "unbounded", "precision": "float64", "parameter_noise": 0.0}


class Sine(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(2 * x)


@pytest.fixture(scope="module")
def model() -> pl.Model:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), Sine(), nn.Conv2d(8, 6, 3, padding=1), nn.Softplus())
    return pl.Model(net, size=8).at(precision="float64")


@pytest.fixture(scope="module")
def evaluation(model: pl.Model) -> Evaluation:
    return evaluate(model, "3", num_random=4, num_single=2, aggregation="mean", recipe=RECIPE, noise=0.0, seed=5)


def test_predictions_beat_the_response_and_chance(evaluation: Evaluation) -> None:
    medians = {name: row["median_deg"] for name, row in evaluation.summary().items() if row}
    assert medians["prediction"] < 3 < medians["response"] < 90
    assert medians["random"] > medians["prediction"]
    assert evaluation.targets.shape == (6, 6)
    assert set(evaluation.seconds) == {"render", "invert"}


def test_the_coefficients_are_shares_and_the_first_is_the_answers(evaluation: Evaluation) -> None:
    assert float(evaluation.coefficients.sum()) == pytest.approx(1)
    plain = evaluation.angles_deg["plain"]
    first = torch.deg2rad(plain).cos().square().mean()
    assert float(evaluation.coefficients[0]) == pytest.approx(float(first), abs=1e-6)


def test_only_the_first_units_are_features_where_that_is_asked(model: pl.Model) -> None:
    few = evaluate(
        model, "3", num_random=2, num_single=0, aggregation="mean", recipe=RECIPE, noise=0.0, units=3, seed=5
    )
    assert few.inversion.objectives.shape == few.inversion.responses.shape == (2, 3)
    assert float(few.angles_deg["prediction"].max()) < 5


def test_a_sweep_differs_in_what_its_variants_say_and_stands_in_one_table(model: pl.Model, tmp_path: Path) -> None:
    shared = {"num_random": 2, "num_single": 0, "aggregation": "mean", "noise": 0.0, "seed": 5, "recipe": RECIPE}
    variants = {"3 units": {"units": 3}, "waves": {"recipe": {"image": "fourier"}, "units": 6}}
    found = evaluate_each(model, "3", variants, **shared)
    assert [len(one.coefficients) for one in found.values()] == [3, 6]
    assert found["waves"].rendering.recipe.image == "fourier"
    assert found["waves"].rendering.recipe.squash == "unbounded"
    folder = save_evaluations(found, tmp_path / "sweep")
    assert "| waves | 2 |" in (folder / "comparison.md").read_text()
    assert (folder / "coefficients.png").stat().st_size > 2000
    assert (folder / "3 units" / "targets.csv").exists()
    with pytest.raises(RecipeError, match=r"odd: .*7 single units of a layer that has 6"):
        evaluate_each(model, "3", {"odd": {"num_single": 7}}, **{**shared, "num_single": 1})


def test_single_units_are_drawn_without_replacement() -> None:
    drawn = objectives_for(6, 3, 6, seed=1)
    assert drawn.shape == (9, 6)
    assert drawn[3:].argmax(1).sort().values.tolist() == list(range(6))
    with pytest.raises(RecipeError, match="7 single units of a layer that has 6"):
        objectives_for(6, 0, 7, seed=1)


def test_tables_and_figures_are_written_the_worst_first(evaluation: Evaluation, tmp_path: Path) -> None:
    folder = save_evaluation(evaluation, tmp_path / "out")
    rows = list(csv.DictReader((folder / "targets.csv").read_text().splitlines()))
    angles = [float(row["prediction_deg"]) for row in rows]
    assert angles == sorted(angles, reverse=True)
    assert int(rows[0]["target"]) == evaluation.worst[0]
    summary = (folder / "summary.md").read_text()
    assert f"6 targets, seed {evaluation.seed}" in summary
    assert "| prediction |" in summary
    for name in ("coefficients.png", "angles.png"):
        assert (folder / name).stat().st_size > 2000
    assert len(table_rows(evaluation)) == 6


def planted(num_pictures: int, power: int, seed: int) -> tuple[list[Evidence], torch.Tensor]:
    """Pictures of six units that never tell of a shift of all, each an optimum of its objective but for some noise."""
    n = 6
    shift = torch.full((n, 1), n**-0.5, dtype=torch.float64)
    objectives = sparse_objectives(num_pictures, n, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    evidence = []
    for t in objectives:
        r = t + 0.3 * torch.rand(n, dtype=torch.float64, generator=generator)
        silent = orthonormal(torch.cat([shift, (metric(r, power) @ t)[:, None]], 1))
        jacobian = torch.randn(n, 40, dtype=torch.float64, generator=generator)
        jacobian = jacobian - silent @ (silent.T @ jacobian)
        jacobian = jacobian + 1e-3 * torch.randn(n, 40, dtype=torch.float64, generator=generator)
        evidence.append(Evidence(r, jacobian @ jacobian.T, 0, True))
    return evidence, objectives


def test_the_space_that_finds_known_objectives_with_the_fewest_directions_left_out_is_chosen() -> None:
    samples, objectives = planted(24, 2, seed=3)
    space = critical_space([one.gram for one in samples[:12]], are_grams=True)
    choice = choose_critical_space(space, samples[12:], objectives[12:], 2)
    assert choice.space.excluded.shape == (6, 1)
    shift = torch.full((6,), 6**-0.5, dtype=torch.float64)
    away = float(angle_deg(choice.space.excluded[:, 0], shift))
    assert min(away, 180 - away) < 1
    medians = dict(choice.medians_deg)
    assert medians[1] < 1 < medians[0]


def test_where_nothing_has_to_be_left_out_nothing_is() -> None:
    samples, objectives = planted(8, 2, seed=4)
    whole = [Evidence(one.response, one.gram + 50 * torch.ones(6, 6, dtype=torch.float64), 0, True) for one in samples]
    space = critical_space([one.gram for one in samples], are_grams=True)
    choice = choose_critical_space(space, whole, objectives, 2)
    medians = dict(choice.medians_deg)
    least = min(medians.values())
    assert choice.space.excluded.shape[1] == min(size for size, median in medians.items() if median <= 1.5 * least)
    with pytest.raises(RecipeError, match="8 pictures and 0 objectives"):
        choose_critical_space(space, whole, objectives[:0], 2)
