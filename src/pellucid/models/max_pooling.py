"""The gradient rule of max-pooling: passed back smoothly, to all of a window instead of its largest value.

It works on the functions that a forward calls: `nn.MaxPool2d`, `F.max_pool2d`, `torch.max_pool2d`,
`nn.AdaptiveMaxPool2d` and `F.adaptive_max_pool2d`. Not reached, and so with their usual gradient: pooling in one or
three dimensions, with `dilation` or `return_indices`, `amax`, `torch.ops.aten.max_pool2d`, scripted or fused kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from pellucid.errors import RecipeError
from pellucid.models.gradients import Arguments, argument

__all__ = ["MAX_POOLING", "SmoothedMaxPool"]

Smoothing = Literal["l2", "average"]
Pool = Callable[[Tensor], Tensor]

_ENOUGH = 1e-2  # in the denominator of "l2": Lucid's


def _l2(x: Tensor, average: Pool) -> Tensor:
    return average(x.square()) / (_ENOUGH + average(x.abs()))


_SMOOTHINGS: dict[str, Callable[[Tensor, Pool], Tensor]] = {"l2": _l2, "average": lambda x, average: average(x)}
MAX_POOLING = (F.max_pool2d, torch.max_pool2d)
_ADAPTIVE = (F.adaptive_max_pool2d,)


class SmoothedMaxPool(TorchFunctionMode):
    """Gives max-pooling the gradient of a smooth pooling, for some images of the batch; its values stay.

    Of the mean over the window ("average"), or of mean(x^2) / (0.01 + mean|x|) ("l2"), which leans to the largest as
    the maximum does. Padding does not count. Against the grid that max-pooling draws into the gradient, where one pixel
    of a window gets all.

    Args:
        rows: the images that it is for, all when None; batches of another length keep their usual gradient.

    Raises:
        RecipeError: an unknown smoothing.

    Source: Lucid's `smoothed_maxpool_grad` (Olah et al. 2017, "The Enemy of Feature Visualization", on the grid).
    """

    def __init__(self, smoothing: Smoothing = "l2", rows: Bool[Tensor, " b"] | None = None) -> None:
        super().__init__()
        if smoothing not in _SMOOTHINGS:
            raise RecipeError(f"no smoothing of max-pooling {smoothing!r}. There are: {', '.join(_SMOOTHINGS)}.")
        self.smoothing, self.rows = smoothing, rows

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        call = (args, kwargs)
        pools = _pools(func, call)
        if pools is None:
            return func(*args, **kwargs)
        source = argument(call, 0, "input")
        folds = source.ndim != 4 or (self.rows is not None and source.shape[0] != len(self.rows))
        if not source.requires_grad or folds:
            return func(*args, **kwargs)
        return _Smoothed.apply(source, self.rows, *pools, _SMOOTHINGS[self.smoothing])


def _pools(func: Callable[..., Any], call: Arguments) -> tuple[Callable[[Tensor], Any], Pool] | None:
    """The max-pooling with indices that this call is, and the average-pooling over the same windows."""
    if func in _ADAPTIVE and not argument(call, 2, "return_indices", False):
        size = argument(call, 1, "output_size")
        return (
            partial(F.adaptive_max_pool2d, output_size=size, return_indices=True),
            partial(F.adaptive_avg_pool2d, output_size=size),
        )
    if func not in MAX_POOLING or argument(call, 6, "return_indices", False):
        return None
    if argument(call, 4, "dilation", 1) not in (1, (1, 1), [1, 1]):
        return None
    windows = {
        "kernel_size": argument(call, 1, "kernel_size"),
        "stride": argument(call, 2, "stride", None),
        "padding": argument(call, 3, "padding", 0),
        "ceil_mode": argument(call, 5, "ceil_mode", False),
    }
    return (
        partial(F.max_pool2d, **windows, return_indices=True),
        partial(F.avg_pool2d, **windows, count_include_pad=False),
    )


class _Smoothed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        rows: Tensor | None,
        pool: Callable[[Tensor], tuple[Tensor, Tensor]],
        average: Pool,
        smooth: Callable[[Tensor, Pool], Tensor],
    ) -> Tensor:
        values, largest = pool(x)
        ctx.save_for_backward(x, largest)
        ctx.rows, ctx.average, ctx.smooth = rows, average, smooth
        return values

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        x, largest = ctx.saved_tensors
        with torch.enable_grad():
            source = x.detach().requires_grad_()
            (smooth,) = torch.autograd.grad(ctx.smooth(source, ctx.average), source, gradient)
        if ctx.rows is not None:
            usual = torch.zeros_like(x).flatten(2)
            usual = usual.scatter_add(2, largest.flatten(2), gradient.flatten(2)).view_as(x)
            smooth = torch.where(ctx.rows.view(-1, 1, 1, 1), smooth, usual)
        return smooth, None, None, None, None
