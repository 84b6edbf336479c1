"""ReLUs taken behind the max-pooling that alone reads them: the same numbers, from fewer passes over memory.

The largest number of a window, rectified, is the largest of the rectified numbers, and the gradient of both goes to the
same place. So values and gradients stay as they are, bit for bit, while the ReLU and its gradient go over a map of a
quarter of the size; and the maps before max-pooling are the largest of a network. Through concatenations, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, has_torch_function_unary

from pellucid.models.gradients import CONCATENATE, Arguments, argument, clipping_of
from pellucid.models.max_pooling import MAX_POOLING
from pellucid.models.reading import asks_only, is_bare, tensors_in

__all__ = ["delay_relus"]

_PLAIN = torch.empty(0)


def delay_relus(module: nn.Module, run: Callable[[], Any], kept: Collection[str] = ()) -> int:
    """Take ReLUs of `module` behind max-pooling, in place, and say how many; `run` runs its forward once.

    One is where the result is the same bit for bit: nothing but one max-pooling reads what it gave, directly or
    concatenated with other ReLUs of that kind, and nothing reads again what it rectified. `kept` names modules whose
    results are to stay as they are, because somebody wants to see them. No module is replaced: the forwards of some
    are. In the context of a `TorchFunctionMode`, a gradient rule for one, they do what they did before.
    """
    names = dict(module.named_modules(remove_duplicate=False))
    with _Forward(module, [names[name] for name in kept if name in names]) as forward:
        forward.ends(run())
    sites = forward.sites()
    by_function = {site.owner for site in sites if not site.is_alone}
    plans: dict[nn.Module, _Plan] = {}
    for site in sites:
        part = next((part for part in site.within if part in by_function), site.owner)
        plan = plans.setdefault(part, _Plan())
        (plan.relus if site.is_relu else plan.poolings).add(site.place - forward.before(part, site.is_relu))
    for part, plan in plans.items():
        delayed = plan.of_one_call(part) if part not in by_function else _Delayed(part.forward, plan)
        part.forward = delayed
    return sum(site.is_relu for site in sites)


def _is_watched() -> bool:
    """Whether calls are overridden now: somebody is to see each ReLU where it stands."""
    return has_torch_function_unary(_PLAIN)


class _Plan:
    """Which ReLUs and which max-poolings of a module's forward, by their places among those that it calls."""

    def __init__(self) -> None:
        self.relus: set[int] = set()
        self.poolings: set[int] = set()

    def of_one_call(self, part: nn.Module) -> Callable[..., Tensor]:
        """The forward of an `nn.ReLU` or an `nn.MaxPool2d`."""
        return _Passed(part.forward) if self.relus else _Rectified(part.forward)


class _Passed:
    """The forward of an `nn.ReLU` whose work is done behind a max-pooling."""

    def __init__(self, forward: Callable[..., Tensor]) -> None:
        self._forward = forward

    def __call__(self, input: Tensor) -> Tensor:
        return self._forward(input) if _is_watched() else input


class _Rectified:
    """The forward of an `nn.MaxPool2d`, and of the ReLUs before it."""

    def __init__(self, forward: Callable[..., Tensor]) -> None:
        self._forward = forward

    def __call__(self, input: Tensor) -> Tensor:
        maxima = self._forward(input)
        return maxima if _is_watched() else maxima.relu_()


class _Delayed:
    """The forward of a module that calls ReLUs or max-poolings as functions."""

    def __init__(self, forward: Callable[..., Any], plan: _Plan) -> None:
        self._forward, self._plan = forward, plan

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if _is_watched():
            return self._forward(*args, **kwargs)
        with _Delaying(self._plan):
            return self._forward(*args, **kwargs)


class _Delaying(TorchFunctionMode):
    """One call of such a forward."""

    def __init__(self, plan: _Plan) -> None:
        super().__init__()
        self._plan = plan
        self._num_relus = self._num_poolings = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in MAX_POOLING:
            self._num_poolings += 1
            maxima = func(*args, **kwargs)
            return maxima.relu_() if self._num_poolings - 1 in self._plan.poolings else maxima
        if clipping_of(func, (args, kwargs)) == float("inf"):
            self._num_relus += 1
            if self._num_relus - 1 in self._plan.relus:
                return argument((args, kwargs), 0, "input")
        return func(*args, **kwargs)


@dataclass(frozen=True)
class _Site:
    """A call of a ReLU or a max-pooling: its place among those of the whole forward, and the modules that it is in."""

    is_relu: bool
    place: int
    within: tuple[nn.Module, ...]

    @property
    def owner(self) -> nn.Module:
        return self.within[-1]

    @property
    def is_alone(self) -> bool:
        """Whether the module that calls it does nothing else."""
        return type(self.owner) is (nn.ReLU if self.is_relu else nn.MaxPool2d)


