"""A network with its declared input contract: what everything else in Pellucid looks through."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pellucid.errors import ModelError, TargetError, WeightsError, did_you_mean
from pellucid.models.layers import Axes, Layer, first_tensor, layers_of_calls
from pellucid.models.taps import OUTPUT, Activations, Tap, record_calls, tapped_forward

__all__ = ["Model", "Precision"]

Precision = Literal["float64", "float32", "bfloat16", "float16"]
_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32, "float64": torch.float64}
_PROBE_BATCH = 2  # tells a batch axis from an axis of length one


class Model:
    """Any PyTorch vision network, ready to be looked into.

    Takes images `[b, channels, h, w]` in `value_range` and normalises them itself. It works on a frozen, private copy
    in evaluation mode: the module you pass is never hooked, moved, cast or switched, and changing it later does not
    change the Model.

    Args:
        module: the network.
        mean, std: per channel, in the units of `value_range`; None does not normalise. Nothing is guessed.
        size: pixels the network was made for, one number or (height, width).
        channels: of the input; by default as many as `mean` has, else 3.
        value_range: lowest and highest input value, before normalisation.
        classes: names of the outputs, in order.
        forward: `(module, normalised images) -> result`, for networks that want more than a tensor.
        output: how to take the logits `[b, k]` from the result: a key, an index, or a function. By default the tensor
            itself, or `logits` or `out` of a dict or ModelOutput, or its first tensor.
        axes: layer name -> "bchw", "bhwc", "bnc" or "bcn", where the shapes alone mislead.

    Raises:
        ModelError: the module cannot be copied, or the contract is inconsistent.
        WeightsError: a weight is NaN or infinite.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        name: str | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        size: int | tuple[int, int] = 224,
        channels: int | None = None,
        value_range: tuple[float, float] = (0.0, 1.0),
        classes: Sequence[str] | None = None,
        forward: Callable[[nn.Module, Tensor], Any] | None = None,
        output: Callable[[Any], Tensor] | str | int | None = None,
        axes: Mapping[str, Axes] | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise ModelError(f"pl.Model takes a torch.nn.Module, not {type(module).__name__}")
        self.name = name or type(module).__name__
        self.size = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
        self.channels = channels or (len(mean) if mean is not None else 3)
        self.value_range = value_range
        self.classes = tuple(classes) if classes is not None else None
        self.precision: Precision = "float32"
        for label, values in (("mean", mean), ("std", std)):
            if values is not None and len(values) != self.channels:
                raise ModelError(f"{label} has {len(values)} values, but {self.name} has {self.channels} input channels")
        if std is not None and min(std) <= 0:
            raise ModelError(f"std must be positive, but it is {tuple(std)}")
        if self.size[0] < 1 or self.size[1] < 1 or not value_range[0] < value_range[1]:
            raise ModelError(f"size {self.size} or value_range {value_range} is empty")
        self.mean = tuple(mean) if mean is not None else (0.0,) * self.channels
        self.std = tuple(std) if std is not None else (1.0,) * self.channels
        self._forward, self._output, self._declared_axes = forward, output, dict(axes or {})
        self._layers_at: dict[tuple[int, int], dict[str, Layer]] = {}
        self._module = _private_copy(module, self.name)
        if device is not None:
            self._module.to(device)
        self._refresh()

    def _refresh(self) -> None:
        """Derive what follows from the private module: its device, the modules by name, the normalisation."""
        tensors = [*self._module.parameters(), *self._module.buffers()]
        self.device = tensors[0].device if tensors else torch.device("cpu")
        self._modules_by_name = {name: module for name, module in self._module.named_modules() if name}
        dtype = torch.float64 if self.precision == "float64" else torch.float32
        self._mean = torch.tensor(self.mean, device=self.device, dtype=dtype).view(-1, 1, 1)
        self._std = torch.tensor(self.std, device=self.device, dtype=dtype).view(-1, 1, 1)

    def __repr__(self) -> str:
        h, w = self.size
        return f"<Model {self.name}: {self.channels} x {h} x {w} px, {self.precision} on {self.device}>"

    def at(self, *, device: torch.device | str | None = None, precision: Precision = "float32") -> Model:
        """The same network on another device or at another precision, as a copy of its own.

        Below float32, convolution and linear weights are cast and the forward runs under autocast.
        """
        other = copy.copy(self)
        other._module = copy.deepcopy(self._module)
        other.precision = precision
        other._layers_at = dict(self._layers_at)
        if device is not None:
            other._module.to(device)
        if precision == "float64":
            other._module.double()
        elif precision in ("bfloat16", "float16"):
            for module in other._module.modules():
                if isinstance(module, (nn.Conv2d, nn.Linear)):  # cast once here, instead of by autocast at every step
                    module.to(_DTYPES[precision])
        if any(p.ndim == 4 for p in other._module.parameters()):
            other._module.to(memory_format=torch.channels_last)
        other.__dict__.pop("weights_hash", None)
        other.__dict__["weights_hash"] = self.weights_hash  # the identity of a network is that of its original weights
        other._refresh()
        return other

    @cached_property
    def weights_hash(self) -> str:
        """SHA-256 over names, types and bytes of all parameters and buffers, as 16 hex digits."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self._module.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:16]

    @property
    def layers(self) -> dict[str, Layer]:
        """The layers by name, in forward order, at the network's own size; found by running it once."""
        return self.layers_at(self.size)

    def layers_at(self, size: tuple[int, int]) -> dict[str, Layer]:
        """The layers for pictures of another size.

        Raises:
            ModelError: the network cannot run at this size.
        """
        if size not in self._layers_at:
            low, high = self.value_range
            probe = torch.rand(_PROBE_BATCH, self.channels, *size, generator=torch.Generator().manual_seed(0))
            probe = (low + probe * (high - low)).to(self.device, self._mean.dtype)
            outputs: list[Tensor] = []
            with torch.no_grad():
                calls = record_calls(lambda: outputs.append(self._run(probe)), self._modules_by_name)
            layers = layers_of_calls(calls, _PROBE_BATCH, size, self._declared_axes)
            output = outputs[0]
            if output.ndim == 2 and len(output) == _PROBE_BATCH:
                layers[OUTPUT] = Layer(OUTPUT, "output", "bc", (output.shape[1],), output.shape[1])
                self._sums_to_one = bool((output >= 0).all() and (output.sum(1) - 1).abs().max() < 1e-3)
            self._layers_at[size] = layers
        return self._layers_at[size]

    @property
    def output_kind(self) -> Literal["logits", "probabilities"]:
        """Whether the network ends in a softmax: read off the outputs of the run that listed its layers."""
        _ = self.layers
        return "probabilities" if getattr(self, "_sums_to_one", False) else "logits"

    def layer(self, name: str, size: tuple[int, int] | None = None) -> Layer:
        """One layer by name.

        Raises:
            TargetError: there is none of this name, or the forward never reaches it.
        """
        layers = self.layers_at(size or self.size)
        if name in layers:
            return layers[name]
        if name in self._modules_by_name:
            kind = type(self._modules_by_name[name]).__name__
            reached = any(layer.startswith(f"{name}.") for layer in layers)
            why = "returns no tensor with the batch first" if reached else "is never reached by the forward"
            raise TargetError(f"layer {name!r} ({kind}) of {self.name} {why} (pellucid layers {self.name})")
        hint = did_you_mean(name, layers)
        raise TargetError(f"no layer {name!r} in {self.name}.{hint} (pellucid layers {self.name})")

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """The network's output, usually logits, for images in `value_range`."""
        return self._run(images)

    __call__ = forward

    def tap(self, images: Float[Tensor, "b c h w"], taps: Iterable[Tap | str]) -> Activations:
        """Run as far as the last of `taps` and return what they saw; differentiable with respect to the images.

        Raises:
            TargetError: an unknown layer, or one that this forward did not reach.
        """
        wanted = [Tap(tap) if isinstance(tap, str) else tap for tap in taps]
        size = (images.shape[-2], images.shape[-1])
        for tap in wanted:
            self.layer(tap.layer, size)
        layers = self.layers_at(size)
        try:
            return tapped_forward(lambda: self._run(images), self._modules_by_name, wanted, layers, images)
        except KeyError as missing:
            raise TargetError(f"layer {missing} of {self.name} was not reached by this forward") from None

    def class_index(self, name: str) -> int:
        """The output that a class name or index stands for: exact, else ignoring case, else the one that contains it.

        Raises:
            TargetError: no class, or several, fit.
        """
        count = self.layer(OUTPUT).units
        if name.isdecimal():
            if int(name) >= count:
                raise TargetError(f"class {name} is out of range: {self.name} has {count} classes, 0 to {count - 1}")
            return int(name)
        if self.classes is None:
            raise TargetError(f"{self.name} has no class names; give an index from 0 to {count - 1} instead of {name!r}")
        folded = [label.casefold() for label in self.classes]
        wanted = name.casefold()
        if wanted in folded:
            return folded.index(wanted)
        parts = [i for i, label in enumerate(folded) if wanted in (part.strip() for part in label.split(","))]
        found = parts or [i for i, label in enumerate(folded) if wanted in label]
        if len(found) == 1:
            return found[0]
        if found:
            options = ", ".join(f"{self.classes[i]!r} ({i})" for i in found[:5])
            raise TargetError(f"class {name!r} of {self.name} could be {options}: give the whole name or its index")
        raise TargetError(f"no class {name!r} in {self.name}.{did_you_mean(name, self.classes)}")

    def _run(self, images: Tensor) -> Tensor:
        normalised = (images - self._mean) / self._std
        try:
            with self._autocast():
                if self._forward is not None:
                    result = self._forward(self._module, normalised)
                else:
                    result = self._module(normalised)
        except (RuntimeError, ValueError, AssertionError, IndexError, TypeError, ZeroDivisionError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            h, w = images.shape[-2:]
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise ModelError(
                f"{self.name} cannot run on pictures of {images.shape[1]} x {h} x {w} px "
                f"(declared: {self.channels} x {self.size[0]} x {self.size[1]}): {reason}"
            ) from error
        return self._picked(result)

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.precision in ("float32", "float64"):
            return nullcontext()
        return torch.autocast(self.device.type, _DTYPES[self.precision])

    def _picked(self, result: Any) -> Tensor:
        """The logits in whatever the network returned."""
        if callable(self._output):
            return self._output(result)
        if self._output is not None:
            value: Tensor = result[self._output]
            return value
        for key in ("logits", "out"):
            value = result.get(key) if isinstance(result, Mapping) else getattr(result, key, None)
            if isinstance(value, Tensor):
                return value
        found = first_tensor(result)
        if found is None:
            raise ModelError(f"{self.name} returned no tensor, but {type(result).__name__}; pass output=…")
        return found


def _private_copy(module: nn.Module, name: str) -> nn.Module:
    """A frozen copy in evaluation mode that shares nothing with the user's module."""
    try:
        private = copy.deepcopy(module)
    except Exception as error:
        raise ModelError(f"{name} cannot be copied ({error}); build it anew inside a factory: FILE.py:factory") from error
    private.eval().requires_grad_(False)
    for key, tensor in private.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise WeightsError(f"{name} has NaN or infinite values in {key!r}; nothing true can be seen through it")
    return private
