"""The catalogue's pages tell the truth: every test that a row names exists, and every Python name can be imported."""

from __future__ import annotations

import importlib
import re
from dataclasses import fields
from pathlib import Path

import pytest

from pellucid.ascent.recipe import Recipe
from pellucid.models.targets import Target

TREE = Path(__file__).parents[2]
PAGE = (TREE / "docs/catalogue.md").read_text()
ROOMS = ("objectives", "transforms", "models", "images", "ascent")


def test_every_test_that_is_named_exists() -> None:
    named = re.findall(r"`(test_\w+\.py)(?:::(test_\w+))?`", PAGE)
    assert len(named) > 40
    for file, test in named:
        texts = [
            (TREE / "tests" / room / file).read_text() for room in ROOMS if (TREE / "tests" / room / file).exists()
        ]
        assert texts, file
        assert not test or any(f"def {test}(" in text for text in texts), f"{file}::{test}"


def test_every_python_name_can_be_imported() -> None:
    named = set(re.findall(r"`(?:with )?([a-z_]+)\.(\w+)\(", PAGE)) - {("model", "layer"), ("model", "tap")}
    assert len(named) > 30
    for module, name in named:
        homes = [room for room in ROOMS if (TREE / "src/pellucid" / room / f"{module}.py").exists()]
        assert homes, module
        assert any(name in vars(importlib.import_module(f"pellucid.{room}.{module}")) for room in homes), (module, name)


def test_every_option_and_setting_exists() -> None:
    from typer.main import get_command

    from pellucid.app.cli.main import app

    commands = get_command(app).commands
    options = {name for command in commands.values() for option in command.params for name in option.opts}
    named = set(re.findall(r"`(--[a-z-]+)", PAGE)) | set(re.findall(r" (--[a-z-]+) [^|]*`", PAGE))
    assert len(named) > 10
    assert named <= options
    settings = set(re.findall(r"[`, ]([a-z_]+)=", PAGE.split("## The loop")[1]))
    assert settings - {"make_image"} <= {field.name for field in fields(Recipe)}


def test_every_row_has_something_plain_to_take_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TREE / "tools"))
    plain_rows = importlib.import_module("plain_rows")
    rows = plain_rows.rows_of(PAGE)
    assert len(rows) > 70
    assert set(rows) == set(plain_rows.ROWS)


def test_every_target_on_the_page_reads() -> None:
    last = [row.rsplit("|", 2)[1] for row in PAGE.split("## Group terms")[0].splitlines() if row.startswith("| ")]
    texts = [
        text for cell in last for text in re.findall(r"`([^`]+)`", cell) if " --" not in f" {text}" and text[0] != "@"
    ]
    assert len(texts) > 15
    for text in texts:
        assert Target.parse(str(Target.parse(text))) == Target.parse(text)
