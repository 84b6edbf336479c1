"""Unit tables: one row a target, columns that say what they mean, the same after a round trip."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest
from torch import nn

import pellucid as pl
from pellucid.errors import TableError
from pellucid.survey.unit_table import About, UnitTable


@pytest.fixture(scope="module")
def model() -> pl.Model:
    return pl.Model(nn.Sequential(nn.Conv2d(3, 4, 3)), size=8)


def table(model: pl.Model, name: str = "score", targets: tuple[str, ...] = ("0:1", "0:0", "0:2")) -> UnitTable:
    values = [float(target[-1]) for target in targets]
    lists = [[value, value + 1] for value in values]
    return UnitTable.of(
        model,
        targets,
        {name: (values, About("mean activation", {"pictures": 3})), f"{name}_list": (lists, About("two numbers"))},
    )


def test_a_round_trip_changes_nothing(model: pl.Model, tmp_path: Path) -> None:
    first = table(model)
    again = UnitTable.load(first.save(tmp_path / "units.parquet"))
    assert (again.targets, again["score"], again["score_list"]) == (first.targets, first["score"], first["score_list"])
    assert again.about("score") == About("mean activation", {"pictures": 3})
    assert (again.model_name, again.model_hash) == (model.name, model.weights_hash)


def test_a_row_is_found_by_its_target(model: pl.Model) -> None:
    assert table(model).row("0:2") == {"score": 2.0, "score_list": [2.0, 3.0]}
    assert table(model).row(pl.Target.parse("0:0")) == {"score": 0.0, "score_list": [0.0, 1.0]}
    assert table(model).row("0:3") is None


def test_a_join_keeps_every_target_of_either(model: pl.Model) -> None:
    both = table(model).joined(table(model, "rank", ("0:3", "0:0")))
    assert both.targets == ("0:1", "0:0", "0:2", "0:3")
    assert both["score"] == [1.0, 0.0, 2.0, None]
    assert both["rank"] == [None, 0.0, None, 3.0]
    assert both.about("rank").meaning == "mean activation"


def test_tables_of_two_networks_are_not_joined(model: pl.Model) -> None:
    other = pl.Model(nn.Sequential(nn.Conv2d(3, 4, 3)), size=8, name="other")
    with pytest.raises(TableError, match=r"two networks are not joined: Sequential \(.*\) and other \("):
        table(model).joined(table(other, "rank"))


def test_sorting_puts_what_has_no_value_last(model: pl.Model) -> None:
    both = table(model).joined(table(model, "rank", ("0:3", "0:0")))
    assert both.sorted_by("score").targets == ("0:2", "0:1", "0:0", "0:3")
    assert both.sorted_by("score", descending=False).targets == ("0:0", "0:1", "0:2", "0:3")


def test_a_csv_holds_what_fits_into_cells(model: pl.Model, tmp_path: Path) -> None:
    text = table(model).save(tmp_path / "units.csv").read_text()
    assert text.splitlines() == ['"target","score"', '"0:1",1', '"0:0",0', '"0:2",2']


def test_mistakes_are_said_in_one_line(model: pl.Model, tmp_path: Path) -> None:
    with pytest.raises(TableError, match="'0:1' is there twice"):
        table(model, targets=("0:1", "0:1"))
    with pytest.raises(TableError, match="has 1 values for 2 targets"):
        UnitTable.of(model, ["0:1", "0:2"], {"a": ([1], About("one"))})
    with pytest.raises(TableError, match=r"no column 'scroe' in this table. Did you mean 'score'"):
        table(model)["scroe"]
    with pytest.raises(TableError, match=r"as .parquet or .csv, not 'units.txt'"):
        table(model).save(tmp_path / "units.txt")
    with pytest.raises(TableError, match=r"both tables have a column 'score'"):
        table(model).joined(table(model))
    (tmp_path / "no.parquet").write_text("text")
    with pytest.raises(TableError, match=r"no.parquet' is no Parquet file"):
        UnitTable.load(tmp_path / "no.parquet")
    pyarrow.parquet.write_table(table(model).table.replace_schema_metadata({}), tmp_path / "other.parquet")
    with pytest.raises(TableError, match="but no unit table of Pellucid's"):
        UnitTable.load(tmp_path / "other.parquet")
    with pytest.raises(TableError, match="cannot read"):
        UnitTable.load(tmp_path / "absent.parquet")


@pytest.mark.skipif(sys.platform != "linux", reason="counts the threads of a process as Linux lists them")
def test_no_thread_of_arrows_has_a_part_in_reading(model: pl.Model, tmp_path: Path) -> None:
    """One that lets go of Python's bytes while Python ends would abort the process."""
    file = table(model).save(tmp_path / "units.parquet")
    code = (
        "import io, os, sys; from pathlib import Path; from pellucid.parquet import read_parquet; "
        "import pyarrow.parquet as pq; held = Path(sys.argv[1]).read_bytes(); "
        "count = lambda: len(os.listdir('/proc/self/task')); before = count(); read_parquet(io.BytesIO(held)); "
        "ours = count(); pq.read_table(io.BytesIO(held)); print(before, ours, count(), flush=True); os._exit(0)"
    )
    result = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True)
    before, ours, arrows = map(int, result.stdout.split())
    assert before == ours < arrows
