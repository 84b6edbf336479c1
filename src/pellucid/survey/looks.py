"""Looks at the maps of a running forward: their means, and their peaks before the rectifier."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, TypeVar, cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode, handle_torch_function

from pellucid.models.gradients import CONCATENATE, Arguments, argument, clipping_of, is_in_place
from pellucid.models.layers import Layer, normalise_axes
from pellucid.objectives.response import places
from pellucid.survey.clipping import clip_by_bits, clips_by_bits

__all__ = ["Looks", "Overwritten", "Peaks"]

_NEAR_BYTES = 3 * 2**19  # of a map that is read again: what stays in a core's cache (2 MB on today's servers)


@dataclass(frozen=True)
class Peaks:
    """The highest values of some units' maps, in the network's precision, and where they are."""

    values: Float[Tensor, "b n 1 1"]
    places: Int64[Tensor, "b n 1 1"]

    @classmethod
    def of(cls, value: Float[Tensor, "b n h w"]) -> Peaks:
        """Over positions; of equal values the first, row by row."""
        if _goes_along_units(value):
            return cls(*F.max_pool2d(value, value.shape[2:], return_indices=True))
        best, place = value.flatten(2).max(2)
        return cls(best[:, :, None, None], place[:, :, None, None])

    @classmethod
    def joined(cls, parts: Sequence[Peaks], axis: int) -> Peaks:
        """Those of several units, or pictures, as one."""
        return cls(torch.cat([part.values for part in parts], axis), torch.cat([part.places for part in parts], axis))


_AllPeaks = tuple[Peaks, ...]  # a concatenation's are those of its parts, side by side
_AllMeans = tuple[Tensor, ...]


class Overwritten(BaseException):
    """A map that waited for its look was changed by something that no `TorchFunctionMode` sees (a scripted function).

    Not an Exception, so that no model code swallows it.
    """


@dataclass
class _Waiting:
    """A map that some layers returned, and that nothing was done with since."""

    value: Tensor
    version: int
    names: list[str]


class Looks(TorchFunctionMode):
    """What is seen of the maps of one forward: `means` over positions and `peaks`, by the names of layers.

    Peaks are taken where they are cheapest: of a rectifier's input, once for all layers that share it. A convolution,
    the rectifier behind it, the block that both stand in and a concatenation of such share them. Nothing of the
    network's tensors is held: they are known by weak references.

    A map that a cache does not hold waits for what comes next. Where that is a rectifier in place, looks and rectifier
    go over it together, a few pictures at a time, so that it comes from memory once and not four times.

    Args:
        waits: False looks at every map at once.

    Raises:
        Overwritten: inside the forward.
    """

    def __init__(self, *, waits: bool = True) -> None:
        super().__init__()
        self.means: dict[str, _AllMeans] = {}
        self.peaks: dict[str, _AllPeaks] = {}
        self._known_means: _Known[_AllMeans] = _Known()
        self._known_peaks: _Known[_AllPeaks] = _Known()
        self._waits = waits
        self._waiting: _Waiting | None = None

    def see(self, layer: Layer, value: Tensor) -> None:
        """Look at what a layer returned, now or with the rectifier behind it."""
        # As one call: each that it makes would come by here, too, and there are thousands in a forward.
        handle_torch_function(self._see, (value,), layer, value)

    def finish(self) -> None:
        """Look at what still waits, behind the forward."""
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return
        if waiting.value._version != waiting.version:
            raise Overwritten
        value, knows_peaks = waiting.value, self._known_peaks.of(waiting.value) is not None
        looked = [(_mean(near), None if knows_peaks else Peaks.of(near)) for near in _near(value)]
        means = self._known_means.keep(value, (torch.cat([mean for mean, _ in looked]),))
        found = [peaks for _, peaks in looked if peaks is not None]
        peaks = self._known_peaks.of(value) or self._known_peaks.keep(value, (Peaks.joined(found, 0),))
        self._found(waiting.names, means, peaks)

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        call = (args, kwargs or {})
        if func == self._see:
            return self._see(*args)
        if clipping_of(func, call) is not None:
            return self._rectified(func, call)
        self.finish()
        result = func(*args, **call[1])
        if func in CONCATENATE and argument(call, 1, "dim", call[1].get("axis", 0)) in (1, 1 - result.ndim):
            parts = argument(call, 0, "tensors")
            self._known_peaks.keep_beside(result, parts)
            self._known_means.keep_beside(result, parts)
        return result

    def _see(self, layer: Layer, value: Tensor) -> None:
        if self._waiting is not None and self._waiting.value is value:
            self._waiting.names.append(layer.name)
            return
        self.finish()
        if layer.axes not in ("bchw", "bc"):
            as_map = places(normalise_axes(value, layer.axes), layer)
            self._found([layer.name], (_mean(as_map),), (Peaks.of(as_map),))
        elif self._waits and _is_far(value) and self._known_means.of(value) is None:
            self._waiting = _Waiting(value, value._version, [layer.name])
        else:
            self._found([layer.name], self._means_of(value), self._peaks_of(value))

    def _rectified(self, func: Callable[..., Any], call: Arguments) -> Any:
        """What a rectifier returns; it has the peaks of its input."""
        source = argument(call, 0, "input")
        if self._waiting is not None and self._waiting.value is source and is_in_place(func, call):
            return self._rectified_near(func, call, self._waiting)
        self.finish()
        if source.ndim not in (2, 4):
            return func(*call[0], **call[1])
        peaks = self._peaks_of(source)
        result = _clipped(func, call, source, peaks)
        self._known_peaks.keep(result, peaks)
        return result

    def _rectified_near(self, func: Callable[..., Any], call: Arguments, waiting: _Waiting) -> Tensor:
        """Rectify in place the map that waits, and look at it before and behind, while it is near."""
        source, self._waiting = waiting.value, None
        if source._version != waiting.version:
            raise Overwritten
        before, peaks, behind = [], [], []
        for near in _near(source):
            before.append(_mean(near))
            peaks.append(Peaks.of(near))
            _clipped(func, call, near, peaks[-1:])
            behind.append(_mean(near))
        shared = (Peaks.joined(peaks, 0),)
        self._found(waiting.names, (torch.cat(before),), shared)
        self._known_peaks.keep(source, shared)
        self._known_means.keep(source, (torch.cat(behind),))
        return source

    def _found(self, names: Sequence[str], means: _AllMeans, peaks: _AllPeaks) -> None:
        for name in names:
            self.means[name], self.peaks[name] = means, peaks

    def _means_of(self, value: Tensor) -> _AllMeans:
        """The means of a map with its channels first, or of a row."""
        return self._known_means.of(value) or self._known_means.keep(value, (_mean(_as_map(value)),))

    def _peaks_of(self, value: Tensor) -> _AllPeaks:
        """The peaks of a map with its channels first, or of a row: before the rectifier, where it ended in one."""
        return self._known_peaks.of(value) or self._known_peaks.keep(value, (Peaks.of(_as_map(value)),))


def _clipped(func: Callable[..., Any], call: Arguments, source: Tensor, peaks: Sequence[Peaks]) -> Tensor:
    """What this call of a rectifier makes of `source`, by its bits where no NaN would be lost: then a peak is one."""
    is_relu = clipping_of(func, call) == float("inf")
    if is_relu and clips_by_bits(source) and not any(part.values.isnan().any() for part in peaks):
        return clip_by_bits(source, in_place=is_in_place(func, call))
    args, kwargs = ((source, *call[0][1:]), call[1]) if call[0] else ((), {**call[1], "input": source})
    result: Tensor = func(*args, **kwargs)
    return result


def _as_map(value: Tensor) -> Float[Tensor, "b n h w"]:
    return value[:, :, None, None] if value.ndim == 2 else value


def _goes_along_units(value: Float[Tensor, "b n h w"]) -> bool:
    """Whether a CPU's pooling serves: several times as fast as a reduction, where the units lie side by side."""
    return value.device.type == "cpu" and value.stride(1) == 1


