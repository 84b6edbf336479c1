"""The gallery writes a page that says what was measured, and leaves what was not drawn again as it was."""

from __future__ import annotations

import csv
import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

TREE = Path(__file__).parents[2]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(TREE))
    return importlib.import_module("gallery.__main__")


def test_an_item_comes_with_page_pictures_and_numbers(command: ModuleType, tmp_path: Path) -> None:
    asked = ["--only", "forum", "--out", str(tmp_path), "--thrift", "128"]
    assert command.main(asked) == 0
    page = (tmp_path / "README.md").read_text()
    assert len(re.findall(r"\*\*(not )?borne out\*\*", page)) == 6
    # So few steps bring no pixel to its bound, and the page must say so.
    assert "**not borne out**" in page
    linked = re.findall(r"\]\((forum-[^)]+)\)", page)
    assert {Path(name).suffix for name in linked} == {".webp", ".csv"}
    assert all((tmp_path / name).stat().st_size for name in linked)
    rows = list(csv.reader((tmp_path / "forum-steps.csv").read_text().splitlines()))
    assert {row[0] for row in rows[1:]} == {"clip", "sigmoid", "unbounded"}

    (tmp_path / "README.md").write_text(page.replace("A first-layer filter", "What stood here"))
    assert command.main(asked) == 0
    assert "What stood here" not in (tmp_path / "README.md").read_text()


def test_what_cannot_be_drawn_is_said_in_one_line(
    command: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--model", "defualt", "--out", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "defualt" in line
    assert "default" in line
    assert not list(tmp_path.iterdir())
