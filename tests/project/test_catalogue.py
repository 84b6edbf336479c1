"""The catalogue's pages tell the truth: every test that a row names exists, and every Python name can be imported."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

TREE = Path(__file__).parents[2]
PAGE = (TREE / "docs/catalogue/objectives.md").read_text()
ROOMS = ("objectives", "transforms", "models")


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
