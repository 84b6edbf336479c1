"""Batch norms folded into the convolutions before them: the same function with fewer passes over memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from pellucid.models.reading import asks_only, is_bare, tensors_in

__all__ = ["FoldedBatchNorm", "fold_batch_norms"]


class FoldedBatchNorm(nn.Identity):
    """Stands where a batch norm was, so that its layer is still there to be tapped."""


def fold_batch_norms(module: nn.Module, run: Callable[[], Any], kept: Collection[str] = ()) -> int:
    """Fold batch norms of `module`, in place, and say how many; `run` runs its forward once, without gradient.

    One is folded where the result is exact but for rounding: it normalises by running statistics what one convolution
    gave, both are called once, and nothing else reads that convolution's result. `kept` names convolutions to leave
    as they are, because somebody wants to see them. Subclasses and modules with hooks of their own are left alone.
    """
    names = {part: name for name, part in module.named_modules()}
    convolutions = {part for part in names if type(part) is nn.Conv2d and names[part] not in kept and is_bare(part)}
    norms = {part for part in names if type(part) is nn.BatchNorm2d and part.running_var is not None and is_bare(part)}
    pairs = _pairs(convolutions, norms, run)
    for norm, convolution in pairs.items():
        _fold(norm, convolution)
        parent, _, child = names[norm].rpartition(".")
        setattr(module.get_submodule(parent), child, FoldedBatchNorm())
    return len(pairs)


def _pairs(
    convolutions: Collection[nn.Module], norms: Collection[nn.Module], run: Callable[[], Any]
) -> dict[nn.BatchNorm2d, nn.Conv2d]:
    """Each batch norm that alone reads what a convolution gave, seen by running the network once."""
    calls: Counter[nn.Module] = Counter()
    made_by: dict[int, nn.Conv2d] = {}
    read_by: dict[nn.BatchNorm2d, int] = {}
    handles = []

    def made(part: nn.Module, inputs: Any, result: Tensor) -> None:
        assert isinstance(part, nn.Conv2d)
        calls[part] += 1
        made_by[id(result)] = part
        uses.keep(result)

    def read(part: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(part, nn.BatchNorm2d)
        calls[part] += 1
        place = id(inputs[0])
        if place in made_by:  # looked up now: a tensor that nobody keeps may leave its identity to a later one
            read_by[part] = place

    with _Uses() as uses:
        try:
            handles += [part.register_forward_hook(made) for part in convolutions]
            handles += [part.register_forward_pre_hook(read) for part in norms]
            run()
        finally:
            for handle in handles:
                handle.remove()
    pairs = {norm: made_by[place] for norm, place in read_by.items() if uses.only_normalised(place)}
    return {norm: part for norm, part in pairs.items() if calls[norm] == calls[part] == 1}


class _Uses(TorchFunctionMode):
    """Counts the functions that read tensors which were handed to `keep`."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[int, Tensor] = {}  # held, so that an identity is not given to another tensor
        self._readers: dict[int, list[Callable[..., Any]]] = {}

    def keep(self, value: Tensor) -> None:
        self._kept[id(value)] = value

    def only_normalised(self, place: int) -> bool:
        return place in self._kept and self._readers.get(place) == [F.batch_norm]

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        for value in tensors_in([args, kwargs or {}]):
            if id(value) in self._kept and not asks_only(func):
                self._readers.setdefault(id(value), []).append(func)
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def _fold(norm: nn.BatchNorm2d, convolution: nn.Conv2d) -> None:
    """Scale the convolution's weights and shift its bias as the batch norm would its result."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    kept, work = convolution.weight.dtype, torch.float64
    scale = 1 / torch.sqrt(norm.running_var.to(work) + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight.to(work)
    bias = torch.zeros_like(scale) if convolution.bias is None else convolution.bias.to(work)
    shifted = (bias - norm.running_mean.to(work)) * scale
    if norm.bias is not None:
        shifted = shifted + norm.bias.to(work)
    weight = convolution.weight.to(work) * scale[:, None, None, None]
    convolution.weight = nn.Parameter(weight.to(kept), requires_grad=False)
    convolution.bias = nn.Parameter(shifted.to(kept), requires_grad=False)
