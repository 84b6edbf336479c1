"""Tapped forwards: run a network on images and take what asked-for layers returned, as it was then; or change it.

Hooks live inside one `with`, only on the modules asked for; the forward stops behind the last of them.
"""

from __future__ import annotations

import copy
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pellucid.errors import TargetError
from pellucid.models.gradients import NonlinearityRecord
from pellucid.models.layers import OUTPUT, Layer, call_name, normalise_axes
from pellucid.models.results import first_tensor, with_first_tensor

__all__ = [
    "OUTPUT",
    "Activations",
    "Beside",
    "Edit",
    "Listener",
    "Tap",
    "copy_without_taps",
    "listened",
    "record_calls",
    "tapped_forward",
]

Edit = Callable[[Tensor], Tensor]
"""What a layer's activations, `[b, c, h, w]`, `[b, n, c]` or `[b, c]`, are replaced by in a forward: the same shape."""

_hooking = threading.Lock()  # hooks come and go, and modules are copied, one at a time


@dataclass(frozen=True)
class Tap:
    """A layer to listen to; with `pre`, before the rectifier that ends it (the layer itself where none does)."""

    layer: str
    pre: bool = False


class Activations(Mapping[Tap, Tensor]):
    """What one forward's tapped layers returned: `[b, c, h, w]`, `[b, n, c]` (tokens) or `[b, c]`.

    `image` is the network's input before normalisation and before any transform; `alpha` [b, 1, h, w] its opacity
    where it has one; `beside` are photos that were shown beside the images.
    """

    def __init__(
        self,
        values: Mapping[Tap, Tensor],
        layers: Mapping[str, Layer],
        image: Tensor,
        alpha: Tensor | None = None,
        beside: Beside | None = None,
    ) -> None:
        self._values = dict(values)
        self.layers = layers
        self.image = image
        self.alpha = alpha
        self.beside = beside

    def __getitem__(self, tap: Tap | str) -> Tensor:
        return self._values[Tap(tap) if isinstance(tap, str) else tap]

    def __iter__(self) -> Iterator[Tap]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def rows(self, rows: Tensor) -> Activations:
        """The same activations for some images of the batch only (`rows` int64 [m])."""
        alpha = None if self.alpha is None else self.alpha[rows]
        values = {tap: value[rows] for tap, value in self._values.items()}
        beside = None if self.beside is None else self.beside.rows(rows)
        return Activations(values, self.layers, self.image[rows], alpha, beside)

    def with_image(self, image: Float[Tensor, "b c h w"], alpha: Float[Tensor, "b 1 h w"] | None = None) -> Activations:
        """The same activations, with another picture as their origin (the untransformed one)."""
        return Activations(self._values, self.layers, image, alpha, self.beside)

    def with_beside(self, beside: Beside) -> Activations:
        """The same activations, with those of photos beside them."""
        return Activations(self._values, self.layers, self.image, self.alpha, beside)


@dataclass(frozen=True)
class Beside:
    """What a network made of photos that were shown beside images, each through its image's own transforms.

    `places[i, name]` is where in `seen` the photo of that name stands that was shown beside image i.
    """

    seen: Activations
    places: Mapping[tuple[int, str], int]

    def of(self, tap: Tap, rows: Tensor, names: Sequence[str]) -> Float[Tensor, "m ..."]:
        """What photo `names[i]` beside image `rows[i]` gave at a layer."""
        places = [self.places[row, name] for row, name in zip(rows.tolist(), names, strict=True)]
        return self.seen[tap][torch.tensor(places, device=rows.device)]

    def rows(self, rows: Tensor) -> Beside:
        """The same for some images of the batch only."""
        new = [
            (i, name, place)
            for i, row in enumerate(rows.tolist())
            for (r, name), place in self.places.items()
            if r == row
        ]
        return Beside(self.seen, {(i, name): place for i, name, place in new})


class _Cut(BaseException):
    """Leaves a forward behind the last requested call; not an Exception, so that no model code swallows it."""


class _Hook:
    """A forward hook that hears the thread it was made in: another may be running the same network."""

    def __init__(self, heard: Callable[[nn.Module, Any], Any]) -> None:
        self._heard = heard
        self._thread = threading.get_ident()

    def __call__(self, module: nn.Module, inputs: Any, result: Any) -> Any:
        return self._heard(module, result) if threading.get_ident() == self._thread else None

    def __deepcopy__(self, memo: Any) -> _Hook:
        return self


@contextmanager
def _hooked(module: nn.Module, heard: Callable[[nn.Module, Any], Any]) -> Iterator[None]:
    with _hooking:
        handle = module.register_forward_hook(_Hook(heard))
    try:
        yield
    finally:
        with _hooking:
            handle.remove()


