"""Functions of our own with a gradient, called without asking for their signature again."""

from __future__ import annotations

import inspect
from typing import TypeVar

import torch

__all__ = ["signature_known"]

_Kind = TypeVar("_Kind", bound=type[torch.autograd.Function])


def signature_known(kind: _Kind) -> _Kind:
    """Class decorator: torch (2.14) asks for the signature of `forward` at every call; it is found out once.

    That concerns functions with a `setup_context`, as `torch.func` wants them. It takes some 25 microseconds, in which
    no other thread can go on.
    """
    vars(kind.forward)["__signature__"] = inspect.signature(kind.forward)
    return kind
