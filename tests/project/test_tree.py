"""The tree keeps its own rules: rooms in layers, small files, tests beside rooms, a changelog for the version."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pellucid

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TREE = Path(__file__).parents[2]
PACKAGE = TREE / "src/pellucid"
MAX_LINES = 300  # a file whose name says all that is in it


def check_layers(package_parent: Path) -> subprocess.CompletedProcess[str]:
    """import-linter's verdict on the package below a folder, by the tree's own contracts."""
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=package_parent.parent,
        env={"PYTHONPATH": str(package_parent)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_imports_point_down_only() -> None:
    verdict = check_layers(PACKAGE.parent)
    assert verdict.returncode == 0, verdict.stdout


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("models", "import pellucid.images"),  # siblings
        ("objectives", "from pellucid.ascent import recipe"),  # upwards
        ("draws.py", "def f():\n    import pellucid.models"),  # upwards, hidden in a function
        ("attic", ""),  # a room that no layer names
    ],
    ids=["sideways", "upwards", "hidden", "unplaced"],
)
def test_a_broken_layer_is_seen(tmp_path: Path, room: str, line: str) -> None:
    source = tmp_path / "src/pellucid"
    for file in PACKAGE.rglob("*.py"):
        copy = source / file.relative_to(PACKAGE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text("")
    (tmp_path / "pyproject.toml").write_text((TREE / "pyproject.toml").read_text())
    assert check_layers(source.parent).returncode == 0
    broken = source / room if room.endswith(".py") else source / room / "__init__.py"
    broken.parent.mkdir(exist_ok=True)
    broken.write_text(line)
    assert check_layers(source.parent).returncode == 1


def imports(folder: Path) -> set[str]:
    """The top-level names that a folder's code imports from outside itself and the standard library."""
    files = list(folder.rglob("*.py"))
    names = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add((node.module or "").split(".")[0])
    return (
        names
        - {file.stem for file in files}
        - set(sys.stdlib_module_names)
        - {"benchmarks", "gallery", "pellucid", "training"}
    )


def declared(*extras: str) -> set[str]:
    """The modules of the dependencies, and of those of some extras, that pyproject.toml declares."""
    project = tomllib.loads((TREE / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(name for extra in extras for name in project["optional-dependencies"][extra])]
    names = {re.split(r"[^\w-]", one)[0] for one in wanted}
    return {{"pillow": "PIL", "scikit-image": "skimage", "scikit-learn": "sklearn"}.get(name, name) for name in names}


def test_what_is_imported_is_declared() -> None:
    optional = ("torchvision", "timm", "hf", "video", "ray", "s3", "perceptual")
    assert imports(PACKAGE) <= declared(*optional)
    everything = declared(*optional, "dev")
    for folder in ("tests", "training", "benchmarks", "gallery", "tools"):
        assert imports(TREE / folder) <= everything, folder


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_files_stay_small(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= MAX_LINES


def test_the_changelog_names_the_version() -> None:
    assert re.search(rf"^## .*\b{re.escape(pellucid.__version__)}\b", (TREE / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_every_law_that_can_be_broken_stands_where_it_is_looked_for() -> None:
    """`tools/break_laws.py` takes a quarter of an hour; that what it breaks has moved shows here."""
    specification = importlib.util.spec_from_file_location("break_laws", TREE / "tools/break_laws.py")
    assert specification is not None
    assert specification.loader is not None
    laws = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(laws)
    moved = [
        breach.law
        for breach in laws.BREACHES
        if (TREE / breach.file).read_text().count(breach.old) != 1
        or not (TREE / breach.test.partition("::")[0]).exists()
    ]
    assert not moved
