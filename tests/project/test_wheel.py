"""What is shipped works without the tree: the wheel, in an environment of its own, in an empty folder, offline."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]

pytestmark = pytest.mark.wheel

# Python itself says which pellucid was imported, and refuses the network.
RENDER = """
import sys
def refuse(event, args):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise SystemExit(f"{event}: {args!r}")
sys.addaudithook(refuse)
import pellucid as pl
assert sys.prefix in pl.__file__, pl.__file__
result = pl.render(pl.load("default"), "mixed4a:12", steps=32)
assert result.history[-1, 0] > 2 * result.history[0, 0], result.history[:, 0]
result.save("12.png")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel built from the tree (through the sdist, as a release is)."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(TREE)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel in it.

    The wheel's dependencies (gigabytes) are not installed again but looked up in this environment, after its own
    packages. Path files are not followed there, so an editable install stays out of sight.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True, symlinks=True)
    program = folder / "bin/python"
    command = [program, "-m", "pip", "install", "--no-deps", "--no-index", wheel]
    installed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return program


def run(command: list[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=600)


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"pellucid"}
    assert {"pellucid/py.typed", "pellucid/assets/default.safetensors"} <= set(names)
    assert wheel.stat().st_size < 10e6  # the embedded weights are 8 MB at most


def test_the_wheel_renders_with_the_embedded_network(python: Path, tmp_path: Path) -> None:
    rendered = run([python, "-c", RENDER], tmp_path)
    assert rendered.returncode == 0, rendered.stderr
    assert (tmp_path / "12.png").stat().st_size > 1000


def test_the_installed_command_renders(python: Path, tmp_path: Path) -> None:
    command = [python.with_name("pellucid"), "render", "default", "mixed4a:12", "--steps", "8", "-o", "12.png"]
    rendered = run(command, tmp_path)
    assert rendered.returncode == 0, rendered.stderr
    assert (tmp_path / "12.png").stat().st_size > 1000
