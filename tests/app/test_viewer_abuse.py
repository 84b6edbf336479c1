"""The script that abuses the viewer, a small part of it: whole, it takes minutes and is run by hand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "faults/viewer_abuse.py"


def test_the_viewer_withstands_abuse() -> None:
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[2] / "src")}
    command = [sys.executable, str(SCRIPT), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = re.findall(r": (\d+) of (\d+)$", done.stdout, re.MULTILINE)
    assert len(counts) == 9
    assert all(good == made != "0" for good, made in counts)
