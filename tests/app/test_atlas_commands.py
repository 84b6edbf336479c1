"""`pellucid atlas`: planned, made, gone on with, checked, repaired and merged from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atlas_networks import __file__ as NETWORKS
from atlas_networks import factory
from pellucid.app.cli import main
from pellucid.app.site.addresses import Routes
from pellucid.app.site.shelf import Shelf
from pellucid.app.site.unit_contents import unit_contents
from pellucid.atlas.store import Atlas

MODEL = f"{NETWORKS}:factory"
QUICK = ("--steps", "3", "--transforms", "none", "--no-trial", "--device", "cpu")


@pytest.fixture
def pellucid(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: object) -> tuple[int, str, str]:
        code = main.run([str(one) for one in arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


Run = Callable[..., tuple[int, str, str]]


def test_an_atlas_is_planned_made_and_found_whole(pellucid: Run, tmp_path: Path) -> None:
    place = tmp_path / "mit Leerzeichen ü"
    code, out, _ = pellucid("atlas", MODEL, "-o", place, "--layers", "one", "--dry-run", *QUICK)
    assert code == 0
    for words in ("8 to make, of 3 steps each; 0 are there", "time", "memory", "disk"):
        assert words in out
    assert not place.exists()
    code, _, err = pellucid("atlas", MODEL, "-o", place, "--layers", "one", *QUICK)
    assert code == 0
    assert "8 pictures made in" in err
    assert f"pellucid view {place}" in err
    code, out, err = pellucid("atlas", "verify", place)
    assert (code, err.split()) == (0, ["whole"])
    assert out.split()[-2:] == ["one", "8"]
    assert Atlas.open(place).card.model.source == {
        "spec": MODEL,
        "weights": None,
        "mean": None,
        "std": None,
        "size": None,
    }


def test_run_is_the_command_that_is_meant_without_one(pellucid: Run, tmp_path: Path) -> None:
    options = ("--units", "0", *QUICK)
    assert pellucid("atlas", "run", MODEL, "-o", tmp_path / "a", *options)[0] == 0
    assert pellucid("atlas", "-o", tmp_path / "b", MODEL, *options)[0] == 0
    assert len(Atlas.open(tmp_path / "b")) == 2


def test_json_is_one_document(pellucid: Run, tmp_path: Path) -> None:
    code, out, err = pellucid("atlas", MODEL, "-o", tmp_path, "--units", "0-2", "--json", "--negative", *QUICK)
    document: dict[str, Any] = json.loads(out)
    assert (code, err) == (0, "")
    assert (document["rendered"], document["before"], document["left"]) == ({"done": 12}, 0, 0)
    assert json.loads(pellucid("atlas", "verify", tmp_path, "--json")[1])["pictures"] == 12


def test_damage_is_named_and_repaired(pellucid: Run, tmp_path: Path) -> None:
    pellucid("atlas", MODEL, "-o", tmp_path, *QUICK)
    before = {key: Atlas.open(tmp_path).image(*key) for key in Atlas.open(tmp_path).keys}
    (one, _) = sorted((tmp_path / "pictures").iterdir())
    data = bytearray(one.read_bytes())
    data[len(data) // 3] ^= 4
    one.write_bytes(data)
    code, _, err = pellucid("atlas", "verify", tmp_path)
    assert code == 1
    assert f"damaged: pictures/{one.name}: its {len(data):,} bytes do not have the checksum in its name" in err
    code, _, err = pellucid("atlas", "repair", tmp_path)
    assert code == 2
    assert "Python that an atlas does not run by itself" in err
    code, _, err = pellucid("atlas", "repair", tmp_path, "--model", MODEL)
    assert code == 0, err
    assert "8 pictures made" in err
    assert pellucid("atlas", "verify", tmp_path)[0] == 0
    assert {key: Atlas.open(tmp_path).image(*key) for key in Atlas.open(tmp_path).keys} == before


def test_partial_atlases_are_merged(pellucid: Run, tmp_path: Path) -> None:
    pellucid("atlas", MODEL, "-o", tmp_path / "a", "--layers", "one", "--units", "0-4", *QUICK)
    pellucid("atlas", MODEL, "-o", tmp_path / "b", "--layers", "one", "--units", "3-7", *QUICK)
    pellucid("atlas", MODEL, "-o", tmp_path / "c", "--layers", "one", "--seed", "1", *QUICK)
    code, _, err = pellucid("atlas", "merge", tmp_path / "a", tmp_path / "b", "-o", tmp_path / "all")
    assert code == 0
    assert "8 pictures added; 8 of 8" in err
    assert pellucid("atlas", "verify", tmp_path / "all")[2].split() == ["whole"]
    code, _, err = pellucid("atlas", "merge", tmp_path / "a", tmp_path / "c", "-o", tmp_path / "all")
    assert code == 2
    assert "was made with seed 0, and not 1" in err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (("verify", "nowhere"), "no atlas at"),
        (("default", "-o", "x", "--layers", "mixed9"), "no layer of default fits 'mixed9'. Did you mean"),
        (("default",), "Missing option '--output' / '-o'"),
        (("default", "-o", "x", "--members", "2"), "leave members out, and give images (--images N)"),
        (("defualt", "-o", "x"), "no model 'defualt'. Did you mean 'default'"),
    ],
)
def test_mistakes_are_one_line(pellucid: Run, line: tuple[str, ...], words: str, tmp_path: Path) -> None:
    code, out, err = pellucid("atlas", *line)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


def test_a_whole_atlas_knows_what_its_units_feed(pellucid: Run, tmp_path: Path) -> None:
    assert pellucid("atlas", MODEL, "-o", tmp_path, "--units", "0-3", *QUICK)[0] == 0
    table = Atlas.open(tmp_path).table("feeds")
    weight = dict(factory()._module.named_parameters())["two.weight"].sum((2, 3))
    shown = unit_contents(Shelf.open(tmp_path), 0, 0, 2, Routes())
    assert shown is not None
    (group,) = shown["links"]  # nothing feeds the first layer
    assert (group["title"], group["is_wiring"]) == ("What it feeds", True)
    assert {one["unit"]: one["value"] for one in group["items"]} == {
        unit: pytest.approx(float(weight[unit, 2]), abs=1e-5) for unit in range(4)
    }
    (tmp_path / "tables/feeds.parquet").write_bytes(b"PAR1")
    assert pellucid("atlas", "verify", tmp_path)[0] == 1
    assert pellucid("atlas", MODEL, "-o", tmp_path, "--units", "0-3", *QUICK)[0] == 0  # nothing to render, but this
    assert Atlas.open(tmp_path).table("feeds").table == table.table
    (tmp_path / "tables/feeds.parquet").unlink()
    code, _, err = pellucid("atlas", "feeds", tmp_path, "--model", MODEL)
    assert code == 0
    assert "8 units: what each feeds" in err
    assert Atlas.open(tmp_path).table("feeds").table == table.table


def test_what_feeds_what_is_refused_where_nothing_can(pellucid: Run, tmp_path: Path) -> None:
    pellucid("atlas", MODEL, "-o", tmp_path / "one", "--layers", "one", *QUICK)
    assert Atlas.open(tmp_path / "one").tables == ()
    code, _, err = pellucid("atlas", "feeds", tmp_path / "one", "--model", MODEL)
    assert (code, err.count("\n")) == (2, 1)
    assert "has one alone, and layers feed each other" in err
    pellucid("atlas", MODEL, "-o", tmp_path / "two", "--units", "0", *QUICK)
    code, _, err = pellucid("atlas", "feeds", tmp_path / "two", "--model", "default")
    assert (code, err.count("\n")) == (2, 1)
    assert "no layer 'one'" in err or "the table is of default with weights" in err


def test_workers_leave_what_feeds_what_to_a_command(pellucid: Run, tmp_path: Path) -> None:
    """A leader may have no accelerator."""
    options = ("--units", "0", "--executor", "processes", "--workers", "1")
    code, _, err = pellucid("atlas", MODEL, "-o", tmp_path, *options, *QUICK)
    assert code == 0
    assert f"what its units feed is not known (workers leave it to you): pellucid atlas feeds {tmp_path}" in err
    assert Atlas.open(tmp_path).tables == ()
