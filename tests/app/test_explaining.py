"""`pellucid attribute`, `similar` and `measure`: what is asked for is written, mistakes are one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

import pellucid as pl
from pellucid.app.cli import attribute, main
from pellucid.app.portrait_folder import PortraitFolder
from pellucid.atlas.store import Atlas
from pellucid.explain.attribution import METHODS
from pellucid.images.files import read_metadata
from pellucid.survey.unit_table import UnitTable
from typed import NETWORK, Run

QUICK = ("--steps", "3", "--batch", "8", "--precision", "float32")


@pytest.fixture
def pellucid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Types a command in a folder with a photo, a set of photos and `nets.py`; gives exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(NETWORK)
    Image.linear_gradient("L").resize((60, 40)).convert("RGB").save("photo.png")
    draw = torch.Generator().manual_seed(0)
    for number in range(24):
        folder = tmp_path / "photos" / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = (torch.rand(16, 16, 3, generator=draw) * 255).byte().numpy()
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (tmp_path / "photos/cat/broken.png").write_text("no picture")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main.run(list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_the_options_name_the_methods_that_there_are() -> None:
    assert attribute.METHODS == METHODS


def test_a_photo_is_attributed_by_all_methods_and_to_units(pellucid: Run) -> None:
    line = ("attribute", "nets.py:small", "photo.png", "logit:dog", "--method", "all", "--at", "relu", "-o", "why.png")
    code, out, err = pellucid(*line, "--samples", "8")
    assert (code, "logit:dog over the photo: why.png" in err) == (0, True)
    assert all(method in out for method in METHODS)
    assert "relu:" in out
    with Image.open("why.png") as sheet:
        assert sheet.width > 900
    assert json.loads(read_metadata("why.png")["pellucid"])["target"] == "logit:dog"
    document = json.loads(pellucid(*line, "--samples", "8", "--json")[1])
    complete = next(one for one in document["methods"] if one["method"] == "integrated-gradients")
    assert abs(complete["missing"]) < 0.05
    assert len(document["units"]) == 4


def test_like_units_are_found_and_nothing_is_rendered_twice(pellucid: Run) -> None:
    code, out, err = pellucid("similar", "nets.py:small", "relu", "-o", "like", *QUICK)
    assert code == 0
    assert "relu:0" in out
    assert "units are excited most by their own picture" in err
    table = UnitTable.load("like/units.parquet")
    assert len(table) == 4
    assert len(table["nearest_units"][0]) == 3
    assert all(Path("like", name).stat().st_size > 500 for name in ("heat-map.png", "clustered.png", "nearest.png"))
    assert len(Path("like/nearest.csv").read_text().splitlines()) == 1 + 4 * 3
    kept = {file: file.stat().st_mtime_ns for file in Path("like/pictures").rglob("*.safetensors")}
    again = json.loads(pellucid("similar", "nets.py:small", "relu:0-3", "-o", "like", "--json", *QUICK)[1])
    assert {file: file.stat().st_mtime_ns for file in Path("like/pictures").rglob("*.safetensors")} == kept
    assert again["units"][2]["nearest"] == table["nearest_units"][2]


def test_units_and_classes_are_measured_on_a_page(pellucid: Run) -> None:
    line = ("measure", "nets.py:small", "relu:*", "logit:cat", "--data", "photos", "-o", "out", "--top", "4", *QUICK)
    code, out, err = pellucid(*line, "--judge", "nets.py:small")
    assert code == 0
    assert "relu" in out
    assert "Page: out/measures.md" in err
    table = UnitTable.load("out/units.parquet")
    assert table.targets == ("relu:0", "relu:1", "relu:2", "relu:3", "logit:cat")
    assert table.about("reach_percentile").provenance["images"] == 24
    assert [value is None for value in table["transfer_top5"]] == [True] * 4 + [False]
    page = Path("out/measures.md").read_text()
    worst = table.sorted_by("trust", descending=False).targets[0]
    assert page.index("worst") < page.index(f"`{worst}`") < page.index("What they say")
    assert all(Path("out/measures", name).is_file() for name in ("worst.webp", "best.webp", "by-layer.webp"))
    assert Path("out/units.csv").read_text().startswith('"target"')
    document = json.loads(pellucid(*line, "--kept", "--json")[1])
    assert [layer["units"] for layer in document["layers"]] == [4, 1]


def test_an_atlas_gives_its_pictures_and_gets_the_tables(pellucid: Run) -> None:
    made = ("atlas", "nets.py:small", "-o", "at", "--layers", "relu", "--negative", "--steps", "3", "--batch", "8")
    assert pellucid(*made)[0] == 0
    line = ("measure", "nets.py:small", "at", "--data", "photos", "-o", "out", "--top", "4", "--no-untrained")
    code, _, err = pellucid(*line, "--seeds", "0")
    assert (code, err[-300:].count("Page")) == (0, 1)
    assert not list(Path("out/pictures").rglob("*.safetensors"))  # nothing was rendered, nor were opposites
    assert pellucid("similar", "nets.py:small", "relu", "--atlas", "at", "-o", "like")[0] == 0
    atlas = Atlas.open("at")
    assert {"measures", "similar"} <= set(atlas.tables)
    row = atlas.table("measures").row("relu:2")
    assert row is not None
    assert row["score"] == pytest.approx(atlas.picture("relu:2").score, rel=0.1)  # type: ignore[union-attr]
    assert row["machine_interpretability"] is not None
    assert len(atlas.table("similar").row("relu:2")["nearest_units"]) == 3  # type: ignore[index]
    code, _, err = pellucid("measure", "plain", "at", "--data", "photos", "-o", "out")
    assert (code, "give the network that it was made of" in err) == (2, True)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("attribute nets.py:small no.png logit:cat", "no file 'no.png'"),
        ("attribute nets.py:small photo.png logit:cat --method shap", "no method 'shap' of attribution"),
        ("attribute nets.py:small photo.png logit:cat -o photo.png", "would take the photo's place"),
        ("attribute nets.py:small photo.png logit:cow", "'cow'"),
        ("similar nets.py:small relu:3", "takes a layer or several units of one"),
        ("similar nets.py:small rleu", "Did you mean 'relu'"),
        ("similar nets.py:small relu --nearest 0", "--nearest is 1 or more, not 0"),
        ("measure nets.py:small relu:0 --data nowhere", "no dataset 'nowhere'"),
        ("measure nets.py:small relu:0 --data photos --top 0", "--images and --top are 1 or more"),
        ("measure nets.py:small photos --data photos", "there is no atlas.json"),
        ("measure nets.py:small relu:0 --data photos --images 5", "against 20 natural images or more, not 5"),
    ],
)
def test_mistakes_are_one_line(pellucid: Run, line: str, said: str) -> None:
    code, _, err = pellucid(*line.split())
    assert code == 2
    assert said in err
    assert len(err.strip().splitlines()) == 1


def test_kept_pictures_are_given_as_they_were_and_a_stopped_run_goes_on(tmp_path: Path) -> None:
    torch.manual_seed(0)
    recipe = pl.Recipe(steps=2, batch=16)
    net = pl.Model(torch.nn.Sequential(torch.nn.Conv2d(3, 70, 3)), size=8)
    names = [f"0:{unit}" for unit in range(70)]
    first = PortraitFolder(tmp_path, net, recipe).portraits(names[:66])
    assert sorted(file.name for file in tmp_path.rglob("*.safetensors")) == ["000000.safetensors", "000064.safetensors"]
    only = PortraitFolder(tmp_path, net, recipe, renders=False).portraits(names)
    assert list(only) == names[:66]
    assert all(torch.equal(only[name].image, first[name].image) for name in only)
    assert only["0:3"].status == first["0:3"].status
    stopped = PortraitFolder(tmp_path, net, recipe, callback=lambda progress: True).portraits(names)
    assert list(stopped) == names[:66]
    assert list(PortraitFolder(tmp_path, net, recipe).portraits(names)) == names
    assert PortraitFolder(tmp_path, net, pl.Recipe(steps=1), renders=False).portraits(names) == {}
