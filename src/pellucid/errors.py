"""What can go wrong, in one family: catch `PellucidError` for all of it.

Every message is one line that says what was given, what was possible and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import psutil

__all__ = [
    "AtlasError",
    "DatasetError",
    "ImageError",
    "InversionError",
    "MissingExtra",
    "ModelError",
    "PellucidError",
    "RecipeError",
    "TableError",
    "TargetError",
    "WeightsError",
    "did_you_mean",
    "first_line",
    "is_out_of_memory",
]


class PellucidError(Exception):
    """The root of every error that Pellucid raises on purpose."""


class TargetError(PellucidError, ValueError):
    """A target names something that the network does not have, or cannot be read."""


class ModelError(PellucidError, ValueError):
    """A network cannot be loaded, copied or run."""


class WeightsError(ModelError):
    """A weights file does not fit its network, or is not plain data."""


class RecipeError(PellucidError, ValueError):
    """A setting is unknown, out of range or contradicts another."""


class ImageError(PellucidError, ValueError):
    """A picture cannot be read, written or made at the size asked for."""


class AtlasError(PellucidError, ValueError):
    """An atlas cannot be read, written or gone on with, or does not hold what was asked for."""


class DatasetError(PellucidError, ValueError):
    """A set of pictures is empty, cannot be read, or its labels do not match its classes."""


class TableError(PellucidError, ValueError):
    """A table of units does not hold what it should, or cannot be read."""


class InversionError(PellucidError, ValueError):
    """A picture cannot be taken back to an objective, or what is needed for it is not known."""


class OutOfMemory(ModelError):
    """What was asked for does not fit into memory, however it is done."""


class MissingExtra(PellucidError, ImportError):
    """An optional library is not installed; the message holds the pip line that installs it."""

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(f"{library} is not installed. Install it with: pip install 'pellucid[{extra}]'")


# What PyTorch says, where it has no error of its own: its CPU allocator, Apple's GPU, CUDA and its libraries, C++.
_OUT_OF_MEMORY = ("DefaultCPUAllocator", "out of memory", "_STATUS_ALLOC_FAILED", "std::bad_alloc")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device, or the CPU's allocator, has no memory left. Needs no torch to be loaded."""
    if isinstance(error, (MemoryError, OutOfMemory)) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)


@contextmanager
def within_memory(what: str, num_bytes: int) -> Iterator[None]:
    """Turns a lack of memory inside into an error that says what does not fit.

    What takes `num_bytes` at least is not even tried where there are less: an allocation that fails moves the thread
    to another arena of glibc's, and everything after it is slower.
    """
    if num_bytes > psutil.virtual_memory().available:
        raise OutOfMemory(f"{what} do not fit into memory")
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(f"{what} do not fit into memory") from None


def first_line(error: BaseException) -> str:
    """What an exception of another library says, for a message: one line, at most 200 letters, no full stop."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (reason.strip() or type(error).__name__).partition("\n")[0][:200].rstrip(".")


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """The nearest of `options` to a mistyped name as " Did you mean 'a' or 'b'?", or "" when none is near."""
    near = difflib.get_close_matches(name, list(options), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(repr(option) for option in near)}?" if near else ""
