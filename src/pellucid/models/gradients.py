"""Gradient rules: contexts that change how gradients pass a nonlinearity, and revert.

They work on the functions that a forward calls (a `TorchFunctionMode`), so that `nn.ReLU`, `F.relu`, `torch.relu`,
`x.relu()` and their in-place forms are all reached, and no module is touched. Not reached: a ReLU inside a fused or
scripted kernel, and `clamp(min=0)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

__all__ = ["NonlinearityRecord", "RedirectedReLU"]

_RELU = {F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_}
_RELU6 = {F.relu6, F.hardtanh, F.hardtanh_, torch.nn.functional.relu6}
_IN_PLACE = {F.relu_, torch.relu_, Tensor.relu_, F.hardtanh_}
_CONCATENATE = {torch.cat, torch.concat, torch.concatenate}


def _clipping_of(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> float | None:
    """Upper bound of the rectifier that this call is (`inf` for ReLU, 6 for ReLU6), None for any other call."""
    if func in _RELU:
        return float("inf")
    if func in _RELU6:
        low, high = (*args[1:3], kwargs.get("min_val", 0.0), kwargs.get("max_val", 6.0))[:2]
        return 6.0 if func is F.relu6 else float(high) if low == 0 else None
    return None


def _is_in_place(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    positional = args[-1] is True if len(args) > 1 else False  # F.relu(x, True), F.hardtanh(x, 0, 6, True)
    return func in _IN_PLACE or bool(kwargs.get("inplace", positional))


class NonlinearityRecord(TorchFunctionMode):
    """Remembers the input of every rectifier called in its context, so that `before` can undo the last one.

    Used for negative objectives: behind a ReLU a unit that is off has no gradient, before it there is one.
    """

    def __init__(self) -> None:
        super().__init__()
        # By identity of the output; the output is kept so that its identity is not given to another tensor.
        self._inputs: dict[int, tuple[Tensor, Tensor]] = {}
        self._branches: dict[int, tuple[Tensor, tuple[Tensor, ...], int]] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if _clipping_of(func, args, kwargs) is not None:
            source = args[0] if args else kwargs["input"]
            before = source.clone() if _is_in_place(func, args, kwargs) else source
            result = func(*args, **kwargs)
            self._inputs[id(result)] = (result, before)
            return result
        result = func(*args, **kwargs)
        if func in _CONCATENATE:
            parts = args[0] if args else kwargs["tensors"]
            dim = args[1] if len(args) > 1 else kwargs.get("dim", kwargs.get("axis", 0))
            self._branches[id(result)] = (result, tuple(parts), dim)
        return result

    def before(self, value: Tensor) -> Tensor | None:
        """What `value` was before the rectifier that ended it, through concatenations; None when it ends in none."""
        if id(value) in self._inputs:
            return self._inputs[id(value)][1]
        if id(value) not in self._branches:
            return None
        _, parts, dim = self._branches[id(value)]
        befores = [self.before(part) for part in parts]
        if all(before is None for before in befores):
            return None
        return torch.cat([part if before is None else before for part, before in zip(parts, befores, strict=True)], dim)


class RedirectedReLU(TorchFunctionMode):
    """Lets a gradient through rectifiers that block the whole of it, for some images of the batch.

    For each rectifier and each image of `rows` (all when None): where the usual gradient is zero everywhere, the
    gradient passes instead, except where it would push a value that is off further down. Others keep the usual
    gradient, bit for bit. Batches are told apart by the first axis; a rectifier that folds other things into it
    (windows) keeps its usual gradient.

    Source: Lucid's `redirected_relu_grad` (Olah et al. 2017), there for all images at once.
    """

    def __init__(self, rows: Bool[Tensor, " b"] | None = None) -> None:
        super().__init__()
        self.rows = rows

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        bound = _clipping_of(func, args, kwargs)
        if bound is None:
            return func(*args, **kwargs)
        source = args[0] if args else kwargs["input"]
        if not source.requires_grad or (self.rows is not None and source.shape[0] != len(self.rows)):
            return func(*args, **kwargs)
        return _Redirected.apply(source, self.rows, bound, _is_in_place(func, args, kwargs))


class _Redirected(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor | None, bound: float, in_place: bool) -> Tensor:
        ctx.save_for_backward(x <= 0, x >= bound)
        ctx.rows = rows
        if in_place:
            ctx.mark_dirty(x)
            return x.clamp_(0, bound)
        return x.clamp(0, bound)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        off, full = ctx.saved_tensors
        usual = gradient.masked_fill(off | full, 0)
        blocked = usual.flatten(1).count_nonzero(1) == 0
        if ctx.rows is not None:
            blocked = blocked & ctx.rows
        # The optimiser descends: a positive gradient lowers x. Passed: lifting what is off, lowering what is full.
        redirected = gradient.masked_fill((off & (gradient > 0)) | (full & (gradient < 0)), 0)
        pick = blocked.view(-1, *[1] * (gradient.ndim - 1))
        return torch.where(pick, redirected, usual), None, None, None
