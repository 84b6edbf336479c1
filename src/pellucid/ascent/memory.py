"""Memory: what a step frees, kept for the next one; what is free, and what was taken."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

__all__ = ["free_bytes", "kept_memory", "peak_bytes"]

# Parameters of glibc's mallopt(3), and what restores its behaviour.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4
# -1: never trimmed.
_KEEP = {_MMAP_MAX: 0, _TRIM_THRESHOLD: -1, _TOP_PAD: 64 * 2**20}
# What glibc adjusts by itself stays where it was set, so the thresholds go to where tensors of some size drive them.
_DEFAULT = {_MMAP_MAX: 65536, _TRIM_THRESHOLD: 64 * 2**20, _TOP_PAD: 0, _MMAP_THRESHOLD: 32 * 2**20}


@contextmanager
def kept_memory() -> Iterator[None]:
    """Let freed memory stay with the process while inside, on Linux with glibc; elsewhere nothing happens.

    By default every large tensor is a mapping of its own, given back when it is freed: each step of ascent asks the
    kernel for the same pages again, which cleans them first. On a CPU that is a tenth to a seventh of the time of a
    step (`docs/design/speed.md`).
    """
    library = _glibc()
    if library is None:
        yield
        return
    for parameter, value in _KEEP.items():
        library.mallopt(parameter, value)
    try:
        yield
    finally:
        for parameter, value in _DEFAULT.items():
            library.mallopt(parameter, value)
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    try:
        _ = library.gnu_get_libc_version, library.mallopt, library.malloc_trim
    except AttributeError:  # another C library, such as musl
        return None
    return library


def free_bytes(device: torch.device) -> int:
    """Memory that new tensors on `device` can take without swapping."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return psutil.virtual_memory().available


def peak_bytes(device: torch.device) -> int | None:
    """The most that was taken so far, where the system counts it."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if device.type != "cpu" or sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2) counts in bytes there, in KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
