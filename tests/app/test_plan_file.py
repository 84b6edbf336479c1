"""What trials have chosen outlives the program, and no state of its file can harm a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import platformdirs
import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.app import plan_file
from pellucid.app.plan_file import kept_plans, plans_file
from pellucid.ascent.plan import known_plans

ENTRY: dict[str, object] = {"precision": "float32", "batch": 3}


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file in a folder that does not exist yet; nothing is known, as in a new process."""
    monkeypatch.setenv("PELLUCID_CACHE", str(tmp_path / "cache/pellucid"))
    known_plans.clear()
    yield plans_file()
    known_plans.clear()


def plan() -> pl.Plan:
    """Of a long run, as a new process would make it."""
    known_plans.clear()
    torch.manual_seed(0)
    with kept_plans():
        return pl.plan(pl.Model(nn.Sequential(nn.Conv2d(3, 2, 1)), size=8), "0:0", steps=4096)


def test_the_file_lies_in_the_users_cache_or_where_the_variable_says(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert file == tmp_path / "cache/pellucid/plans.json"
    monkeypatch.delenv("PELLUCID_CACHE")
    assert plans_file() == platformdirs.user_cache_path("pellucid") / "plans.json"


def test_a_choice_is_kept_and_taken_by_the_next_run(file: Path) -> None:
    first = plan()
    assert first.trials
    ((key, entry),) = json.loads(file.read_text()).items()
    assert entry == known_plans[key]
    assert [path.name for path in file.parent.iterdir()] == ["plans.json"]
    second = plan()
    assert second.trials == ()
    assert second.resolved == first.resolved


def test_a_short_run_leaves_no_file(file: Path) -> None:
    with kept_plans():
        pl.plan(pl.Model(nn.Sequential(nn.Conv2d(3, 2, 1)), size=8), "0:0", steps=2)
    assert not file.parent.exists()


@pytest.mark.parametrize(
    "content", ["", "{", "[1, 2]", "null", '{"a": 3, "b": ["c"]}', "\udcff", "[" * 100_000], ids=lambda text: text[:9]
)
def test_a_broken_file_is_ignored_and_replaced(file: Path, content: str) -> None:
    file.parent.mkdir(parents=True)
    file.write_bytes(content.encode(errors="surrogateescape"))
    with kept_plans():
        assert known_plans == {}
        known_plans["new"] = ENTRY
    assert json.loads(file.read_text()) == {"new": ENTRY}


def test_a_file_that_cannot_be_written_or_read_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.setenv("PELLUCID_CACHE", str(tmp_path / "a file/below"))
    with kept_plans():
        known_plans["new"] = ENTRY
    in_the_way = tmp_path / "folder/plans.json"
    in_the_way.mkdir(parents=True)
    monkeypatch.setenv("PELLUCID_CACHE", str(tmp_path / "folder"))
    with kept_plans():
        known_plans["newer"] = ENTRY
    assert list((tmp_path / "folder").iterdir()) == [in_the_way]


def test_runs_side_by_side_keep_each_others_choices(file: Path) -> None:
    with kept_plans():
        known_plans["mine"] = ENTRY
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"theirs": ENTRY}))
    assert json.loads(file.read_text()) == {"theirs": ENTRY, "mine": ENTRY}


def test_a_run_that_fails_keeps_what_it_has_tried(file: Path) -> None:
    def interrupted() -> None:
        with kept_plans():
            known_plans["tried"] = ENTRY
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert json.loads(file.read_text()) == {"tried": ENTRY}


def test_only_the_newest_are_kept(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_file, "_MOST_KEPT", 3)
    for name in "abcd":
        known_plans.clear()
        with kept_plans():
            known_plans[name] = ENTRY
    assert list(json.loads(file.read_text())) == ["b", "c", "d"]
