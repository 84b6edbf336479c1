"""The gallery writes a page that says what was measured, and leaves what was not drawn again as it was."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from PIL import Image

import pellucid as pl
from gallery.__main__ import main
from gallery.exhibit import Claim, Exhibit, Picture, Table
from gallery.hall import Hall, stages_of
from gallery.page import Folder


@pytest.fixture(scope="module")
def hall() -> Hall:
    return Hall(pl.load("default"))


def exhibit(*, holds: bool, private: bool = False) -> Exhibit:
    shown = Picture("dot", Image.new("RGB", (8, 8)), "A dot", "It is black.", private)
    claim = Claim("Dots are black.", "all pixels are 0", "0 of 64 are not", holds)
    return Exhibit("A dot", "nobody", "Drawn.", [claim], [shown], [Table("dots", ("x", "y"), [(1, 0.123456789)])])


def test_an_item_comes_with_page_pictures_and_numbers(tmp_path: Path) -> None:
    assert main(["--only", "forum", "--out", str(tmp_path), "--thrift", "128"]) == 0
    page = (tmp_path / "README.md").read_text()
    assert len(re.findall(r"\*\*(not )?borne out\*\*", page)) == 6
    assert "**not borne out**" in page  # so few steps do not bring pixels to a sigmoid's bounds
    linked = re.findall(r"\]\((forum-[^)]+)\)", page)
    assert {Path(name).suffix for name in linked} == {".webp", ".csv"}
    assert all((tmp_path / name).stat().st_size for name in linked)
    rows = list(csv.reader((tmp_path / "forum-steps.csv").read_text().splitlines()))
    assert {row[0] for row in rows[1:]} == {"clip", "sigmoid", "unbounded"}


def test_an_item_drawn_again_takes_its_place_and_leaves_the_others(tmp_path: Path, hall: Hall) -> None:
    folder = Folder(tmp_path, tmp_path / "private")
    folder.write("boost", exhibit(holds=True), hall)
    folder.write("forum", exhibit(holds=True), hall)
    folder.write("boost", exhibit(holds=False), hall)
    page = (tmp_path / "README.md").read_text()
    assert page.index("<!-- item forum -->") < page.index("<!-- item boost -->")
    assert page.count("## A dot") == 2
    assert page.count("**borne out**: 0 of 64 are not") == 1
    assert page.count("**not borne out**: 0 of 64 are not") == 1
    assert "| [A dot](#forum) | 1 | 0 |" in page
    assert "| [A dot](#boost) | 0 | 1 |" in page
    assert (tmp_path / "boost-dots.csv").read_text() == "x,y\n1,0.123457\n"
    before = page
    folder.write("boost", exhibit(holds=False), hall)
    assert (tmp_path / "README.md").read_text() == before


def test_what_was_seen_stands_beside_the_picture_that_was_looked_at_only(tmp_path: Path, hall: Hall) -> None:
    Folder(tmp_path / "own", tmp_path).write("forum", exhibit(holds=True), hall)
    assert "It is black." in (tmp_path / "own/README.md").read_text()
    Folder(tmp_path / "other", tmp_path).write("forum", exhibit(holds=True), Hall(pl.load("plain")))
    assert "It is black." not in (tmp_path / "other/README.md").read_text()


def test_pictures_of_networks_that_are_not_the_projects_own_stay_out_of_its_folder(tmp_path: Path, hall: Hall) -> None:
    Folder(tmp_path / "own", tmp_path / "private").write("forum", exhibit(holds=True, private=True), hall)
    assert not list((tmp_path / "own").glob("*.webp"))
    assert (tmp_path / "private/forum-dot.webp").is_file()
    assert ".webp" not in (tmp_path / "own/README.md").read_text()


def test_stages_are_the_large_parts_of_a_network(hall: Hall) -> None:
    inception = ("conv1", "conv2", "mixed3a", "mixed3b", "mixed4a", "mixed4b", "mixed4c", "mixed5a")
    assert hall.stages == inception
    assert (hall.stage(0), hall.stage(0.6), hall.stage(1)) == ("conv1", "mixed4a", "mixed5a")
    squeezenet = pl.load("torchvision:squeezenet1_1", weights="none", size=64)
    fires = [f"features.{number}" for number in (0, 3, 4, 6, 7, 9, 10, 11, 12)]
    assert [stage for stage in stages_of(squeezenet) if stage.startswith("features")] == fires


def test_what_cannot_be_drawn_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", "defualt", "--out", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "defualt" in line
    assert "default" in line
    assert not list(tmp_path.iterdir())
