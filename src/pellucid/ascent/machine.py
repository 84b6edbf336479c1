"""What this machine is called."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

import torch

__all__ = ["machine_name"]


def machine_name(device: torch.device) -> str:
    """The accelerator's name, or the processor's."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()


@cache
def _processor() -> str:
    if sys.platform == "linux":
        described = ""
        with suppress(OSError):
            described = Path("/proc/cpuinfo").read_text(errors="replace")
        if found := re.search(r"^model name\s*:\s*(.+)$", described, re.MULTILINE):  # Arm's kernels give none
            return found[1].strip()
    if sys.platform == "darwin":
        named = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
        )
        if named.stdout.strip():
            return named.stdout.strip()
    return platform.processor() or platform.machine()
