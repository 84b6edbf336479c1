"""Tapped forwards: run a network on images and take what asked-for layers returned, as it was then.

Hooks live inside one `with`, only on the modules asked for; the forward stops behind the last of them.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pellucid.models.gradients import NonlinearityRecord
from pellucid.models.layers import Layer, call_name, first_tensor, normalise_axes

__all__ = ["OUTPUT", "Activations", "Tap", "record_calls", "tapped_forward"]

OUTPUT = "output"  # the pseudo-layer that stands for what the network returns


@dataclass(frozen=True)
class Tap:
    """A layer to listen to; with `pre`, before the rectifier that ends it (the layer itself where none does)."""

    layer: str
    pre: bool = False


class Activations(Mapping[Tap, Tensor]):
    """What one forward's tapped layers returned: `[b, c, h, w]`, `[b, n, c]` (tokens) or `[b, c]`.

    `image` is the network's input before normalisation and before any transform.
    """

    def __init__(self, values: Mapping[Tap, Tensor], layers: Mapping[str, Layer], image: Tensor) -> None:
        self._values = dict(values)
        self.layers = layers
        self.image = image

    def __getitem__(self, tap: Tap | str) -> Tensor:
        return self._values[Tap(tap) if isinstance(tap, str) else tap]

    def __iter__(self) -> Iterator[Tap]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def rows(self, rows: Tensor) -> Activations:
        """The same activations for some images of the batch only (`rows` int64 [m])."""
        return Activations({tap: value[rows] for tap, value in self._values.items()}, self.layers, self.image[rows])

    def with_image(self, image: Float[Tensor, "b c h w"]) -> Activations:
        """The same activations, with another picture as their origin (the untransformed one)."""
        return Activations(self._values, self.layers, image)


class _Cut(BaseException):
    """Leaves a forward behind the last requested call; not an Exception, so that no model code swallows it."""


class _Listener:
    """Takes the requested calls of one forward in one thread."""

    def __init__(self, taps: Iterable[Tap], layers: Mapping[str, Layer], cut: bool) -> None:
        self.wanted: dict[str, list[Tap]] = {}
        for tap in taps:
            if tap.layer != OUTPUT:
                self.wanted.setdefault(tap.layer, []).append(tap)
        self.layers = layers
        self.missing = set(self.wanted)
        self.record = NonlinearityRecord() if any(tap.pre for tap in taps) else None
        self.values: dict[Tap, Tensor] = {}
        self._cut = cut
        self._calls: Counter[str] = Counter()
        self._thread = threading.get_ident()

    def hook(self, module_name: str) -> Callable[[nn.Module, Any, Any], None]:
        def listen(module: nn.Module, inputs: Any, result: Any) -> None:
            if threading.get_ident() != self._thread:
                return  # another job of another thread, running the same network
            self._calls[module_name] += 1
            name = call_name(module_name, self._calls[module_name])
            if name in self.missing:
                self._take(name, result)
                if self._cut and not self.missing:
                    raise _Cut

        return listen

    def _take(self, name: str, result: Any) -> None:
        self.missing.discard(name)
        value = first_tensor(result)
        if value is None:
            raise TypeError(f"layer {name!r} returned no tensor")
        stops_here = self._cut and not self.missing
        for tap in self.wanted[name]:
            kept = value
            if tap.pre and self.record is not None and (before := self.record.before(value)) is not None:
                kept = before
            # What follows may overwrite the tensor in place (ReLU(inplace), `out += identity`); nothing follows a cut.
            self.values[tap] = normalise_axes(kept if stops_here else kept.clone(), self.layers[name].axes)


def tapped_forward(
    run: Callable[[], Tensor],
    modules: Mapping[str, nn.Module],
    taps: Iterable[Tap],
    layers: Mapping[str, Layer],
    image: Tensor,
) -> Activations:
    """Run a forward and take the tapped layers; layers must be among `layers`.

    Raises:
        KeyError: a layer that the forward did not reach this time.
    """
    taps = tuple(dict.fromkeys(taps))
    wants_output = any(tap.layer == OUTPUT for tap in taps)
    listener = _Listener(taps, layers, cut=not wants_output)
    with ExitStack() as stack:
        for module_name in {name.partition("#")[0] for name in listener.wanted}:
            stack.enter_context(_hooked(modules[module_name], listener.hook(module_name)))
        if listener.record is not None:
            stack.enter_context(listener.record)
        try:
            output = run()
        except _Cut:
            output = None
    if listener.missing:
        raise KeyError(sorted(listener.missing)[0])
    if wants_output and output is not None:
        listener.values.update({tap: output for tap in taps if tap.layer == OUTPUT})
    return Activations(listener.values, layers, image)


@contextmanager
def _hooked(module: nn.Module, hook: Callable[[nn.Module, Any, Any], None]) -> Iterator[None]:
    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def record_calls(run: Callable[[], Any], modules: Mapping[str, nn.Module]) -> list[tuple[str, nn.Module, torch.Size]]:
    """Run a forward once and list every module call that returned a tensor: name, module, shape; in finishing order."""
    calls: list[tuple[str, nn.Module, torch.Size]] = []
    counts: Counter[str] = Counter()

    def recorder(module_name: str) -> Callable[[nn.Module, Any, Any], None]:
        def listen(module: nn.Module, inputs: Any, result: Any) -> None:
            counts[module_name] += 1
            value = first_tensor(result)
            if value is not None:
                calls.append((call_name(module_name, counts[module_name]), module, value.shape))

        return listen

    with ExitStack() as stack:
        for module_name, module in modules.items():
            stack.enter_context(_hooked(module, recorder(module_name)))
        run()
    return calls
