"""The README does as it says: its Python, commands, targets and links are run, read and followed as printed.

Each runs in a process of its own, which has torch imported when it begins (`prepared_python.py`); the first command and
the viewer are run by the script. What would be downloaded is put where its library looks first: files of the right name
with random weights.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import skimage.data
from PIL import Image

TREE = Path(__file__).parents[2]
README = (TREE / "README.md").read_text()
CONTRIBUTING = (TREE / "CONTRIBUTING.md").read_text()
BIN = Path(sys.executable).parent

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def blocks(language: str, text: str = README) -> list[str]:
    """The fenced blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(text: str = README) -> list[str]:
    """What stands behind a prompt in the console blocks."""
    return [line.removeprefix("$ ") for block in blocks("console", text) for line in block.splitlines()]


def table(heading: str) -> list[list[str]]:
    """The cells of the table whose first column is headed so."""
    rows = re.search(rf"^\| {heading} \|.*\n\|[ |-]+\n((?:\|.*\n)+)", README, re.MULTILINE)
    assert rows, f"no table of {heading}s"
    return [re.split(r"(?<!\\) ?\| ?", row.strip("| ")) for row in rows[1].splitlines()]


def code_spans(text: str) -> list[str]:
    return [span.replace("\\|", "|") for span in re.findall(r"`([^`]+)`", text)]


PELLUCID_COMMANDS = [line for line in commands() if line.startswith("pellucid ")]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder with a photo to type in, and an environment in which downloads have been made: file and variables."""
    torchvision = pytest.importorskip("torchvision")
    import torch

    home = tmp_path_factory.mktemp("home")
    checkpoints = home / "torch/hub/checkpoints"
    checkpoints.mkdir(parents=True)
    weights = torchvision.models.GoogLeNet_Weights.DEFAULT
    torch.manual_seed(0)
    net = torchvision.models.GoogLeNet(transform_input=True, init_weights=False)
    torch.save(net.state_dict(), checkpoints / Path(weights.url).name)
    env = {
        **os.environ,
        "HOME": str(home),
        "TORCH_HOME": str(home / "torch"),
        "HF_HUB_OFFLINE": "1",
        "PATH": f"{BIN}:{os.environ['PATH']}",
    }
    folder = tmp_path_factory.mktemp("reader")
    with Image.open(Path(skimage.data.__file__).parent / "coffee.png") as photo:
        small = photo.resize((240, 160))
    small.save(folder / "photo.jpg")
    for number, kind in enumerate(("cups", "noise") * 12):
        (folder / "photos" / kind).mkdir(parents=True, exist_ok=True)
        shown = small if kind == "cups" else Image.effect_noise((80, 80), 60)
        shown.rotate(5 * number).save(folder / "photos" / kind / f"{number}.png")
    for name in ("king penguin", "espresso"):
        (folder / "classes" / name).mkdir(parents=True, exist_ok=True)
        small.save(folder / "classes" / name / "0.png")
    return folder, env


class Prepared:
    """Programs in a reader's folder, in processes that have imported torch before they begin."""

    def __init__(self, folder: Path, env: dict[str, str], logs: Path) -> None:
        self.files = {"out": str(logs / "out"), "err": str(logs / "err")}
        self.server = subprocess.Popen(
            [sys.executable, "-u", Path(__file__).with_name("prepared_python.py")],
            cwd=folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __call__(self, program: str, words: Sequence[str] = ()) -> str:
        """What a program prints, when it has ended well."""
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps({"program": program, "words": words, **self.files}) + "\n")
        self.server.stdin.flush()
        code = self.server.stdout.readline().strip()
        out, err = (Path(self.files[name]).read_text() for name in ("out", "err"))
        assert code == "0", f"exit code {code}: {program} {shlex.join(words)}\n{out}\n{err}"
        return out


@pytest.fixture(scope="module")
def run(reader: tuple[Path, dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    prepared = Prepared(*reader, tmp_path_factory.mktemp("logs"))
    with prepared.server:
        yield prepared
        prepared.server.kill()


def shows_until_interrupted(command: list[str], reader: tuple[Path, dict[str, str]]) -> None:
    """Start a viewer, see that it answers, and end it with Ctrl-C."""
    folder, env = reader
    with subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True) as viewer:
        try:
            assert viewer.stdout is not None
            address = re.search(r"http://\S+", viewer.stdout.readline())
            assert address
            with urllib.request.urlopen(address[0], timeout=60) as answer:
                assert answer.status == 200
            viewer.send_signal(signal.SIGINT)
            assert viewer.wait(60) == 0
        finally:
            viewer.kill()  # a failed test must not wait for it


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.splitlines()[-1])
def test_python_blocks_run_as_printed(block: str, reader: tuple[Path, dict[str, str]], run: Prepared) -> None:
    folder, _ = reader
    run(block)
    for name in re.findall(r'\.save\("([^"]+)"\)', block):
        assert (folder / name).stat().st_size > 1000


@pytest.mark.parametrize("command", PELLUCID_COMMANDS)
def test_commands_run_as_printed(command: str, reader: tuple[Path, dict[str, str]], run: Prepared) -> None:
    folder, env = reader
    words = shlex.split(command)
    if words[1] == "view":
        shows_until_interrupted(words, reader)
        return
    if command == PELLUCID_COMMANDS[0]:
        assert subprocess.run(words, cwd=folder, env=env, capture_output=True, check=True, timeout=60).stdout
    assert run("pellucid", words[1:]) or "-o" in words
    if "-o" in words:
        output = folder / words[words.index("-o") + 1]
        pictures = [*output.glob("*.png"), *output.glob("**/*.parquet"), *output.glob("*.html")]
        assert (
            pictures or "--dry-run" in words if output.is_dir() or not output.suffix else output.stat().st_size > 1000
        )


@pytest.mark.parametrize("command", [line for line in commands() + commands(CONTRIBUTING) if line.startswith("make ")])
def test_make_targets_exist(command: str) -> None:
    # What they do is seen where they are run: by whoever runs this test, and by .ci/run.
    result = subprocess.run([*shlex.split(command), "--dry-run"], cwd=TREE, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_every_command_is_of_a_kind_that_is_tested() -> None:
    extras = tomllib.loads((TREE / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    installs = {"pip install .", *(f"pip install '.[{extra}]'" for extra in extras)}
    others = [line for line in commands() if line not in PELLUCID_COMMANDS and not line.startswith("make ")]
    assert set(others) <= installs


def test_every_command_is_in_its_table() -> None:
    from typer.main import get_command

    from pellucid.app.cli.main import app

    named = {code_spans(row[0])[0].split()[1] for row in table("command")}
    assert named == set(get_command(app).commands)


@pytest.mark.parametrize("text", [span for row in table("target") for span in code_spans(row[0])])
def test_targets_read_as_printed(text: str) -> None:
    from pellucid import Target

    target = Target.parse(text)
    assert Target.parse(str(target)) == target


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", README + CONTRIBUTING))
def test_links_lead_somewhere(link: str) -> None:
    assert "://" in link or (TREE / link).exists()


def test_the_first_screen_is_a_sentence_a_picture_three_lines_and_a_command() -> None:
    first_screen = README.split("\n## ")[0]
    assert re.search(r"^A microscope for vision models: .*\.$", first_screen, re.MULTILINE)
    assert len(re.findall(r"^!\[[^\]]{20,}\]\(docs/images/\S+\.png\)$", first_screen, re.MULTILINE)) == 1
    (code,) = blocks("python", first_screen)
    assert len([line for line in code.splitlines() if line.strip()]) == 3
    assert commands(first_screen) == ["make demo"]
