"""The scripts of `tests/faults`, a small part of each: whole, they take minutes and are run by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FAULTS = Path(__file__).parents[1] / "faults"


def run(script: str, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(FAULTS.parents[1] / "src")}
    command = [sys.executable, str(FAULTS / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_sweep_killed_at_random_moments_loses_nothing() -> None:
    told = run("atlas_killed.py", "2")
    assert told.startswith("killed 2 times")
    assert "240 of 240 pictures there, 0 doubled, 240 equal to an undisturbed sweep's; 0 damaged" in told


def test_damage_is_seen_and_a_full_disk_breaks_nothing() -> None:
    told = run("atlas_store.py", "--quick").splitlines()
    assert told[0] == "damaged shards: 32 of 32 seen, named and repaired"
    assert told[1] == "files limited: 3 of 3 were whole or stopped with one line, and went on"
