"""What the calls that a forward makes read: for what watches them, to leave some of its passes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn

__all__ = ["asks_only", "is_bare", "tensors_in"]

_QUESTIONS = (Tensor.size, Tensor.dim, Tensor.is_floating_point, Tensor.stride, Tensor.numel)
# Attributes that give the values, or a view of them.
_VALUES = tuple(getattr(Tensor, name) for name in ("data", "T", "mT", "H", "mH", "real", "imag"))


def asks_only(func: Callable[..., Any]) -> bool:
    """Whether a function reads shape, type or place of a tensor, and none of its values."""
    if getattr(func, "__name__", "") == "__get__":
        return getattr(func, "__self__", None) not in _VALUES
    return func in _QUESTIONS


def tensors_in(values: Any) -> Iterator[Tensor]:
    """The tensors among the arguments of a call, in lists and dicts, too."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, (list, tuple)):
        for value in values:
            yield from tensors_in(value)
    elif isinstance(values, dict):
        yield from tensors_in(list(values.values()))


def is_bare(module: nn.Module) -> bool:
    """Whether nobody but its caller sees what the module takes and gives."""
    return not (module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)
