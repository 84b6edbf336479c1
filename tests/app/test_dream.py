"""`pellucid dream` on the command line: what is asked for is written, Ctrl-C saves, mistakes are one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from PIL import Image
from typer.main import get_command

from pellucid.app.cli import main
from pellucid.ascent.dream_recipe import DreamRecipe
from pellucid.images.files import read_metadata

NETWORK = """
import os, signal
import torch
from torch import nn
import pellucid as pl

def small():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 2, padding=1), nn.Tanh(), nn.Conv2d(4, 5, 3, 2, padding=1))
    return pl.Model(net, name="small", size=16)

class Interrupts(nn.Module):
    calls = 0
    def forward(self, x):
        Interrupts.calls += 1
        if Interrupts.calls == 30:
            os.kill(os.getpid(), signal.SIGINT)
        return x

def interrupted():
    Interrupts.calls = 0
    return pl.Model(nn.Sequential(Interrupts(), small()._module), size=16)
"""


def size_of(path: str) -> tuple[int, int]:
    """Width and height of a picture file."""
    with Image.open(path) as picture:
        return picture.size


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def pellucid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Types a command in a folder with a photo and `nets.py`; gives exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(NETWORK)
    Image.linear_gradient("L").resize((60, 40)).convert("RGB").save(tmp_path / "photo.png")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main.run(["dream", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


QUICK = ("nets.py:small", "photo.png", "--steps", "2", "--octaves", "2")


def test_every_setting_of_a_dream_is_an_option_with_its_help() -> None:
    options = {name: option for option in get_command(main.app).commands["dream"].params for name in option.opts}
    for setting in fields(DreamRecipe):
        option = options[f"--{setting.name.replace('_', '-')}"]
        assert option.help == setting.metadata["help"]
        assert option.default == setting.default


def test_a_dream_is_written_with_its_octaves(pellucid: Run, tmp_path: Path) -> None:
    code, out, err = pellucid(*QUICK, "--layer", "2", "-o", "dream.webp", "--keep")
    assert code == 0, err
    assert "29×43" in out
    assert "dream.webp" in err
    assert size_of("dream.webp") == (60, 40)
    assert size_of("dream-octave-1.webp") == (43, 29)
    assert json.loads(read_metadata("dream-octave-1.webp")["pellucid"])["octave"] == 1
    assert sorted(path.name for path in tmp_path.glob("*.webp")) == [
        "dream-octave-1.webp",
        "dream-octave-2.webp",
        "dream.webp",
    ]


def test_settings_reach_the_dream_and_come_back_as_json(pellucid: Run) -> None:
    code, out, _ = pellucid(
        *QUICK, "--target", "2:1", "--rate", "0.02", "--size", "80", "--tile", "32", "--seed", "3", "--json"
    )
    document = json.loads(out)
    assert code == 0
    assert document["file"] == "photo-dream.png"
    assert document["target"] == "2:1"
    assert DreamRecipe.of(document["recipe"]) == DreamRecipe(steps=2, octaves=2, rate=0.02, size=80, tile=32, seed=3)
    assert [octave["tile"] for octave in document["octaves"]] == [[32, 32], [32, 32]]
    assert document["score"] > document["photo_score"]
    assert size_of("photo-dream.png") == (80, 53)


def test_a_guide_is_a_second_photo(pellucid: Run) -> None:
    Image.new("RGB", (30, 50), "red").save("guide.png")
    code, out, err = pellucid(*QUICK, "--layer", "2", "--guide", "guide.png", "--json")
    assert code == 0, err
    assert json.loads(out)["target"] == "2 guided"


def test_ctrl_c_saves_what_there_is(pellucid: Run) -> None:
    code, _, err = pellucid("nets.py:interrupted", "photo.png", "--layer", "1.2", "--steps", "40", "-o", "dream.png")
    assert code == 130
    assert "interrupted; saved what there is in dream.png" in err
    assert size_of("dream.png") == (60, 40)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "what to dream of? Name a layer, such as --layer mixed4a"),
        (["--layer", "2", "--target", "2:1"], "--layer and --target were both given"),
        (["--layer", "9"], "no layer '9' in small"),
        (["--layer", "2", "--size", "9"], "a picture of 6 x 9 px is too small for small, made for 16 x 16 px"),
        (["--layer", "2", "--size", "9000000"], "size 9000000 (--size): a dream of 6000000 x 9000000 px takes"),
        (["--layer", "2", "--tile", "3"], "tile 3 (--tile) is too small to see anything in; take 16 px or more"),
        (["--layer", "2", "--octaves", "0"], "octaves must be at least 1, not 0"),
        (["--layer", "2", "--octave-scale", "1"], "octave_scale is a number above 1, not 1.0"),
        (["--layer", "2", "--guide", "no.png"], "no file 'no.png'"),
        (["--layer", "2", "-o", "dream.gif"], "no picture format '.gif'"),
    ],
)
def test_mistakes_are_one_line(pellucid: Run, arguments: list[str], message: str) -> None:
    code, out, err = pellucid(*QUICK, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_an_unreadable_photo_is_named(pellucid: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    for photo, message in [("broken.png", "is not a picture"), ("no.png", "no file 'no.png'"), (".", "is a folder")]:
        code, _, err = pellucid("nets.py:small", photo, "--layer", "2")
        assert code == 2
        assert message in err
        assert err.count("\n") == 1
