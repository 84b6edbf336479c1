"""This machine: what it is called, its devices, and which precisions they compute in."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

import torch

from pellucid.errors import RecipeError
from pellucid.models.model import Model, Precision

__all__ = ["find_device", "machine_name", "precisions"]


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


def find_device(wanted: str, model: Model) -> str:
    """The device asked for; by default the network's own, or an accelerator when the network lies on the CPU."""
    available = ["cpu"]
    if torch.cuda.is_available():
        available += ["cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        available.append("mps")
    if wanted == "auto":
        if model.device.type != "cpu":
            return str(model.device)
        return available[1] if len(available) > 1 else "cpu"
    if wanted not in available:
        raise RecipeError(f"no device {wanted!r} here. There are: {', '.join(available)}.")
    return wanted


def precisions(wanted: str, device: torch.device) -> list[Precision]:
    """What the device can do: all of it in the order of what is usually fastest, or what was asked for."""
    possible: list[Precision] = ["float32", "float64"] if device.type != "mps" else ["float32"]
    # no public query for the CPU yet; these exist since torch 2.0 and 2.3
    on_cpu = device.type == "cpu"
    if (
        torch.ops.mkldnn._is_mkldnn_bf16_supported()
        if on_cpu
        else device.type == "mps" or torch.cuda.is_bf16_supported()
    ):
        possible.insert(0, "bfloat16")
    if torch.ops.mkldnn._is_mkldnn_fp16_supported() if on_cpu else True:
        possible.insert(1 if "bfloat16" in possible else 0, "float16")
    if wanted == "auto":
        return [p for p in possible if p != "float64" and not (p == "float16" and "bfloat16" in possible)]
    if wanted not in possible:
        raise RecipeError(f"no precision {wanted!r} on {device.type} here. There are: {', '.join(possible)}.")
    return [p for p in possible if p == wanted]
