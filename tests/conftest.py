"""What every test stands on: shapes checked at every call, two threads, a browser and outside data where there are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

# Threads that wait for each other sleep instead of spinning. On a machine with other work to do, spinning makes a step
# fifty times as slow (32 steps on two busy cores: 235 s, and 5 s so). OpenMP reads this once, as torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
import torch
from jaxtyping import install_import_hook

# Every signature of the package is checked at run time, shapes included. It must come before anything imports a room.
install_import_hook("pellucid", "beartype.beartype")

torch.set_num_threads(2)  # the tests' numbers and times are those of a small machine

TREE = Path(__file__).parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies in tests/external as what it is."""
    for item in items:
        if item.path.is_relative_to(TREE / "tests/external"):
            item.add_marker("external")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test, and no program that a test runs, reads or writes what the user's own runs have learnt."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PELLUCID_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data and pretrained networks beside the tree; without it the test skips."""
    folder = Path(os.environ.get("PELLUCID_SHARED", TREE.parent / "shared")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}: set PELLUCID_SHARED to the one with data/ and models/")
    return folder


@pytest.fixture(scope="module")  # no longer: while it lives, Playwright keeps an event loop running in this thread
def _browser() -> Iterator[object]:
    program = os.environ.get("PELLUCID_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("no Chromium on the PATH: install it (make test does where it may) or set PELLUCID_CHROMIUM")
    api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install 'pellucid[dev]'")
    with api.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=program,
            args=[
                "--no-sandbox",  # the sandbox refuses to start as root
                "--disable-gpu",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--no-first-run",
            ],
        )
        yield browser
        browser.close()


@pytest.fixture
def chromium(_browser: object) -> Iterator[object]:
    """A fresh browser window (a Playwright `Page`) whose errors fail the test; skips without a Chromium."""
    page = _browser.new_page()  # type: ignore[attr-defined]
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield page
    page.close()
    assert not errors, f"the page reported errors: {errors}"
