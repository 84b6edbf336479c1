"""A forward that is looked at while it runs, layer by layer: for passes over so much that nothing can be kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from jaxtyping import Float
from torch import Tensor

from pellucid.models.layers import Layer
from pellucid.models.model import Model
from pellucid.models.taps import Listener, Tap, listened

__all__ = ["watch"]


def watch(
    model: Model, images: Float[Tensor, "b c h w"], layers: Iterable[str], see: Callable[[Layer, Tensor], None]
) -> None:
    """Run as far as the last of `layers` and show each one's result to `see(layer, result)` the moment it is there.

    The result is the module's own tensor, in its own axis order (`layer.axes`); what follows may overwrite it, so that
    `see` takes from it what is needed. For a layer after another, in the order in which the forward finishes them.

    Raises:
        TargetError: an unknown layer, or one that this forward did not reach.
    """
    names = list(dict.fromkeys(layers))
    size = (images.shape[-2], images.shape[-1])
    for name in names:
        model.layer(name, size)
    watcher = _Watcher(names, model.layers_at(size), see)
    listened(watcher, lambda: model._run(images), model._modules_by_name, None)


class _Watcher(Listener):
    """Shows the requested calls of one forward to a function, and keeps none."""

    def __init__(self, names: Iterable[str], layers: Mapping[str, Layer], see: Callable[[Layer, Tensor], None]) -> None:
        super().__init__([Tap(name) for name in names], layers, {})
        self._see = see

    def take(self, name: str, value: Tensor) -> None:
        self.missing.discard(name)
        self._see(self.layers[name], value)
