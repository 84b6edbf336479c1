"""The table of measures: each column by its own function, and what a unit's own picture earns."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import pellucid as pl
from pellucid.ascent.source import Portrait, RenderNow
from pellucid.errors import DatasetError, TargetError
from pellucid.measure.evidence import Evidence, portraits_in
from pellucid.measure.likeness import Features, Ssim
from pellucid.measure.paths import path_similarity, similarity_of_paths
from pellucid.measure.randomisation import reinitialised
from pellucid.measure.reference import Reference, natural_scores
from pellucid.measure.strength import reach
from pellucid.measure.table import measure, trust
from pellucid.models.targets import Target
from pellucid.objectives.from_target import objective_of
from pellucid.survey.unit_table import UnitTable

SIDE = 12
RECIPE = pl.Recipe(steps=16, image="pixels", squash="clip", transforms="none", color="none")


@pytest.fixture(scope="module")
def model() -> pl.Model:
    """Units 0 to 2 fire for red, green and blue; three classes, each a bit more than its colour."""
    conv, deep, fc = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 4, 1), nn.Linear(4, 3)
    torch.manual_seed(0)
    with torch.no_grad():
        conv.weight.normal_(0, 0.01)
        conv.bias.zero_()
        for unit in range(3):
            conv.weight[unit, :, 1, 1] = torch.where(torch.arange(3) == unit, 1.0, -0.4)
        fc.weight.copy_(torch.eye(3, 4) + 0.1)
        deep.weight.copy_(torch.eye(4, 3)[..., None, None])
        deep.bias.zero_()
    parts = OrderedDict(
        conv=conv, relu=nn.ReLU(), deep=deep, last=nn.ReLU(), mean=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), fc=fc
    )
    return pl.Model(nn.Sequential(parts), size=SIDE, name="colours", classes=["red", "green", "blue"])


@pytest.fixture(scope="module")
def reference() -> Reference:
    """Sixty noisy pictures, a third of each colour, labelled by it; patches lie where they will."""
    g = torch.Generator().manual_seed(0)
    shown = 0.2 * torch.rand(60, 3, SIDE, SIDE, generator=g)
    for number in range(60):
        top, left = (int(place) for place in torch.randint(0, 5, (2,), generator=g))
        shown[number, number % 3, top : top + 7, left : left + 7] += 0.6
    return Reference.of("sixty", [(shown[:50], torch.arange(50) % 3), (shown[50:], torch.arange(50, 60) % 3)])


@pytest.fixture(scope="module")
def evidence(model: pl.Model) -> Evidence:
    other, source = reinitialised(model), RenderNow(model, RECIPE)
    reseeded = [RenderNow(model, pl.Recipe.of(RECIPE, seed=1))]
    targets = ["relu:0", "relu:1", "relu:2", "logit:green"]
    return Evidence.gathered(targets, source, opposites=source, reseeded=reseeded, untrained=RenderNow(other, RECIPE))


@pytest.fixture(scope="module")
def table(model: pl.Model, reference: Reference, evidence: Evidence) -> UnitTable:
    return measure(model, evidence, reference, top=8)


def test_every_measure_has_a_column_that_says_what_it_means(table: UnitTable) -> None:
    assert table.targets == ("relu:0", "relu:1", "relu:2", "logit:green")
    assert set(table.columns) == {
        "score", "reach_percentile", "reach_ratio", "robustness", "path_similarity", "path_similarity_by_layer",
        "example_likeness", "machine_interpretability", "interpretability_accuracy", "seed_agreement",
        "model_randomisation", "flagged", "trust",
    }  # fmt: skip
    for column in table.columns:
        about = table.about(column)
        assert len(about.meaning) > 20
        assert about.provenance["images"] == 60
        assert about.provenance["likeness"] == "cosine of last's mean activations in colours"


def test_columns_are_what_the_measures_say(
    model: pl.Model, reference: Reference, evidence: Evidence, table: UnitTable
) -> None:
    objective = objective_of(Target.parse("relu:1"), model)
    natural = natural_scores(model, [objective], reference.for_network(model))[:, 0]
    image = evidence.own["relu:1"].image
    score = float(objective(model.tap(image[None], objective.taps)))
    assert table["score"][1] == pytest.approx(score, rel=1e-5)
    assert table["reach_percentile"][1] == reach(score, natural).percentile
    own = torch.zeros(1, 60, dtype=torch.bool)
    own[0, natural.topk(8).indices] = True
    among = similarity_of_paths(model, "relu", reference.images, reference.images)
    expected = path_similarity(similarity_of_paths(model, "relu", image[None], reference.images), among, own)
    by_layer = dict(
        zip(table.about("score").provenance["path_layers"], table["path_similarity_by_layer"][1], strict=True)
    )
    assert by_layer["relu"] == pytest.approx(float(expected), abs=1e-4)
    assert by_layer["last"] is None  # it lies behind the unit


def test_a_classs_natural_images_are_those_with_its_label(reference: Reference, model: pl.Model) -> None:
    mine = reference.of_class(model, Target.parse("logit:blue"))
    assert mine is not None
    assert torch.equal(mine, torch.arange(60) % 3 == 2)
    assert reference.of_class(model, Target.parse("relu:2")) is None
    renamed = Reference(reference.name, reference.pixels, reference.labels, ("blue", "red", "pink"))
    assert torch.equal(renamed.of_class(model, Target.parse("logit:red")), torch.arange(60) % 3 == 1)
    assert renamed.of_class(model, Target.parse("logit:green")) is None


def test_a_units_own_picture_beats_noise_and_anothers(
    model: pl.Model, reference: Reference, evidence: Evidence
) -> None:
    own = dict(evidence.own)
    noise = torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))

    def told(image: Tensor) -> dict[str, float]:
        row = measure(model, {"relu:0": Portrait("relu:0", image, 0.0, own["relu:0"].status)}, reference, top=8).row(
            "relu:0"
        )
        assert row is not None
        return row

    mine, chance, others = (told(one) for one in (own["relu:0"].image, noise, own["relu:2"].image))
    for name in ("score", "reach_ratio", "example_likeness"):
        assert mine[name] > max(chance[name], others[name]), name
    assert mine["reach_percentile"] == 100
    assert others["reach_percentile"] < 50
    assert not mine["flagged"]


def test_machine_interpretability_and_seeds_see_a_clear_unit(table: UnitTable) -> None:
    assert all(accuracy == 1 for accuracy in table["interpretability_accuracy"][:3])
    assert all(value > 0.95 for value in table["seed_agreement"][:3])
    assert sum(table["model_randomisation"][:3]) / 3 < 0.6


def test_without_further_pictures_their_measures_have_no_column(model: pl.Model, reference: Reference) -> None:
    made = pl.render(model, ["relu:0", "relu:1"], recipe=RECIPE)
    one, several = (measure(model, some, reference, likeness=Ssim(), top=5) for some in (made, [made[0], made[1]]))
    assert one.table.equals(several.table)
    assert "seed_agreement" not in one.columns
    assert "machine_interpretability" not in one.columns
    assert one.about("flagged").provenance["likeness"].startswith("SSIM")


def test_a_picture_that_is_missing_leaves_a_gap(model: pl.Model, reference: Reference, evidence: Evidence) -> None:
    part = Evidence(
        evidence.own, {"relu:1": evidence.opposites["relu:1"]}, (), {"relu:2": evidence.untrained["relu:2"]}
    )
    found = measure(model, part, reference, likeness=Features(model, "last"))
    assert [value is None for value in found["machine_interpretability"]] == [True, False, True, True]
    assert [value is None for value in found["model_randomisation"]] == [True, True, False, True]


def test_trust_is_the_mean_rank_over_what_there_is() -> None:
    columns = {
        "reach_percentile": [99.0, 100.0, 100.0],
        "robustness": [0.1, 0.5, None],
        "model_randomisation": [0.9, 0.2, 0.4],
    }
    assert trust(columns) == pytest.approx([0.0, (0.75 + 1 + 1) / 3, (0.75 + 0.5) / 2])
    assert trust({"path_similarity": [0.2, 1.4, 3.0]}) == pytest.approx([0.0, 0.75, 0.75])


def test_natural_scores_by_loops(model: pl.Model, reference: Reference) -> None:
    texts = ["relu:1", "last:2@c", "logit:0", "-conv:0", "relu:1 + relu:2", "relu:0~max"]
    objectives = [objective_of(Target.parse(text), model) for text in texts]
    found = natural_scores(model, objectives, reference.images)
    for column, objective in enumerate(objectives):
        expected = objective(model.tap(reference.images, objective.taps))
        assert torch.allclose(found[:, column], expected, atol=1e-5), texts[column]


def test_the_table_goes_through_a_file(table: UnitTable, tmp_path: Path) -> None:
    again = UnitTable.load(table.save(tmp_path / "units.parquet"))
    assert again["trust"] == table["trust"]
    assert "path_similarity_by_layer" not in table.save(tmp_path / "units.csv").read_text().splitlines()[0]


def test_mistakes_are_said_in_one_line(model: pl.Model, reference: Reference) -> None:
    with pytest.raises(DatasetError, match="against 20 natural images or more, not 3"):
        Reference.of("three", [(torch.rand(3, 3, 4, 4), torch.zeros(3).long())])
    with pytest.raises(TargetError, match="there is no picture to measure"):
        measure(model, {}, reference)
    assert portraits_in([]) == {}