def copy_without_taps(module: nn.Module, *, sharing_parameters: bool = False) -> nn.Module:
    """A deep copy with the network's own hooks only, also while another thread is tapping the original.

    With `sharing_parameters` it has modules and buffers of its own, but the same parameters.
    """
    shared = {id(parameter): parameter for parameter in module.parameters()} if sharing_parameters else {}
    with _hooking:
        copied = copy.deepcopy(module, shared)
    for part in copied.modules():
        for key in [key for key, hook in part._forward_hooks.items() if isinstance(hook, _Hook)]:
            del part._forward_hooks[key]
    return copied


class Listener:
    """Takes the requested calls of one forward, and changes those that have an edit."""

    def __init__(self, taps: Iterable[Tap], layers: Mapping[str, Layer], edits: Mapping[str, Edit]) -> None:
        self.wanted: dict[str, list[Tap]] = {name: [] for name in edits}
        self.edits = edits
        for tap in taps:
            self.wanted.setdefault(tap.layer, []).append(tap)
        self.layers = layers
        self.missing = set(self.wanted)
        self.record = NonlinearityRecord() if any(tap.pre for tap in taps) else None
        self.values: dict[Tap, Tensor] = {}
        self._calls: Counter[str] = Counter()

    def hook(self, module_name: str) -> Callable[[nn.Module, Any], Any]:
        def listen(module: nn.Module, result: Any) -> Any:
            self._calls[module_name] += 1
            name = call_name(module_name, self._calls[module_name])
            if name not in self.missing or (value := first_tensor(result)) is None:
                return None
            edited = self.edited(name, value)
            self.take(name, edited)
            if not self.missing:
                raise _Cut
            return None if edited is value else with_first_tensor(result, edited)

        return listen

    def edited(self, name: str, value: Tensor) -> Tensor:
        """What goes on through the network in place of this value: itself where nobody edits it."""
        if name not in self.edits:
            return value
        axes = self.layers[name].axes
        changed = self.edits[name](normalise_axes(value, axes))
        changed = changed.to(value.dtype)
        back = {"bhwc": (0, 2, 3, 1), "bcn": (0, 2, 1)}.get(axes)
        changed = changed if back is None else changed.permute(back)
        if changed.shape != value.shape:
            raise TargetError(f"an edit of {name} gave {list(changed.shape)} in place of {list(value.shape)}")
        return changed

    def take(self, name: str, value: Tensor) -> None:
        self.missing.discard(name)
        for tap in self.wanted[name]:
            before = self.record.before(value) if tap.pre and self.record is not None else None
            kept = value if before is None else before
            # What follows may overwrite the tensor in place (ReLU(inplace), `out += identity`); nothing follows a cut.
            kept = kept.clone() if self.missing else kept
            self.values[tap] = normalise_axes(kept, self.layers[name].axes)


def tapped_forward(
    run: Callable[[], Tensor],
    modules: Mapping[str, nn.Module],
    taps: Iterable[Tap],
    layers: Mapping[str, Layer],
    image: Tensor,
    edits: Mapping[str, Edit] | None = None,
) -> Activations:
    """Run a forward and take the tapped layers; what an edit changes is tapped, and goes on, as changed.

    Tapped and edited layers must be among `layers`.

    Raises:
        TargetError: a layer that the forward did not reach this time.
    """
    taps = tuple(dict.fromkeys(taps))
    listener = Listener(taps, layers, edits or {})
    listened(listener, run, modules, image)
    return Activations(listener.values, layers, image)


def listened(
    listener: Listener, run: Callable[[], Tensor], modules: Mapping[str, nn.Module], without: Tensor | None
) -> None:
    """Run a forward with a listener's hooks; `without` any wish, it stands for the output."""
    with ExitStack() as stack:
        for module_name in {name.partition("#")[0] for name in listener.wanted if name != OUTPUT}:
            stack.enter_context(_hooked(modules[module_name], listener.hook(module_name)))
        if listener.record is not None:
            stack.enter_context(listener.record)
        try:
            output = run() if listener.wanted else without
        except _Cut:
            output = None
    if output is not None and OUTPUT in listener.missing:
        listener.take(OUTPUT, listener.edited(OUTPUT, output))
    if listener.missing:
        missing = sorted(listener.missing)[0]
        raise TargetError(f"layer {missing!r} was not reached by this forward, but by the one that listed the layers")


def record_calls(run: Callable[[], Any], modules: Mapping[str, nn.Module]) -> list[tuple[str, nn.Module, torch.Size]]:
    """Run a forward once and list every module call: name, module, shape of its tensor; in finishing order."""
    calls: list[tuple[str, nn.Module, torch.Size]] = []
    counts: Counter[str] = Counter()

    def recorder(module_name: str) -> Callable[[nn.Module, Any], None]:
        def listen(module: nn.Module, result: Any) -> None:
            counts[module_name] += 1
            value = first_tensor(result)
            shape = value.shape if value is not None else torch.Size()
            calls.append((call_name(module_name, counts[module_name]), module, shape))

        return listen

    with ExitStack() as stack:
        for module_name, module in modules.items():
            stack.enter_context(_hooked(module, recorder(module_name)))
        run()
    return calls
