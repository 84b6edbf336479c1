"""The command line keeps its word: options mirror recipes, mistakes are one line, what is asked for is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from typer.main import get_command

from pellucid import __version__
from pellucid.app.cli import main
from pellucid.ascent.plan import known_plans
from pellucid.ascent.recipe import Recipe
from pellucid.models.blocks import blocks
from pellucid.models.layers import Layer

# Channel 3 of `conv` has no weights and a negative bias: nothing can wake it.
NETWORK = """
import os, signal
from collections import OrderedDict
import torch
from torch import nn
import pellucid as pl

def net():
    torch.manual_seed(0)
    module = nn.Sequential(OrderedDict(
        conv=nn.Conv2d(3, 4, 3, padding=1), relu=nn.ReLU(), mean=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(),
        fc=nn.Linear(4, 2),
    ))
    with torch.no_grad():
        module.conv.weight[3] = 0
        module.conv.bias[3] = -1
    return module

def model():
    return pl.Model(net(), name="small", size=16, classes=["cat", "dog"])

class Picky(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
    def forward(self, x):
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError("only float32")
        return self.norm(self.conv(x))

def picky():
    torch.manual_seed(0)
    return pl.Model(Picky(), size=16)

class Interrupts(nn.Module):
    calls = 0
    def forward(self, x):
        Interrupts.calls += 1
        if Interrupts.calls == 30:
            os.kill(os.getpid(), signal.SIGINT)
        return x

def interrupted():
    Interrupts.calls = 0
    return pl.Model(nn.Sequential(OrderedDict(stop=Interrupts(), **dict(net().named_children()))), size=16)

class Odd(Exception):
    pass

class Fails(nn.Module):
    def forward(self, x):
        raise Odd("what nobody expected")

def odd():
    return pl.Model(Fails(), size=16)

def slow():
    raise SystemExit("the network was built")
"""


@dataclass(frozen=True)
class Ran:
    """What a command left: its exit code and what it said."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def pellucid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Types a command in an empty folder that holds `nets.py` only."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PELLUCID_DEBUG", raising=False)
    (tmp_path / "nets.py").write_text(textwrap.dedent(NETWORK))

    def run(*arguments: str) -> Ran:
        code = main.run(arguments)
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return run


QUICK = ("--steps", "4", "--size", "16")


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "2000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)],
    ids=["by default", "asked for", "another policy"],
)
def test_threads_that_wait_soon_give_up_their_core(
    given: dict[str, str], spins: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # so that what the program sets is undone
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", ["pellucid", "--version"])
    with pytest.raises(SystemExit):
        main.main()
    assert os.environ.get("GOMP_SPINCOUNT") == spins


def test_the_package_is_run_as_the_program_is() -> None:
    ran = subprocess.run([sys.executable, "-m", "pellucid", "--version"], capture_output=True, text=True, check=True)
    assert ran.stdout == f"pellucid {__version__}\n"


def test_every_recipe_field_is_an_option_with_its_help() -> None:
    options = {name: option for option in get_command(main.app).commands["render"].params for name in option.opts}
    for field in fields(Recipe):
        option = options[f"--{field.name.replace('_', '-')}"]
        assert option.help.startswith(field.metadata["help"])
        if isinstance(field.default, bool):
            assert option.secondary_opts == [f"--no-{field.name.replace('_', '-')}"]


# Every setting but at its default, in runs of settings that go together.
GIVEN: list[dict[str, Any]] = [
    {
        "steps": 3, "learning_rate": 0.02, "schedule": "cosine", "optimizer": "sgd", "image": "pixels", "size": "16x18",
        "squash": "clip", "color": "none", "decay": 0.5, "sd": 0.02, "start": "start.png", "transforms": "jitter:2",
        "seed": 7, "snapshots": "0,2", "plateau": 50, "plateau_gain": 0.1, "rescue": False, "precision": "float32",
        "layout": "contiguous", "fold": False, "trial": False, "batch": 1, "lanes": 1, "device": "cpu",
        "final_rate": 0.01, "penalties": "l1:0.1", "blur": "0.5,0.25", "relu_gradient": "redirected",
        "max_pool_gradient": "l2", "level": 50.0, "best_of": 2, "shared_start": True,
    },
    {"members": 2, "diversity": 0.5, "alignment": 0.5, "group_layer": "conv", "shared_low_res": True, "steps": 2},
    {"octaves": "16:2 18:2", "refine": 2, "alpha": True},
    {"parameter_noise": 0.01, "noise_draws": 4, "refine_draws": 2, "refine": 2, "steps": 2},
]  # fmt: skip


@pytest.mark.parametrize("given", GIVEN, ids=["most", "groups", "octaves", "noise"])
def test_recipe_fields_reach_the_recipe(given: dict[str, Any], pellucid: Run, tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), "teal").save(tmp_path / "start.png")
    options = []
    for name, value in given.items():
        option = name.replace("_", "-")
        options.append(
            f"--{option}={value}" if type(value) is not bool else f"--{option}" if value else f"--no-{option}"
        )
    ran = pellucid("render", "nets.py:model", "conv:0", *options, "-o", "a.png", "--json")
    assert ran.code == 0, ran.err
    recipe = json.loads(ran.out)["recipe"]
    read = {"size": [16, 18], "snapshots": [0, 2], "blur": [0.5, 0.25]}
    assert {name: recipe[name] for name in given} == {name: read.get(name, value) for name, value in given.items()}
    assert all(recipe[name] != getattr(Recipe(), name) for name in given)


