"""Gradient rules: contexts that change how gradients pass a rectifier, and revert (max-pooling's: `max_pooling.py`).

They work on the functions that a forward calls (a `TorchFunctionMode`), so that `nn.ReLU`, `F.relu`, `torch.relu`,
`x.relu()` and their in-place forms are all reached, and no module is touched. Not reached: a ReLU inside a fused or
scripted kernel, one called as `torch.ops.aten.relu`, and `clamp(min=0)`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

__all__ = [
    "CONCATENATE",
    "IdentityReLU",
    "NonlinearityRecord",
    "RedirectedReLU",
    "argument",
    "clipping_of",
    "is_in_place",
]

_RELU = {F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_}
_HARDTANH = {F.hardtanh, F.hardtanh_}  # nn.ReLU6 is one, from 0 to 6
_IN_PLACE = {F.relu_, torch.relu_, Tensor.relu_, F.hardtanh_}
CONCATENATE = {torch.cat, torch.concat, torch.concatenate}

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def argument(call: Arguments, place: int, name: str, default: Any = None) -> Any:
    """One argument of a call, given by place or by name."""
    args, kwargs = call
    return args[place] if len(args) > place else kwargs.get(name, default)


def clipping_of(func: Callable[..., Any], call: Arguments) -> float | None:
    """Upper bound of the rectifier that this call is (`inf` for ReLU, 6 for ReLU6), None for any other call."""
    if func in _RELU:
        return float("inf")
    if func is F.relu6:
        return 6.0
    if func in _HARDTANH and argument(call, 1, "min_val", -1.0) == 0:
        return float(argument(call, 2, "max_val", 1.0))
    return None


def is_in_place(func: Callable[..., Any], call: Arguments) -> bool:
    """Whether this call of a rectifier writes over its input."""
    return func in _IN_PLACE or bool(argument(call, 3 if func in _HARDTANH else 1, "inplace", False))


def _version(value: Tensor) -> int:
    """Counts what was written over a tensor in place (not counted in inference mode, where nothing is asked for)."""
    return 0 if value.is_inference() else value._version


class NonlinearityRecord(TorchFunctionMode):
    """Remembers the input of every rectifier called in its context, so that `before` can undo the last one.

    Used for negative objectives: behind a ReLU a unit that is off has no gradient, before it there is one.
    """

    def __init__(self) -> None:
        super().__init__()
        # By identity of the result, which is kept so that its identity is not given to another tensor. What has been
        # written over since (`out += identity` behind a ReLU) is no longer what the rectifier or concatenation gave.
        self._inputs: dict[int, tuple[Tensor, int, Tensor, int]] = {}
        self._branches: dict[int, tuple[Tensor, int, tuple[Tensor, ...], int]] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        call = (args, kwargs)
        if clipping_of(func, call) is not None:
            source = argument(call, 0, "input")
            before = source.clone() if is_in_place(func, call) else source
            result = func(*args, **kwargs)
            self._inputs[id(result)] = (result, _version(result), before, _version(before))
            return result
        result = func(*args, **kwargs)
        if func in CONCATENATE:
            dim = argument(call, 1, "dim", kwargs.get("axis", 0))
            self._branches[id(result)] = (result, _version(result), tuple(argument(call, 0, "tensors")), dim)
        return result

    def before(self, value: Tensor) -> Tensor | None:
        """What `value` was before the rectifier that ended it, through concatenations; None when it ends in none."""
        if id(value) in self._inputs:
            _, version, before, version_before = self._inputs[id(value)]
            return before if (_version(value), _version(before)) == (version, version_before) else None
        if id(value) not in self._branches:
            return None
        _, version, parts, dim = self._branches[id(value)]
        befores = [self.before(part) for part in parts]
        if _version(value) != version or all(before is None for before in befores):
            return None
        pieces = value.split([part.shape[dim] for part in parts], dim)
        return torch.cat([own if b is None else b for own, b in zip(pieces, befores, strict=True)], dim)


class _RectifierRule(TorchFunctionMode):
    """Another gradient for the rectifiers called in its context, for the images of `rows` (all when None).

    The other images keep the usual gradient, bit for bit, and cost nothing. Batches are told apart by the first axis; a
    rectifier that folds other things into it (windows) keeps its usual gradient.
    """

    def __init__(self, rows: Bool[Tensor, " b"] | None = None) -> None:
        super().__init__()
        self.num_images = None if rows is None else len(rows)
        self._places: list[int] | None = None if rows is None else rows.nonzero()[:, 0].tolist()

    @abstractmethod
    def rectified(self, x: Tensor, places: Sequence[int], bound: float, in_place: bool) -> Tensor:
        """`x` clipped to [0, bound], with this rule's gradient for the images at `places`."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        call = (args, kwargs)
        bound = clipping_of(func, call)
        if bound is None:
            return func(*args, **kwargs)
        source = argument(call, 0, "input")
        folds = source.ndim == 0 or self.num_images not in (None, source.shape[0])
        if not source.requires_grad or folds:
            return func(*args, **kwargs)
        places = range(len(source)) if self._places is None else self._places
        return self.rectified(source, places, bound, is_in_place(func, call))