def _is_far(value: Tensor) -> bool:
    """Whether the map is one that no cache holds whole, and that a look goes over by pictures."""
    return value.ndim == 4 and value.nbytes > 2 * _NEAR_BYTES and _goes_along_units(value)


def _near(value: Float[Tensor, "b n h w"]) -> Iterator[Float[Tensor, "k n h w"]]:
    """A far map some pictures at a time, as many as a cache holds."""
    yield from value.split(max(1, _NEAR_BYTES * len(value) // value.nbytes))


def _mean(value: Float[Tensor, "b n h w"]) -> Float[Tensor, "b n 1 1"]:
    if _goes_along_units(value):
        return F.avg_pool2d(value, value.shape[2:])
    # By rows first: within one row half precision loses little, and what is left to be widened is small. Sums, because
    # torch's mean of bfloat16 takes four times as long on a CPU.
    summed = value.sum(3, keepdim=True).sum(2, keepdim=True, dtype=torch.float32)
    return summed / (value.shape[2] * value.shape[3])


_T = TypeVar("_T", bound=tuple[Any, ...])


class _Known(Generic[_T]):
    """What is known of tensors, as they were: of one that was written over since, nothing."""

    def __init__(self) -> None:
        self._entries: dict[int, tuple[weakref.ref[Tensor], int, _T]] = {}

    def keep(self, tensor: Tensor, known: _T) -> _T:
        self._entries[id(tensor)] = weakref.ref(tensor), tensor._version, known
        return known

    def keep_beside(self, tensor: Tensor, parts: Sequence[Tensor]) -> None:
        """A concatenation of tensors that are all known is known."""
        known = [self.of(part) for part in parts]
        if all(known):
            self.keep(tensor, cast("_T", tuple(chain.from_iterable(cast("list[_T]", known)))))

    def of(self, tensor: Tensor) -> _T | None:
        """What was kept of this very tensor, unless it was changed."""
        reference, version, known = self._entries.get(id(tensor), (None, 0, None))
        return known if reference is not None and reference() is tensor and tensor._version == version else None
