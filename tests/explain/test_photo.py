"""A photo explained by a network whose every number is known: means, maps, crops, contributions, percentiles, ranks."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import pellucid as pl
from pellucid.ascent.rendering import Status
from pellucid.ascent.source import Portrait
from pellucid.errors import ImageError, TableError, TargetError
from pellucid.explain.explanation import Explanation
from pellucid.explain.looks import framed_cell
from pellucid.survey.result import Survey
from spots import SIZE, Spots

RED = 0.9


def classifier() -> pl.Model:
    """Layer `1`: relu(red - 0.5) and relu(0.5 - red). Logits: twice the mean of the first, three times the second's."""
    net = nn.Sequential(
        nn.Conv2d(3, 2, 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)
    )
    with torch.no_grad():
        net[0].weight.zero_()
        net[0].weight[0, 0], net[0].weight[1, 0] = 1.0, -1.0
        net[0].bias.copy_(torch.tensor([-0.5, 0.5]))
        net[4].weight.copy_(torch.diag(torch.tensor([2.0, 3.0])))
        net[4].bias.zero_()
    return pl.Model(net, size=SIZE, name="known", classes=("red", "not red"))


def photo() -> Tensor:
    """Red in the two columns on the right, else black."""
    picture = torch.zeros(3, SIZE, SIZE)
    picture[0, :, 6:] = RED
    return picture


class Drawn:
    """A source whose pictures are red, and only of unit 1."""

    def portraits(self, targets: Any) -> dict[str, Portrait]:
        image = torch.tensor([1.0, 0, 0]).view(3, 1, 1).expand(3, SIZE, SIZE).clone()
        return {name: Portrait(name, image, 0.5, Status("done", 3)) for name in targets if name == "1:1"}


@pytest.fixture(scope="module")
def survey() -> Survey:
    return pl.survey.survey(classifier(), Spots(40), classes=("faint", "strong"), k=3, precision="float32")


@pytest.fixture(scope="module")
def found(survey: Survey) -> Explanation:
    return pl.explain.explain(classifier(), photo(), survey=survey, pictures=Drawn())


def test_units_are_ranked_by_their_known_means(found: Explanation) -> None:
    assert found.layer == "1"  # the last with positions
    assert [unit.target for unit in found.units] == ["1:1", "1:0"]
    assert [unit.activation for unit in found.units] == pytest.approx([0.5 * 6 / 8, 0.4 * 2 / 8])


def test_the_map_and_the_crop_are_where_the_unit_fires(found: Explanation) -> None:
    red = found.units[1]
    expected = torch.zeros(SIZE, SIZE)
    expected[:, 6:] = RED - 0.5
    torch.testing.assert_close(red.map, expected)
    assert red.place == (0, 6)
    assert red.box == (0, 6, 1, 7)  # a 1x1 convolution sees one pixel


def test_a_unit_that_sees_all_is_framed_where_it_is_strongest() -> None:
    framed = framed_cell(torch.full((3, 200, 400), 0.5), (1, 2), (2, 4))
    marked = [(x, y) for x in range(400) for y in range(200) if framed.getpixel((x, y)) == (0xC2, 0x41, 0x0C)]
    assert {min(marked), max(marked)} == {(200, 100), (299, 199)}
    assert (250, 150) not in marked


def test_contributions_are_exact_where_the_rest_is_affine(found: Explanation) -> None:
    assert (found.aim, found.way) == ("not red", "weight-x-activation")
    assert found.units[0].contribution == pytest.approx(3 * 0.375)
    assert found.units[1].contribution == pytest.approx(0, abs=1e-6)
    other = pl.explain.explain(classifier(), photo(), of="red", pictures=(), by="contribution")
    assert [(unit.target, unit.contribution) for unit in other.units] == [
        ("1:0", pytest.approx(2 * 0.1)),
        ("1:1", pytest.approx(0, abs=1e-6)),
    ]


def test_predictions_are_the_softmax(found: Explanation) -> None:
    shares = torch.tensor([2 * 0.1, 3 * 0.375]).softmax(0).tolist()
    assert [name for name, _ in found.predictions] == ["not red", "red"]
    assert [share for _, share in found.predictions] == pytest.approx(shares[::-1])


def test_percentiles_and_examples_are_the_surveys(found: Explanation, survey: Survey) -> None:
    red = found.units[1]
    assert red.percentile == survey.percentile("1:0", red.activation) == 100  # no spot is as red as two columns
    assert found.units[0].percentile == 0  # and every spot leaves more black
    assert [one.value for one in red.examples] == pytest.approx([0.5, 248 / 255 - 0.5, 242 / 255 - 0.5])
    assert red.classes == (("strong", 3),)


def test_pictures_come_from_the_source(found: Explanation) -> None:
    assert found.units[0].portrait is not None
    assert found.units[1].portrait is None  # the source has none


def test_csv_and_json_hold_every_unit(found: Explanation, tmp_path: Path) -> None:
    found.save(tmp_path)
    rows = list(csv.DictReader((tmp_path / "units.csv").read_text().splitlines()))
    assert [row["target"] for row in rows] == ["1:1", "1:0"]
    assert float(rows[0]["activation"]) == pytest.approx(0.375)
    record = json.loads((tmp_path / "explanation.json").read_text())
    assert record["class"] == "not red"
    assert [unit["target"] for unit in record["units"]] == ["1:1", "1:0"]
    assert "iframe" in found._repr_html_()


def test_a_network_without_classes_is_explained_without(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3))
    found = pl.explain.explain(pl.Model(net, size=SIZE), photo(), pictures=())
    assert (found.aim, found.predictions) == (None, ())
    assert found.units[0].contribution is None
    assert found.save(tmp_path).stat().st_size > 5000


def test_mistakes_are_said_in_one_line(survey: Survey) -> None:
    model = classifier()
    with pytest.raises(TargetError, match=r"no layer '7' in known"):
        pl.explain.explain(model, photo(), "7")
    with pytest.raises(TargetError, match="no class 'blue' in known"):
        pl.explain.explain(model, photo(), of="blue")
    with pytest.raises(TargetError, match="units are ranked by activation, percentile, contribution, not by 'size'"):
        pl.explain.explain(model, photo(), by="size")
    with pytest.raises(TableError, match="units cannot be ranked by percentile: no survey was given"):
        pl.explain.explain(model, photo(), by="percentile")
    with pytest.raises(TableError, match=r"the survey is of known \(.*\), not of Sequential"):
        pl.explain.explain(pl.Model(nn.Sequential(nn.Conv2d(3, 2, 1)), size=SIZE), photo(), survey=survey)
    with pytest.raises(ImageError, match="no file"):
        pl.explain.explain(model, "absent.jpg")