class RedirectedReLU(_RectifierRule):
    """Lets a gradient through rectifiers that block the whole of it, for some images of the batch.

    For each rectifier and each image of `rows` (all when None): where the usual gradient is zero everywhere, the
    gradient passes instead, except where it would push a value that is off further down, or, at a ReLU6, one that is
    full further up.

    Source: Lucid's `redirected_relu_grad` and `redirected_relu6_grad` (Olah et al. 2017), there for all images at once.
    """

    def rectified(self, x: Tensor, places: Sequence[int], bound: float, in_place: bool) -> Tensor:
        redirected: Tensor = _Redirected.apply(x, places, bound, in_place)
        return redirected


class IdentityReLU(_RectifierRule):
    """Lets the whole gradient through rectifiers, as if they were not there, for some images of the batch.

    Source: Lucid's `identity_grad`.
    """

    def rectified(self, x: Tensor, places: Sequence[int], bound: float, in_place: bool) -> Tensor:
        passed: Tensor = _Passed.apply(x, places, bound, in_place)
        return passed


def _rectify(ctx: Any, x: Tensor, bound: float, in_place: bool) -> Tensor:
    if in_place:
        ctx.mark_dirty(x)
    if bound == float("inf"):
        return x.relu_() if in_place else x.relu()
    return x.clamp_(0, bound) if in_place else x.clamp(0, bound)


def _usual(gradient: Tensor, result: Tensor, bound: float) -> Tensor:
    """The rectifier's own gradient, by its own kernel: for the neighbours all is as it is without a rule."""
    if bound == float("inf"):
        usual: Tensor = torch.ops.aten.threshold_backward(gradient, result, 0)
    else:
        usual = torch.ops.aten.hardtanh_backward(gradient, result, 0, bound)
    return usual


class _Passed(torch.autograd.Function):
    """A rectifier, 0 to `bound`, whose gradient is the identity's for the images at `places`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Sequence[int], bound: float, in_place: bool) -> Tensor:
        result = _rectify(ctx, x, bound, in_place)
        ctx.save_for_backward(result)
        ctx.places, ctx.bound = places, bound
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        passed = _usual(gradient, ctx.saved_tensors[0], ctx.bound)
        for place in ctx.places:
            passed[place] = gradient[place]
        return passed, None, None, None


class _Redirected(torch.autograd.Function):
    """A rectifier, 0 to `bound`, whose gradient is redirected where it is blocked, for the images at `places`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Sequence[int], bound: float, in_place: bool) -> Tensor:
        before = _rows(x, places)
        result = _rectify(ctx, x, bound, in_place)
        ctx.save_for_backward(result, before)
        ctx.places, ctx.bound = places, bound
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        result, before = ctx.saved_tensors
        usual = _usual(gradient, result, ctx.bound)
        own_usual = _rows(usual, ctx.places)
        size, inner = own_usual.abs(), tuple(range(1, own_usual.ndim))
        blocked = (size.sum(inner, keepdim=True) if inner else size) == 0
        if usual.device.type == "cpu" and not blocked.any():  # elsewhere asking would stall the device
            return usual, None, None, None
        own = _rows(gradient, ctx.places)
        # The optimiser descends: a positive gradient lowers x. Passed: lifting what is off, lowering what is full.
        down = ((before < 0) & (own > 0)) | ((before > ctx.bound) & (own < 0))
        picked = torch.where(blocked, own.masked_fill(down, 0), own_usual)
        for place, row in zip(ctx.places, picked, strict=True):
            usual[place] = row
        return usual, None, None, None


def _rows(value: Tensor, places: Sequence[int]) -> Tensor:
    """Some rows of a batch, as a copy; by slices, which a CPU copies six times as fast as an index picks them."""
    return torch.stack([value[place] for place in places]) if places else value[:0].clone()