def test_every_recipe_field_is_tried() -> None:
    tried = {name for given in GIVEN for name in given}
    assert {field.name for field in fields(Recipe)} - tried == {"prior"}  # needs a generator: see MISTAKES


def test_help_is_grouped_and_names_the_target_grammar(pellucid: Run) -> None:
    help = pellucid("render", "--help").out
    assert all(panel in help for panel in ("Network", "Picture", "Ascent", "Run"))
    assert all(form in help for form in ("mixed4a:12@4,7", "mixed4a:3-17", "neg:mixed4a:12", "logit:goldfish", "dir:"))
    assert pellucid().out == pellucid("--help").out
    assert pellucid("--version") == Ran(0, "pellucid 0.1.0\n", "")


def test_an_interpolation_is_one_strip(pellucid: Run, tmp_path: Path) -> None:
    ran = pellucid("interpolate", "nets.py:model", "conv:0", "conv:1", "--pictures", "3", *QUICK, "-o", "row.png")
    assert ran.code == 0, ran.err
    assert [line.split("  ")[0] for line in ran.out.splitlines()[1:]] == ["conv:0", "0.5*conv:0 + 0.5*conv:1", "conv:1"]
    with Image.open("row.png") as strip:
        assert strip.width > 2.5 * strip.height
        assert [made["target"] for made in json.loads(strip.text["pellucid"])][1] == "0.5*conv:0 + 0.5*conv:1"
    line = ("interpolate", "nets.py:model", "conv:0", "conv:1", "--pictures", "2", *QUICK, "--json")
    document = json.loads(pellucid(*line, "--alignment", "0.5", "--snapshots", "0", "-o", "rows/").out)
    assert (document["recipe"]["alignment"], document["recipe"]["shared_start"]) == (0.5, True)
    assert {path.name for path in (tmp_path / "rows").glob("*.png")} == {
        "conv-0-to-conv-1.png", "conv-0-to-conv-1-step-0000.png",
    }  # fmt: skip
    assert json.loads(pellucid(*line, "--alignment", "0").out)["recipe"]["alignment"] == 0


def test_a_photo_is_accentuated(pellucid: Run, tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), "teal").save(tmp_path / "sea.png")
    line = ("accentuate", "nets.py:model", "sea.png", "logit:cat", *QUICK)
    ran = pellucid(*line)
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[0].split("  ")[0] == "target"
    assert "away at mean" in ran.out, "a layer about two thirds deep"
    with Image.open("sea-logit-cat.png") as picture:
        assert picture.size == (16, 16)
        assert json.loads(picture.text["pellucid"])["target"].endswith("*inversion:mean@sea.png")
    longer = ("--pull-layer", "conv", "--steps", "30", "--json")
    held = json.loads(pellucid(*line, "--pull", "1000", *longer, "-o", "a.png").out)
    free = json.loads(pellucid(*line, "--pull", "0", *longer, "-o", "b.png").out)
    assert held["images"][0]["distance"] < 0.1 * free["images"][0]["distance"]
    assert free["images"][0]["target_score"] > held["photo_score"] == free["photo_score"]


