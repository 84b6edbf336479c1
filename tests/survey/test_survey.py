"""A survey against a network by hand: examples, crops, histograms, percentiles and classes are the known ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import pellucid as pl
from pellucid.errors import DatasetError, RecipeError, TableError, TargetError
from pellucid.survey.result import Survey
from pellucid.survey.streaming import survey
from spots import SIZE, Spots, red_reader, spot, write_spots

COUNT = 40


@pytest.fixture(scope="module")
def found() -> Survey:
    return survey(red_reader(), Spots(COUNT), k=3, batch=7, precision="float32")


def values(row: dict[str, Any], facet: str) -> list[int]:
    return [example["picture"] for example in row[facet]]


def test_the_highest_and_lowest_are_the_known_pictures(found: Survey) -> None:
    row = found.table.row("1:0")
    assert row is not None
    assert values(row, "highest") == [39, 38, 37]
    assert values(row, "lowest") == [0, 1, 2]
    assert [example["value"] for example in row["highest"]] == pytest.approx([0.5, 248 / 255 - 0.5, 242 / 255 - 0.5])
    # Before the rectifier: behind it, half of all pictures would be equal.
    assert row["lowest"][0]["value"] == pytest.approx(6 / 255 - 0.5)
    assert row["min_activation"] == pytest.approx(6 / 255 - 0.5)


def test_examples_say_where_and_what_the_unit_saw(found: Survey) -> None:
    row = found.table.row("1:0")
    assert row is not None
    for example in row["highest"] + row["lowest"] + row["slightly_positive"] + row["slightly_negative"]:
        _, top, left, red = spot(example["picture"], COUNT)
        assert (example["row"], example["col"]) == (top, left)
        assert example["value"] == pytest.approx(red - 0.5, abs=1e-6)
        assert (example["top"], example["left"]) == (top, left)  # all weights but the middle are zero: one pixel
        assert (example["bottom"], example["right"]) == (top + 1, left + 1)
        assert np.asarray(found.crop(example)).reshape(-1, 3).shape == (1, 3)


def test_the_slight_facets_lie_around_the_median(found: Survey) -> None:
    row = found.table.row("1:0")
    assert row is not None
    assert all(20 <= picture < 24 for picture in values(row, "slightly_positive"))  # quantiles 0.5 to 0.6 of 40
    assert all(16 <= picture < 20 for picture in values(row, "slightly_negative"))
    assert len(row["slightly_positive"]) == len(row["slightly_negative"]) == 3


def test_a_layer_and_its_rectifier_share_peaks_and_not_means(found: Survey) -> None:
    before, after = found.table.row("0:0"), found.table.row("1:0")
    assert before is not None
    assert after is not None
    assert before["highest"] == after["highest"]
    pictures = torch.stack([spot(number, COUNT)[0] for number in range(COUNT)])[:, 0]
    assert before["mean_activation"] == pytest.approx(float((pictures - 0.5).mean()), abs=1e-6)
    assert after["mean_activation"] == pytest.approx(float((pictures - 0.5).relu().mean()), abs=1e-6)
    assert after["fires"] == pytest.approx(sum(spot(n, COUNT)[3] > 0.5 for n in range(COUNT)) / COUNT)


def test_histograms_hold_every_picture_where_it_belongs(found: Survey) -> None:
    row = found.table.row("1:0")
    assert row is not None
    histogram = row["max_histogram"]
    edges = histogram["low"] + histogram["width"] * np.arange(len(histogram["counts"]) + 1)
    maxima = np.array([np.float32(spot(n, COUNT)[3]) - np.float32(0.5) for n in range(COUNT)], np.float32)
    np.testing.assert_array_equal(histogram["counts"], np.histogram(maxima, edges)[0])
    assert sum(histogram["counts"]) == COUNT
    assert 64 <= len(histogram["counts"]) <= 128


def test_a_percentile_is_the_share_of_pictures_below(found: Survey) -> None:
    means = [float((spot(n, COUNT)[0][0] - 0.5).relu().mean()) for n in range(COUNT)]
    for number in (25, 32, 39):
        share = 100 * sum(mean < means[number] for mean in means) / COUNT
        assert found.percentile("1:0", means[number]) == pytest.approx(share, abs=2.6)  # one picture of 40
    assert found.percentile("1:0", 1.0) == 100
    assert found.percentile("1:0", -1.0) == 0
    assert found.percentile("1:7", 0.0) is None


def test_the_classes_of_the_highest_are_counted(found: Survey) -> None:
    row = found.table.row("1:1")  # answers to what is not red: every picture's black
    assert row is not None
    assert found.table.row("1:0")["classes"] == [{"label": 1, "name": "1", "count": 3}]  # type: ignore[index]
    assert sum(entry["count"] for entry in row["classes"]) == 3


def test_batch_size_changes_nothing() -> None:
    one, many = (survey(red_reader(), Spots(COUNT), k=3, batch=b, precision="float32") for b in (1, 16))
    assert one.table.table.equals(many.table.table)


def test_a_folder_gives_the_same_and_names_its_classes(found: Survey, tmp_path: Path) -> None:
    write_spots(tmp_path, COUNT)
    (tmp_path / "strong/notes.txt").write_text("not a picture, and not named as one")
    got = survey(red_reader(), tmp_path, k=3, batch=7, precision="float32")
    row, other = got.table.row("1:0"), found.table.row("1:0")
    assert row is not None
    assert other is not None
    assert [e["value"] for e in row["highest"]] == [e["value"] for e in other["highest"]]
    assert row["classes"] == [{"label": 1, "name": "strong", "count": 3}]
    assert got.pictures.about(row["highest"][0]["picture"]) == {"name": "strong/039.png", "label": 1, "class": "strong"}


def test_broken_pictures_are_skipped_counted_and_named(tmp_path: Path) -> None:
    write_spots(tmp_path, COUNT)
    (tmp_path / "faint/000.png").write_text("text")
    whole = (tmp_path / "strong/030.png").read_bytes()
    (tmp_path / "strong/030.png").write_bytes(whole[: len(whole) - 30])
    got = survey(red_reader(), tmp_path, k=3, precision="float32")
    assert got.num_pictures == COUNT - 2
    assert [one.name for one in got.skipped] == ["faint/000.png", "strong/030.png"]
    assert "is not a picture" in got.skipped[0].reason
    assert "damaged or cut short" in got.skipped[1].reason


def test_a_pass_that_was_cut_off_ends_the_same(found: Survey, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"k": 3, "batch": 7, "precision": "float32"}
    part = survey(red_reader(), Spots(COUNT), tmp_path, callback=lambda done, _: done >= 14, **settings)
    assert (part.num_pictures, part.is_complete) == (14, False)
    began = []
    whole = survey(red_reader(), Spots(COUNT), tmp_path, callback=lambda done, _: began.append(done), **settings)
    assert began[0] == 21
    assert whole.is_complete
    assert whole.table.table.equals(found.table.table)
    assert not (tmp_path / "checkpoint.safetensors").exists()
    again = survey(red_reader(), Spots(COUNT), tmp_path, callback=lambda *_: pytest.fail("made again"), **settings)
    assert again.table.table.equals(found.table.table)


def test_a_killed_pass_goes_on_and_ends_the_same(found: Survey, tmp_path: Path) -> None:
    """`kill -9` in the middle, as a full stop of the machine would be."""
    script = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from spots import Spots, red_reader\n"
        "from pellucid.survey.streaming import survey\n"
        "survey(red_reader(), Spots(40), sys.argv[2], k=3, batch=7, precision='float32', checkpoint_seconds=0,\n"
        "       callback=lambda done, total: time.sleep(60) if done >= 21 else None)\n"
    )
    tests = Path(__file__).parents[1]
    process = subprocess.Popen([sys.executable, "-c", script, str(tests), str(tmp_path)], env=dict(os.environ))
    try:
        until = time.monotonic() + 60
        while not (tmp_path / "checkpoint.safetensors").exists() and process.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    began: list[int] = []
    got = survey(
        red_reader(),
        Spots(COUNT),
        tmp_path,
        k=3,
        batch=7,
        precision="float32",
        callback=lambda done, _: began.append(done),
    )
    assert began[0] > 7
    assert got.table.table.equals(found.table.table)


def test_a_survey_of_something_else_is_not_mixed_in(tmp_path: Path) -> None:
    survey(red_reader(), Spots(COUNT), tmp_path, k=3, precision="float32")
    with pytest.raises(TableError, match=r"holds a survey with another k \(3, now 4\): take another folder"):
        survey(red_reader(), Spots(COUNT), tmp_path, k=4, precision="float32")


def test_concatenated_branches_keep_their_own_peaks() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([self.a(x).relu(), torch.relu_(self.b(x))], 1)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.two = Two()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = self.two(x)
            out += 1  # behind the block: what it returned is written over, and was seen before
            return out

    torch.manual_seed(0)
    model = pl.Model(Net(), size=SIZE)
    pictures = torch.rand(5, 3, SIZE, SIZE)
    got = survey(model, [(p, 0) for p in pictures], k=5, precision="float32")
    with torch.no_grad():
        pre = torch.cat([model.tap(pictures, ["two.a"])["two.a"], model.tap(pictures, ["two.b"])["two.b"]], 1)
    for unit in range(5):
        row = got.table.row(f"two:{unit}")
        assert row is not None
        by_picture = {example["picture"]: example for example in row["highest"]}
        for picture in range(5):
            own = pre[picture, unit]
            example = by_picture[picture]
            assert example["value"] == pytest.approx(float(own.max()), abs=1e-6)
            assert own[example["row"], example["col"]] == own.max()
        assert row["mean_activation"] == pytest.approx(float(pre[:, unit].relu().mean()), abs=1e-6)


def test_the_receptive_field_is_that_of_the_arithmetic() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1)
    )
    fields = survey(pl.Model(net, size=(16, 24)), [torch.rand(3, 16, 24)], precision="float32")
    assert fields.settings.size == (16, 24)
    from pellucid.survey.fields import receptive_fields

    found = receptive_fields(pl.Model(net, size=(16, 24)), ["0", "2", "3"])
    assert [found["0"].rows[r] for r in (0, 3, 7)] == [(0, 2), (5, 8), (13, 16)]  # 3 px around 2 r
    assert [found["2"].cols[c] for c in (0, 5, 11)] == [(0, 4), (7, 14), (19, 24)]  # 7 px around 2 c
    assert found["3"].box(0) == (0, 0, 16, 24)


def test_mistakes_are_said_in_one_line(tmp_path: Path) -> None:
    model = red_reader()
    with pytest.raises(DatasetError, match="holds no picture"):
        survey(model, tmp_path)
    with pytest.raises(DatasetError, match=r"no dataset '.*absent'"):
        survey(model, tmp_path / "absent")
    (tmp_path / "a.jpg").write_text("text")
    with pytest.raises(DatasetError, match=r"none of the 1 pictures of .* can be read, the first because 'a.jpg'"):
        survey(model, tmp_path)
    with pytest.raises(TargetError, match=r"no layer 'l' in red"):
        survey(model, Spots(3), layers=["l"])
    with pytest.raises(RecipeError, match="k=0: a survey needs at least 1"):
        survey(model, Spots(3), k=0)
    with pytest.raises(DatasetError, match="labels do not match classes: item 2 has label 1, and 1 classes are named"):
        survey(model, Spots(3), classes=["only"])
    with pytest.raises(
        DatasetError, match=r"2 class names were given, but '.*' holds pictures that lie in no class folder"
    ):
        survey(model, tmp_path, classes=["a", "b"])
    Image.new("RGB", (4, 4)).save(tmp_path / "b.png")
    assert survey(model, tmp_path).num_pictures == 1
