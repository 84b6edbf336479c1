"""`pellucid compare` on the command line: a page, a table and a document are written; mistakes are one line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pellucid.app.cli import main
from pellucid.app.cli.compare import layer_pairs, unit_numbers
from pellucid.errors import TargetError

NETWORKS = """
import torch
from torch import nn
import pellucid as pl

def made(order, scales, name):
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 4, 3)
    nn.init.orthogonal_(conv.weight)
    nn.init.constant_(conv.bias, 0.05)
    with torch.no_grad():
        conv.weight.copy_(conv.weight[order] * torch.tensor(scales)[:, None, None, None])
        conv.bias.copy_(conv.bias[order] * torch.tensor(scales))
    return pl.Model(nn.Sequential(conv, nn.ReLU()), name=name, size=12)

def first():
    return made([0, 1, 2, 3], [1.0, 1.0, 1.0, 1.0], "first")

def copy():
    return made([2, 0, 3, 1], [5.0, 0.2, 1.0, 10.0], "copy")

def grey():
    return pl.Model(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), size=12, channels=1)
"""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def pellucid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Types a command in a folder with `nets.py` and a folder of pictures; gives exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(NETWORKS)
    (tmp_path / "photos").mkdir()
    for number in range(10):
        noise = Image.effect_noise((20, 16), 80).convert("RGB")
        noise.rotate(number * 20).save(tmp_path / f"photos/{number}.png")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main.run(["compare", *arguments])
        output = capsys.readouterr()
        return code, output.out, output.err

    return run


QUICK = ("nets.py:first", "nets.py:copy", "--layers", "1", "--steps", "40", "--rounds", "1")


def test_a_copy_with_other_channels_is_found_and_shown(pellucid: Run, tmp_path: Path) -> None:
    code, out, err = pellucid(*QUICK, "--data", "photos", "-o", "found")
    assert code == 0, err
    assert "1:0" in out
    assert "named alike by both" in err
    document = json.loads((tmp_path / "found/comparison.json").read_text())
    (one,) = document["comparisons"]
    assert {match["unit"]: match["by_pictures"] for match in one["matches"]} == {0: 1, 1: 3, 2: 0, 3: 2}
    assert one["num_images"] == 10
    rows = list(csv.DictReader((tmp_path / "found/pairs.csv").read_text().splitlines()))
    assert [row["by_activations"] for row in rows] == ["1", "3", "0", "2"]
    page = (tmp_path / "found/index.html").read_text()
    assert "<!--" not in page
    for name in ("0-unit-0-a.png", "0-unit-0-b.png", "0-matched-1.png"):
        assert f"pictures/{name}" in page
        assert (tmp_path / "found/pictures" / name).is_file()


def test_programs_get_one_document(pellucid: Run) -> None:
    code, out, _ = pellucid(*QUICK, "--units", "1,3", "--json", "-o", "found")
    document = json.loads(out)
    assert code == 0
    assert [match["unit"] for match in document["comparisons"][0]["matches"]] == [1, 3]
    assert document["comparisons"][0]["agreement"] is None
    assert document["page"].endswith("index.html")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nets.py:first", "nets.py:copy", "--layers", "7"), "no layer '7' in first"),
        (("nets.py:first", "nets.py:copy", "--layers", "1=7"), "no layer '7' in copy"),
        (("nets.py:first", "nets.py:copy", "--layers", "1="), "LAYER_OF_A=LAYER_OF_B"),
        (("nets.py:first", "nets.py:copy", "--layers", "1", "--units", "2-x"), "--units is a list"),
        (("nets.py:first", "nets.py:copy", "--layers", "1", "--units", "9"), "no unit 9 in 1"),
        (("nets.py:first", "nets.py:grey", "--layers", "1"), "pictures that both take"),
        (("nets.py:first", "nets.py:copy", "--layers", "1", "--data", "nowhere"), "nowhere"),
        (("nets.py:first", "nets.py:copy", "--layers", "1", "--aggregation", "median"), "no aggregation 'median'"),
        (("nets.py:first", "nets.py:copy"), "Missing option '--layers'"),
        (("nets.py:first", "nets.py:copy", "--layers", "1", "-o", "nets.py/x"), "cannot write"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(pellucid: Run, arguments: tuple[str, ...], message: str) -> None:
    code, out, err = pellucid(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_layers_and_units_are_read_from_text() -> None:
    assert layer_pairs("mixed4a, layer3 = mixed4b") == [("mixed4a", "mixed4a"), ("layer3", "mixed4b")]
    assert unit_numbers("0-3, 8,2") == [0, 1, 2, 3, 8]
    assert unit_numbers("all") == "all"
    assert unit_numbers(None) is None
    for text in ("", "3-1", "-1", "a"):
        with pytest.raises(TargetError, match="--units is a list"):
            unit_numbers(text)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_page_fits_its_window(pellucid: Run, tmp_path: Path, chromium: Any, width: int, scheme: str) -> None:
    code, _, err = pellucid(*QUICK[:-4], "--steps", "4", "--rounds", "0", "--data", "photos", "-o", "found")
    assert code == 0, err
    chromium.set_viewport_size({"width": width, "height": 900})
    chromium.emulate_media(color_scheme=scheme)
    chromium.goto((tmp_path / "found/index.html").as_uri())
    assert chromium.evaluate("document.documentElement.scrollWidth") <= width
    chromium.evaluate("document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
    chromium.wait_for_function("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert chromium.locator("article.match").count() == 4