# What is typed behind "pellucid", and what the one line must hold.
MISTAKES = {
    "rendr": "No such command 'rendr'. Did you mean 'render'? See: pellucid --help",
    "render": "Missing argument 'MODEL'. See: pellucid render --help",
    "render nets.py:model": "Missing argument 'TARGET'. See: pellucid render --help",
    "render nets.py:model conv:0 --stps 3": "No such option: --stps",
    "render nets.py:model -conv:0": "goes behind '--', or is written neg:conv:0",
    "render nets.py:model conv:0 --steps many": "--steps is a whole number, not 'many'",
    "render nets.py:model conv:0 --steps 0": "steps must be at least 1, not 0",
    "render nets.py:model conv:0 --learning-rate fast": "--learning-rate is a number, not 'fast'",
    "render nets.py:model conv:0 --size 96y": "--size is a number of px or HEIGHTxWIDTH, such as 96 or 96x128, not '96",
    "render nets.py:model conv:0 --size 0": "--size is a number of px",
    "render nets.py:model conv:0 --snapshots 0;4": "--snapshots is a list of steps, such as 0,16,64, not '0;4'",
    "render nets.py:model conv:0 --optimizer adm": "no optimizer 'adm'. Did you mean 'adam'",
    "render nets.py:model conv:0 --prior 1": "prior is the weight of a generator's prior",
    "render nets.py:model conv:0 --blur 1;2": "--blur is two sigmas in px, such as 2.4,0.8, not '1;2'",
    "render nets.py:model conv:0 --blur 1,2,3": "blur is two sigmas in px",
    "render nets.py:model conv:0 --penalties l1": "penalty 'l1' needs a weight of 0 or more, as in l1:0.05",
    "render nets.py:model conv:0 --octaves 16": "cannot read the octave '16'",
    "render nets.py:model conv:0 --diversity 1": "diversity is for groups of two pictures or more",
    "render nets.py:model conv:0 --size 99999": "pictures of 99999 x 99999 px do not fit into memory",
    "render nets.py:model conv:0 --transforms lucd": "Did you mean 'lucid'?",
    "render nets.py:model conv:0 --device abacus": "no device 'abacus' here. There are: cpu",
    "render nets.py:model conv:0 --recipe no.toml": "cannot read the recipe no.toml: No such file or directory",
    "render nets.py:model conv:0 --recipe bad.toml": "no setting 'stps' in a recipe. Did you mean 'steps'",
    "render nets.py:model conv:0 --start no.png": "no file 'no.png'",
    "render nets.py:model conv: ": "cannot read the target 'conv:' at its end: expected a channel",
    "render nets.py:model cnv:0": "no layer 'cnv' in small. Did you mean 'conv'?",
    "render nets.py:model conv:4": "channel 4 is out of range",
    "render nets.py:model conv:0@16,0": "@16,0 lies outside the 16x16 map",
    "render nets.py:model logit:cta": "no class 'cta' in small. Did you mean 'cat'?",
    "render nets.py:model logit:2": "class 2 is out of range: small has 2 classes",
    "render nets.py:nett conv:0": "no function 'nett' in nets.py. Did you mean 'net'",
    "render nts.py:net conv:0": "no file 'nts.py'",
    "render defalt conv:0": "no model 'defalt'. Did you mean 'default'?",
    "render nets.py:net conv:0 --size 16 --weights no.safetensors": "no.safetensors",
    "render nets.py:net conv:0 --size 16 --weights other.safetensors": "missing (conv.weight",
    "render nets.py:net conv:0 --size 16 --mean 0,5,x --std 1,1,1": "--mean is one number per channel",
    "render nets.py:net conv:0 --size 16 --mean 0.5,0.5,0.5": "mean and std belong together",
    "render nets.py:model conv:0 -o bad.toml/a.png": "cannot write 'bad.toml/a.png'",
    "render nets.py:model conv:0 -o bad.toml/dir": "cannot write 'bad.toml/dir'",
    "render nets.py:model conv:0 -o a.gif": "no picture format '.gif'. Use .png, .webp or .jpg",
    "render nets.py:model conv:0 -o a.mp4": "Use .png, .webp or .jpg, or a folder (and --video for a video)",
    "render nets.py:model conv:0 --video a.avi": "cannot write 'a.avi': no video format '.avi'. Use .mp4, .gif",
    "render nets.py:model conv:0 --video bad.toml/a.gif": "cannot write 'bad.toml/a.gif': a file of that name",
    "render nets.py:model conv:0 -o a.webp --video ./a.webp": "picture and video would both be 'a.webp'",
    "interpolate nets.py:model conv:0": "Missing argument 'B'. See: pellucid interpolate --help",
    "interpolate nets.py:model conv:0 logit:cat": "ends at a channel or a direction",
    "interpolate nets.py:model conv:0 conv:9": "channel 9 is out of range",
    "interpolate nets.py:model conv:0 conv:1 --pictures 1": "two ends, and 1 pictures were asked for",
    "interpolate nets.py:model conv:0 conv:1 --diversity many": "--diversity is a number, not 'many'",
    "accentuate nets.py:model no.png conv:0": "no file 'no.png'",
    "accentuate nets.py:model bad.toml conv:0": "'bad.toml' is not a picture",
    "accentuate nets.py:model bad.toml conv:0 --pull -1": "--pull is a number from 0 (free) upwards, not -1",
    "accentuate nets.py:model bad.toml conv:0 --pull-layer cnv": "no layer 'cnv' in small. Did you mean 'conv'?",
    "accentuate nets.py:model bad.toml conv:0 -o bad.toml": "no picture format '.toml'",
    "layers nets.py:model --device abacus": "no device 'abacus' here",
    "layers nets.py:net": "nets.py:net does not say how large its pictures are: give --size PX",
    "models torchvision:resnet5O": "no model fits 'torchvision:resnet5O'. Did you mean 'torchvision:resnet50'",
    "render nets.py:model conv:0 --explain-plan --precision float8": "no precision 'float8'",
    "render nets.py:model cnv:0 --explain-plan": "no layer 'cnv' in small. Did you mean 'conv'?",
    "bench nets.py:model cnv": "no layer 'cnv' in small. Did you mean 'conv'?",
    "bench nets.py:model conv --steps 0": "Invalid value for '--steps'",
    "bench nets.py:model conv --device abacus": "no device 'abacus' here",
    "bench nets.py:model conv --seed 3": "No such option: --seed",
    "demo -o bad.toml/demo": "cannot write 'bad.toml/demo'",
}  # fmt: skip


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(line: str, pellucid: Run, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    (tmp_path / "bad.toml").write_text("stps = 3\n")
    save_file({"fc.weight": torch.zeros(2, 4)}, tmp_path / "other.safetensors")
    before = set(tmp_path.iterdir())
    ran = pellucid(*line.split())
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.startswith("pellucid: ")
    assert ran.err.endswith("\n")
    assert ran.err.count("\n") == 1
    assert MISTAKES[line] in ran.err
    assert {path for path in tmp_path.iterdir() if path.name != "__pycache__"} <= before


def test_an_unwritable_output_is_found_before_the_network_is_loaded(pellucid: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot write 'file/a.png'" in pellucid("render", "nets.py:slow", "conv:0", "-o", "file/a.png").err


def test_the_unexpected_is_one_line_that_says_how_to_see_more(pellucid: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = pellucid("layers", "nets.py:odd")
    assert ran.code == 1
    assert ran.err == "pellucid: unexpected Odd: what nobody expected (set PELLUCID_DEBUG=1 to see where)\n"
    monkeypatch.setenv("PELLUCID_DEBUG", "1")
    assert "Traceback" in pellucid("layers", "nets.py:odd").err


def test_a_file_takes_one_picture_with_its_floats_and_provenance(pellucid: Run, tmp_path: Path) -> None:
    ran = pellucid("render", "nets.py:model", "conv:0", *QUICK, "-o", "new/folder/a.png")
    assert ran.code == 0, ran.err
    assert "conv:0" in ran.out
    assert "done after 4 steps" in ran.out
    with Image.open("new/folder/a.png") as picture:
        assert picture.size == (16, 16)
        assert json.loads(picture.text["pellucid"])["target"] == "conv:0"
    assert (tmp_path / "new/folder/a.safetensors").exists()
    pellucid("render", "nets.py:model", "conv:0", *QUICK, "-o", "bare.png", "--no-sidecar")
    assert not (tmp_path / "bare.safetensors").exists()


def test_a_file_takes_several_pictures_as_a_contact_sheet(pellucid: Run) -> None:
    ran = pellucid("render", "nets.py:model", "conv:0-2", *QUICK, "-o", "sheet.webp", "--snapshots", "0,4")
    assert ran.code == 0, ran.err
    for name in ("sheet.webp", "sheet-step-0000.webp", "sheet-step-0004.webp"):
        with Image.open(name) as sheet:
            assert sheet.width > 3 * 16


@pytest.mark.parametrize(("output", "name"), [("sheet.png", "run.gif"), ("units", "new/run.webp")])
def test_a_video_shows_the_whole_run_of_all_targets(pellucid: Run, tmp_path: Path, output: str, name: str) -> None:
    ran = pellucid("render", "nets.py:model", "conv:0", "relu:3", *QUICK, "-o", output, "--video", name, "--json")
    assert ran.code == 0, ran.err
    document = json.loads(ran.out)
    assert (document["video"], document["recipe"]["snapshots"]) == (name, [0, 1, 2, 3, 4])
    with Image.open(name) as video:
        assert getattr(video, "n_frames", 1) == 5
        assert video.width > 2 * 200
    assert not list(tmp_path.rglob("*step-*")), "only --snapshots makes files of them"


def test_a_video_of_chosen_snapshots(pellucid: Run) -> None:
    ran = pellucid("render", "nets.py:model", "conv:0", *QUICK, "-o", "a.png", "--video", "a.gif", "--snapshots", "0,2")
    assert ran.code == 0, ran.err
    assert "as a video in a.gif" in ran.err
    assert Path("a-step-0002.png").exists()
    with Image.open("a.gif") as video:
        assert getattr(video, "n_frames", 1) == 3
        assert video.size == (256, 256)


def test_a_folder_takes_a_file_for_each_picture(pellucid: Run, tmp_path: Path) -> None:
    targets = ("logit:dog", "neg:conv:1", "conv:0", "conv:0")
    ran = pellucid("render", "nets.py:model", *targets, *QUICK, "-o", "units", "--contact-sheet", "--no-sidecar")
    assert ran.code == 0, ran.err
    names = {path.name for path in (tmp_path / "units").iterdir()}
    assert names == {"logit-dog.png", "neg-conv-1.png", "conv-0.png", "conv-0-2.png", "contact-sheet.png"}
    assert (tmp_path / "units/conv-0.png").read_bytes() != (tmp_path / "units/conv-0-2.png").read_bytes()
    in_order = [line.split()[0] for line in ran.out.splitlines()[1:]]
    assert in_order == ["logit:dog", "-conv:1", "conv:0", "conv:0"]


def test_members_of_a_target_are_pictures_of_their_own(pellucid: Run, tmp_path: Path) -> None:
    for output in ("units", "sheet.png"):
        members = ("--members", "2", "--diversity", "1")
        ran = pellucid("render", "nets.py:model", "conv:0-1", *members, *QUICK, "-o", output, "--json")
        assert ran.code == 0, ran.err
        assert [made["target"] for made in json.loads(ran.out)["images"]] == ["conv:0"] * 2 + ["conv:1"] * 2
    names = {path.name for path in (tmp_path / "units").glob("*.png")}
    assert names == {"conv-0.png", "conv-0-2.png", "conv-1.png", "conv-1-2.png"}


def test_without_an_output_pictures_have_sensible_names(pellucid: Run, tmp_path: Path) -> None:
    pellucid("render", "nets.py:model", *QUICK, "--", "-conv:1")
    assert (tmp_path / "neg-conv-1.png").exists()
    pellucid("render", "nets.py:model", "conv:*", *QUICK)
    assert (tmp_path / "nets-py-model/conv-2.png").exists()


def test_options_override_the_file_of_a_recipe(pellucid: Run, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("steps = 3\nseed = 5\nrescue = false\n")
    ran = pellucid("render", "nets.py:model", "conv:0", "--recipe", "recipe.toml", "--seed", "6", "--json")
    recipe = json.loads(ran.out)["recipe"]
    assert (recipe["steps"], recipe["seed"], recipe["rescue"]) == (3, 6, False)


def test_json_is_one_document_and_nothing_else(pellucid: Run) -> None:
    ran = pellucid("render", "nets.py:model", "conv:0", "relu:3", *QUICK, "--seed", "3", "-o", "units", "--json")
    assert ran.err == ""
    document = json.loads(ran.out)
    assert document["recipe_hash"] == Recipe(steps=4, size=(16, 16), seed=3).hash
    assert len(document["model_hash"]) == len(document["resolved"]["hash"]) == 16
    alive, dead = document["images"]
    assert Path(alive["file"]).exists()
    assert alive["target"] == "conv:0"
    assert isinstance(alive["score"], float)
    assert alive["seconds"] <= document["seconds"]
    assert (alive["status"], alive["steps"], dead["status"]) == ("done", 4, "dead")


def test_a_dead_unit_is_reported_and_the_others_finish(pellucid: Run) -> None:
    ran = pellucid("render", "nets.py:model", "relu:3", "conv:0", *QUICK, "-o", "units")
    assert ran.code == 0
    assert "dead after" in next(line for line in ran.out.splitlines() if line.startswith("relu:3"))
    assert "done after 4 steps" in next(line for line in ran.out.splitlines() if line.startswith("conv:0"))
    nothing = pellucid("render", "nets.py:model", "relu:3", *QUICK, "-o", "units")
    assert nothing.code == 1
    assert "no target could be made to rise" in nothing.err


def test_ctrl_c_saves_what_there_is_and_says_so(pellucid: Run, tmp_path: Path) -> None:
    ran = pellucid("render", "nets.py:interrupted", "conv:0", "conv:1", "--steps", "100000", "-o", "units")
    assert ran.code == 130
    assert "pellucid: interrupted; saved 2 pictures of 2 in units" in ran.err
    assert "interrupted after" in ran.out
    assert (tmp_path / "units/conv-0.png").exists()


def test_a_plan_is_explained_and_nothing_is_rendered(pellucid: Run, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    settings = ("--precision", "float32", "--layout", "contiguous", "--no-fold", "--batch", "3")
    ran = pellucid("render", "nets.py:model", "conv:*", *settings, *QUICK, "-o", "new/folder/", "--explain-plan")
    assert ran.code == 0, ran.err
    told = {line[:13].strip(): line[13:].strip() for line in ran.out.splitlines()}
    assert told == {
        "plan": "small",
        "pictures": "4 of 4 steps each",
        "device": "cpu",
        "precision": "float32",
        "layout": "contiguous",
        "batch norms": "as they are",
        "size": "16 x 16 px",
        "batch": "3",
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
    }
    assert {path for path in tmp_path.iterdir() if path.name != "__pycache__"} == before


def test_a_plan_tells_its_trials_and_is_the_plan_that_is_followed(
    pellucid: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on a machine whose bfloat16 is known, but refused by the network.
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True, raising=False)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_fp16_supported", lambda: False, raising=False)
    line = ("render", "nets.py:picky", *["conv:0"] * 16, "--size", "16")
    monkeypatch.setenv("PELLUCID_CACHE", "one")
    known_plans.clear()
    ran = pellucid(*line, "--explain-plan")
    assert ran.code == 0, ran.err
    trials = [line.rstrip() for line in ran.out.splitlines() if line.startswith(("bfloat16", "float32"))]
    assert len(trials) >= 6
    assert all(line.endswith("only float32") == line.startswith("bfloat16") for line in trials)
    assert {line.split()[-2] for line in trials if line.startswith("float32, ch")} >= {"0.00%"}
    assert "because: bfloat16, contiguous, batch norms folded cannot run here: " in ran.out
    monkeypatch.setenv("PELLUCID_CACHE", "another")
    known_plans.clear()
    explained = json.loads(pellucid(*line, "--explain-plan", "--json").out)
    assert explained["num_images"] == 16
    failed, *_ = explained["trials"]
    assert failed["candidate"]["precision"] == "bfloat16"
    assert failed["seconds"] is failed["error"] is None
    assert "only float32" in failed["failure"]
    known_plans.clear()  # another process, which has the file only
    written = Path("another/plans.json").stat().st_mtime_ns
    followed = json.loads(pellucid(*line, "--steps", "256", "-o", "units", "--json").out)
    assert followed["resolved"] == explained["resolved"]
    assert Path("another/plans.json").stat().st_mtime_ns == written  # nothing was tried anew
    known_plans.clear()


def test_a_bench_tells_the_loop_the_bare_network_and_the_machine(pellucid: Run, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    line = ("bench", "nets.py:model", "conv", "--size", "16", "--batch", "4", "--steps", "3")
    ran = pellucid(*line, "--precision", "float32")
    assert ran.code == 0, ran.err
    names = [line[:14].strip() for line in ran.out.splitlines()]
    assert names[:2] == ["bench", "machine"]
    assert {"batch", "images", "image-steps", "bare network", "peak", "share of peak", "a step", "memory"} < set(names)
    document = json.loads(pellucid(*line, "--precision", "float64", "--json").out)
    assert (document["layer"], document["timed_steps"], document["resolved"]["precision"]) == ("conv", 3, "float64")
    assert document["images_per_second"] == pytest.approx(document["image_steps_per_second"] / 256)
    assert {path for path in tmp_path.iterdir() if path.name != "__pycache__"} == before


def test_a_bench_without_a_layer_takes_one_two_thirds_deep(pellucid: Run) -> None:
    ran = pellucid("bench", "nets.py:model", "--batch", "1", "--steps", "1", "--json")
    assert json.loads(ran.out)["layer"] == "mean"  # of the maps conv, relu, mean


def test_layers_are_listed_with_what_a_target_needs(pellucid: Run) -> None:
    ran = pellucid("layers", "nets.py:net", "--size", "16x20")
    lines = [line.split() for line in ran.out.splitlines()]
    assert lines[0] == ["layer", "kind", "units", "map", "axes"]
    assert lines[1] == ["conv", "Conv2d", "4", "16×20", "bchw"]
    assert ["fc", "Linear", "2", "–", "bc"] in lines
    document = json.loads(pellucid("layers", "nets.py:model", "--json").out)
    assert document["layers"][0] | {"name": "conv", "units": 4, "shape": [4, 16, 16]} == document["layers"][0]


def test_layers_inside_blocks_are_left_out_unless_asked_for() -> None:
    kinds = {
        "stem": "Conv2d", "encoder": "ViTEncoder", "encoder.layers.0": "Block", "encoder.layers.0.mlp": "Sequential",
        "encoder.layers.0.mlp.0": "Linear", "stage": "Sequential", "stage.0": "Bottleneck", "stage.0.conv": "Conv2d",
        "stage.1": "Bottleneck", "stage.1.conv": "Conv2d",
    }  # fmt: skip
    found = {name: Layer(name, kind, "bc", (1,), 1) for name, kind in kinds.items()}
    shown = [layer.name for layer in blocks(found)]
    assert shown == ["stem", "encoder", "encoder.layers.0", "stage", "stage.0", "stage.1"]


def test_long_layer_names_are_folded_and_never_cut(
    pellucid: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "a_very_long_name_such_as_those_of_networks_from_a_hub_with_many_wrappers_around_each_layer"
    (tmp_path / "long.py").write_text(
        "import torch, pellucid as pl\ndef net():\n    net = torch.nn.Sequential()\n"
        f"    net.add_module({name!r}, torch.nn.Conv2d(3, 4, 1))\n    return pl.Model(net, size=8)\n"
    )
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")  # Rich then takes the pipe for a terminal
    monkeypatch.setenv("NO_COLOR", "1")
    out = pellucid("layers", "long.py:net").out
    import re

    plain = re.sub("\x1b\\[[0-9;]*m", "", out).splitlines()
    assert all(len(line) <= 80 for line in plain)
    assert "".join(line[: line.index("  ") if "  " in line else None].strip() for line in plain[1:]).startswith(name)


def test_models_are_listed_by_pattern(pellucid: Run) -> None:
    embedded = pellucid("models", "plain")
    assert embedded.out.startswith("plain ")
    assert json.loads(pellucid("models", "plain", "--json").out)["embedded"] == ["plain"]
