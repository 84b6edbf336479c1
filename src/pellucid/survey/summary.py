"""What a pass keeps of every unit's map on one picture: its mean, its peak before the rectifier, and where that is."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import torch
from jaxtyping import Float, Int32
from torch import Tensor
from torch.overrides import TorchFunctionMode

from pellucid.models.gradients import argument, clipping_of
from pellucid.models.layers import Layer, normalise_axes
from pellucid.models.model import Model
from pellucid.models.watching import watch
from pellucid.objectives.response import places

__all__ = ["Summary", "summarise"]

_CONCATENATE = {torch.cat, torch.concat, torch.concatenate}


@dataclass(frozen=True)
class Summary:
    """Of every unit (all layers side by side) on every picture of a batch, float32 [b, n].

    `means` are those over positions of what the layer returns. `peaks` are the highest values over positions, before
    the rectifier where one ends the layer, so that units that are off differ, too; a unit fires where its peak is above
    zero. `places` say where the peak is, as row * columns + column of the layer's map (the token grid's).
    """

    means: Float[Tensor, "b n"]
    peaks: Float[Tensor, "b n"]
    places: Int32[Tensor, "b n"]


@dataclass(frozen=True)
class _Peaks:
    values: Float[Tensor, "b n"]
    places: Int32[Tensor, "b n"]

    @classmethod
    def of(cls, value: Float[Tensor, "b h w n"]) -> _Peaks:
        """The highest values over positions. By rows first, then the column in the best row alone: two looks at few."""
        b, _, w, n = value.shape
        best, row = value.amax(2).max(1)
        line = value.gather(1, row[:, None, None, :].expand(b, 1, w, n))[:, 0]
        return cls(best.float(), (row * w + line.max(1).indices).int())

    @classmethod
    def beside(cls, parts: Sequence[_Peaks]) -> _Peaks:
        return cls(torch.cat([part.values for part in parts], 1), torch.cat([part.places for part in parts], 1))


def summarise(model: Model, images: Float[Tensor, "b c h w"], layers: Sequence[str]) -> Summary:
    """One forward, of which nothing is kept but what `Summary` says; `images` are in the network's range.

    Raises:
        TargetError: an unknown layer.
    """
    record = _PeakRecord()
    found: dict[str, tuple[Tensor, _Peaks]] = {}

    def see(layer: Layer, value: Tensor) -> None:
        found[layer.name] = record.mean_of(layer, value), record.peaks_of(layer, value)

    with torch.no_grad(), record:
        watch(model, images, layers, see)
    pairs = [found[name] for name in layers]
    return Summary(
        torch.cat([mean for mean, _ in pairs], 1).cpu(),
        torch.cat([peaks.values for _, peaks in pairs], 1).cpu(),
        torch.cat([peaks.places for _, peaks in pairs], 1).cpu(),
    )


class _PeakRecord(TorchFunctionMode):
    """Takes peaks where they are cheapest: of a rectifier's input, once for all layers that share it.

    A convolution, the rectifier behind it, the block that both stand in and a concatenation of such share them, and
    nothing of the network's tensors is held: they are known by weak references.
    """

    def __init__(self) -> None:
        super().__init__()
        self._peaks: _Known[_Peaks] = _Known()
        self._means: _Known[Tensor] = _Known()

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        call = (args, kwargs or {})
        if clipping_of(func, call) is not None:
            source = argument(call, 0, "input")
            peaks = self._peaks_before(source)
            result = func(*args, **call[1])
            if peaks is not None:
                self._peaks.keep(result, peaks)
            return result
        result = func(*args, **call[1])
        if func in _CONCATENATE and argument(call, 1, "dim", call[1].get("axis", 0)) in (1, 1 - result.ndim):
            parts = argument(call, 0, "tensors")
            if all(known := [self._peaks.of(part) for part in parts]):
                self._peaks.keep(result, _Peaks.beside(cast("list[_Peaks]", known)))
            if all(self._means.of(part) is not None for part in parts):
                self._means.keep(result, torch.cat([cast("Tensor", self._means.of(part)) for part in parts], 1))
        return result

    def _peaks_before(self, value: Tensor) -> _Peaks | None:
        """The peaks of what goes into a rectifier: a map with its channels first, or a row; None of anything else."""
        if value.ndim not in (2, 4):
            return None
        return self._peaks.of(value) or self._peaks.keep(value, _Peaks.of(_as_map(value)))

    def peaks_of(self, layer: Layer, value: Tensor) -> _Peaks:
        """The peaks of a layer's result, before the rectifier that ends it where one does."""
        if layer.axes in ("bchw", "bc") and (known := self._peaks.of(value)):
            return known
        return self._peaks.keep(value, _Peaks.of(_positions(layer, value)))

    def mean_of(self, layer: Layer, value: Tensor) -> Float[Tensor, "b n"]:
        """The means over positions of a layer's result, float32."""
        known = self._means.of(value)
        return self._means.keep(value, _mean(_positions(layer, value))) if known is None else known


def _as_map(value: Tensor) -> Float[Tensor, "b h w n"]:
    """Channels-first maps, or rows, with their units last."""
    return value[:, None, None, :] if value.ndim == 2 else value.permute(0, 2, 3, 1)


def _positions(layer: Layer, value: Tensor) -> Float[Tensor, "b h w n"]:
    """A layer's result as a map with its units last: tokens on their grid, without the prefix."""
    return places(normalise_axes(value, layer.axes), layer).permute(0, 2, 3, 1)


def _mean(value: Float[Tensor, "b h w n"]) -> Float[Tensor, "b n"]:
    # By rows first: within one row half precision loses little, and what is left to be widened is small. Sums, because
    # torch's mean of bfloat16 takes four times as long on a CPU.
    return value.sum(2).sum(1, dtype=torch.float32) / (value.shape[1] * value.shape[2])


_T = TypeVar("_T")


class _Known(Generic[_T]):
    """What is known of tensors, as they were: of one that was written over since, nothing."""

    def __init__(self) -> None:
        self._entries: dict[int, tuple[weakref.ref[Tensor], int, _T]] = {}

    def keep(self, tensor: Tensor, known: _T) -> _T:
        self._entries[id(tensor)] = weakref.ref(tensor), tensor._version, known
        return known

    def of(self, tensor: Tensor) -> _T | None:
        """What was kept of this very tensor, unless it was changed."""
        reference, version, known = self._entries.get(id(tensor), (None, 0, None))
        return known if reference is not None and reference() is tensor and tensor._version == version else None
