"""`pellucid invert`, from a saved picture and from any other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import pellucid as pl
from pellucid.app.cli.main import run
from pellucid.images.files import write

FACTORY = """
import torch
from torch import nn
import pellucid as pl

class Sine(nn.Module):
    def forward(self, x):
        return torch.sin(2 * x)

def net():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), Sine(), nn.Conv2d(8, 5, 3, padding=1), nn.Softplus())
    return pl.Model(layers, size=12, name="smooth")
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network in a file, a rendering of it, and a picture from elsewhere."""
    folder = tmp_path_factory.mktemp("invert")
    (folder / "net.py").write_text(FACTORY)
    model = pl.load(f"{folder / 'net.py'}:net")
    settings = {"transforms": "none", "image": "pixels", "color": "none", "squash": "unbounded", "schedule": "cosine"}
    made = pl.render(model, "3:2~cosine", steps=250, learning_rate=0.05, parameter_noise=0.01, **settings)
    made.save(folder / "two.png")
    write(folder / "other.png", torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(0)))
    return folder


def invert(place: Path, *words: str) -> int:
    return run(["invert", f"{place / 'net.py'}:net", *words])


def test_a_saved_picture_is_taken_back_to_its_unit(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chart = place / "chart.png"
    assert invert(place, str(place / "two.png"), "-o", str(chart), "--noise-draws", "4") == 0
    printed = capsys.readouterr()
    first = printed.out.splitlines()[1].split()
    assert first[0] == "3:2"
    assert float(first[1]) > 0.9
    assert "the chart is in" in printed.err
    assert chart.stat().st_size > 1000


def test_json_holds_the_whole_answer_and_render_draws_it(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(place / "two.png"), "--render", "--json", "-o", str(place / "drawn.png"), "--noise-draws", "2"]
    assert invert(place, *words) == 0
    document = json.loads(capsys.readouterr().out)
    (picture,) = document["images"]
    assert picture["units"][0]["unit"] == 2
    assert (picture["cosine_power"], picture["aggregation"], picture["noise"]) == (2, "pooled", 0.01)
    assert picture["exploratory"] is False
    assert picture["ssim"] > 0.8
    assert Path(document["file"]).stat().st_size > 1000


def test_a_picture_from_elsewhere_needs_to_be_told_how_it_was_made_and_is_exploratory(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = str(place / "other.png")
    assert invert(place, other, "--layer", "3", "-o", str(place / "x.png")) == 2
    assert (
        "the cosine power and the aggregation that the picture was made with are not known" in capsys.readouterr().err
    )
    words = ["--layer", "3", "--cosine-power", "2", "--aggregation", "mean", "-o", str(place / "x.png")]
    assert invert(place, other, *words, "--noise-draws", "2", "--signed") == 0
    assert "exploratory: read it as a suggestion" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.png"], "no file 'none.png'"),
        (["two.png", "-o", "two.png"], "the chart would take the picture's place"),
        (["two.png", "--layer", "4"], "no layer '4' in smooth"),
        (["two.png", "--noise-draws", "3"], "noise_draws come in pairs"),
        (["two.png", "--critical-space", "two.safetensors"], "holds no critical space"),
    ],
)
def test_mistakes_end_in_one_line(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    monkeypatch.chdir(place)
    assert run(["invert", "net.py:net", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