class _Forward(TorchFunctionMode):
    """Sees a forward's ReLUs and max-poolings, and what reads their results."""

    def __init__(self, module: nn.Module, kept: Collection[nn.Module]) -> None:
        super().__init__()
        self._module, self._kept = module, set(kept)
        self._hooks = ExitStack()
        self._within: list[nn.Module] = []
        self._calls: Counter[nn.Module] = Counter()
        self._before: dict[nn.Module, tuple[int, int]] = {}
        self._relus: list[_Site] = []
        self._poolings: list[_Site] = []
        self._held: list[Tensor] = []  # so that no identity is given to another tensor
        self._unread: dict[int, frozenset[int]] = {}  # by a map's identity: the ReLUs that could wait for its reader
        self._spoilt: dict[int, frozenset[int]] = {}  # and those that cannot wait if it is read
        self._pooled: dict[int, frozenset[int]] = {}  # by a max-pooling: the ReLUs that could wait for it
        self._refused: set[int] = set()

    def __enter__(self) -> _Forward:
        for part in self._module.modules():
            for handle in (
                part.register_forward_pre_hook(self._enters),
                part.register_forward_hook(self._leaves, always_call=True),
            ):
                self._hooks.callback(handle.remove)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)  # type: ignore[no-untyped-call]
        self._hooks.close()

    def ends(self, result: Any) -> None:
        """What the forward gave is read, by whoever asked for it."""
        self._read([result])

    def before(self, part: nn.Module, is_relu: bool) -> int:
        """How many ReLUs, or max-poolings, the forward had called when it came to this module."""
        relus, poolings = self._before[part]
        return relus if is_relu else poolings

    def sites(self) -> list[_Site]:
        """The ReLUs that can wait, and the max-poolings that they wait for."""
        found = []
        for place, relus in self._pooled.items():
            group = [self._poolings[place], *(self._relus[relu] for relu in sorted(relus))]
            if relus.isdisjoint(self._refused) and all(self._is_plain(site) for site in group):
                found += group
        return found

    def _is_plain(self, site: _Site) -> bool:
        """Whether it is called once, inside a module, and nobody else has a hand in it.

        A class that copies itself in a way of its own may forget the forward that is given to it.
        """
        once = bool(site.within) and all(self._calls[part] == 1 for part in site.within)
        copied = not any(hasattr(type(part), "__deepcopy__") for part in site.within)
        return once and copied and (not site.is_alone or is_bare(site.owner))

    def _enters(self, part: nn.Module, inputs: Any) -> None:
        self._within.append(part)
        self._calls[part] += 1
        self._before[part] = len(self._relus), len(self._poolings)

    def _leaves(self, part: nn.Module, inputs: Any, result: Any) -> None:
        self._within.pop()
        if part in self._kept:
            self._read([result])

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        call = (args, kwargs)
        if asks_only(func):
            return func(*args, **kwargs)
        if func in MAX_POOLING:
            place = len(self._poolings)
            self._poolings.append(_Site(False, place, tuple(self._within)))
            source = argument(call, 0, "input")
            if id(source) in self._unread and not argument(call, 6, "return_indices", False):
                self._pooled[place] = self._take(source)
                return func(*args, **kwargs)
        if (parts := _concatenated(func, call)) and all(id(part) in self._unread for part in parts):
            joined = frozenset[int]().union(*(self._take(part) for part in {id(part): part for part in parts}.values()))
            return self._hold(func(*args, **kwargs), joined)
        self._read(call)
        result = func(*args, **kwargs)
        if clipping_of(func, call) == float("inf"):
            own = frozenset([len(self._relus)])
            self._relus.append(_Site(True, len(self._relus), tuple(self._within)))
            source = argument(call, 0, "input")
            if source is not result:
                self._held.append(source)
                self._spoilt[id(source)] = own | self._spoilt.get(id(source), frozenset())
            self._hold(result, own)
        return result

    def _hold(self, value: Tensor, relus: frozenset[int]) -> Tensor:
        self._held.append(value)
        self._unread[id(value)] = relus
        return value

    def _take(self, value: Tensor) -> frozenset[int]:
        """The one reading that a map may have: any more spoil it."""
        relus = self._unread.pop(id(value))
        self._spoilt[id(value)] = relus | self._spoilt.get(id(value), frozenset())
        return relus

    def _read(self, values: Any) -> None:
        for value in tensors_in(values):
            self._refused |= self._unread.pop(id(value), frozenset()) | self._spoilt.get(id(value), frozenset())


def _concatenated(func: Callable[..., Any], call: Arguments) -> Sequence[Tensor]:
    """What this call concatenates into a tensor of its own; nothing for any other call."""
    if func not in CONCATENATE or "out" in call[1]:
        return ()
    parts: Sequence[Tensor] = argument(call, 0, "tensors")
    return parts
