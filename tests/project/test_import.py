"""Nothing happens at import: no torch before it is needed, no setting changed, nothing written or fetched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src/pellucid"

# What is typed before a network is needed: help, recipes and targets must answer at once.
TORCH_FREE = [
    "import pellucid",
    "import pellucid.errors",
    "import pellucid.app.cli.main",
    "import pellucid; pellucid.Target.parse('mixed4a:12')",
    "import pellucid; pellucid.Recipe(steps=8)",
    "import pellucid; pellucid.video_steps(256)",
]

# Refuses what an import has no business doing, then imports every module and compares what torch was set to.
IMPORT_EVERYTHING = """
import os, sys

def refuse(event, args):
    writes = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
    if (writes and args[0] != os.devnull) or event in ("socket.connect", "socket.getaddrinfo"):
        raise SystemExit(f"{event} at import: {args!r}")

import torch
def settings():
    return (
        torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled(), torch.initial_seed(),
        torch.get_rng_state().sum().item(), torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision(),
        torch.cuda.is_initialized(), torch.nn.Module.__call__,
    )
before = settings()
sys.addaudithook(refuse)
import importlib
for name in sys.argv[1:]:
    importlib.import_module(name)
assert settings() == before, (before, settings())
"""


def run(code: str, *arguments: str, warnings: str = "error") -> subprocess.CompletedProcess[str]:
    """The code in a fresh interpreter, from the sources, writing no bytecode."""
    env = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    command = [sys.executable, "-B", "-W", warnings, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


def module_names() -> list[str]:
    """Every module of the package, by its files."""
    files = (path.relative_to(PACKAGE.parent).with_suffix("") for path in sorted(PACKAGE.rglob("*.py")))
    return [".".join(file.parts).removesuffix(".__init__") for file in files]


@pytest.mark.parametrize("code", TORCH_FREE)
def test_no_torch_before_it_is_needed(code: str) -> None:
    result = run(f"{code}\nimport sys\nheavy = {{'torch', 'numpy', 'PIL'}} & set(sys.modules)\nassert not heavy, heavy")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("arguments", [[], ["render"], ["layers"], ["models"], ["demo"], ["bench"]], ids=" ".join)
def test_help_imports_no_torch(arguments: list[str]) -> None:
    code = f"""
import sys
sys.argv = ["pellucid", *{arguments!r}, "--help"]
from pellucid.app.cli.main import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
assert "torch" not in sys.modules
"""
    result = run(code)
    assert result.returncode == 0, result.stderr
    assert "Usage" in result.stdout


def test_importing_every_module_changes_nothing() -> None:
    # Third parties may warn as they are imported; what Pellucid itself would warn of is an error in every other test.
    result = run(IMPORT_EVERYTHING, *module_names(), warnings="default")
    assert result.returncode == 0, result.stderr


def test_every_public_name_is_there() -> None:
    code = "import pellucid\nfor name in pellucid.__all__:\n    getattr(pellucid, name)"
    result = run(code, warnings="default")
    assert result.returncode == 0, result.stderr


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    result = run("import pellucid\npellucid.rendre")
    assert "AttributeError: module 'pellucid' has no attribute 'rendre'" in result.stderr
