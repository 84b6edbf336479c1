"""A network with its declared input contract: what everything else in Pellucid looks through."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pellucid.errors import ModelError, PellucidError, TargetError, did_you_mean, is_out_of_memory, within_memory
from pellucid.models.class_names import class_index
from pellucid.models.delayed_relu import delay_relus
from pellucid.models.folding import fold_batch_norms
from pellucid.models.layers import OUTPUT, Axes, Layer, check_axes, layers_of_calls
from pellucid.models.private_copy import Layout, cast_copy, hash_of_weights, private_copy
from pellucid.models.results import OutputChoice, output_of
from pellucid.models.taps import Activations, Edit, Tap, copy_without_taps, record_calls, tapped_forward
from pellucid.models.value_range import in_range, numbers_of_channels

__all__ = ["Model", "Precision"]

Precision = Literal["float64", "float32", "bfloat16", "float16"]
_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32, "float64": torch.float64}
# What a forward raises on pictures, or on an input form, that its network was not made for.
_CANNOT_RUN = (RuntimeError, ValueError, AssertionError, LookupError, TypeError, AttributeError, ArithmeticError)
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
        output: OutputChoice = None,
        axes: Mapping[str, Axes] | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise ModelError(f"pl.Model takes a torch.nn.Module, not {type(module).__name__}")
        self.name = name or type(module).__name__
        self.size = (int(size), int(size)) if isinstance(size, int) else (int(size[0]), int(size[1]))
        self.mean, self.std = numbers_of_channels("mean", mean), numbers_of_channels("std", std)
        self.channels = channels or (len(self.mean) if self.mean else 3)
        self.value_range = (float(value_range[0]), float(value_range[1]))
        self.classes = tuple(classes) if classes is not None else None
        self.precision: Precision = "float32"
        self.layout: Layout = "channels_last"
        self.num_folded = self.num_delayed = 0
        for label, values in (("mean", self.mean), ("std", self.std)):
            if values and len(values) != self.channels:
                raise ModelError(f"{label} has {len(values)} values, but {self.name} has {self.channels} channels")
        if self.std and not min(self.std) > 0:
            raise ModelError(f"std must be positive, but it is {self.std}")
        if min(self.size) < 1:
            raise ModelError(f"size is a number of pixels or (height, width), both at least 1, and not {size}")
        if not self.value_range[0] < self.value_range[1]:
            raise ModelError(f"value_range is (lowest, highest), and {value_range} is empty")
        self.mean = self.mean or (0.0,) * self.channels
        self.std = self.std or (1.0,) * self.channels
        self._forward, self._output, self._declared_axes = forward, output, dict(axes or {})
        self._layers_at: dict[tuple[int, int], dict[str, Layer]] = {}
        self._called: set[str] = set()  # modules that a forward has reached
        self._module = private_copy(module, self.name).to(device)
        self._refresh()
        check_axes(self._declared_axes, self._modules_by_name, self.name)

    def _refresh(self) -> None:
        """Derive what follows from the private module: its device, the modules by name, the normalisation."""
        tensors = [*self._module.parameters(), *self._module.buffers()]
        self.device = tensors[0].device if tensors else torch.device("cpu")
        self._modules_by_name = {name: module for name, module in self._module.named_modules() if name}
        dtype = torch.float64 if self.precision == "float64" else torch.float32
        mean, std = (torch.tensor(v, device=self.device, dtype=torch.float64) for v in (self.mean, self.std))
        # (x - mean) / std as x * scale + shift: one pass over the pixels, and no division.
        self._scale, self._shift = ((v.to(dtype).view(-1, 1, 1)) for v in (1 / std, -mean / std))

    def __repr__(self) -> str:
        h, w = self.size
        return f"<Model {self.name}: {self.channels} x {h} x {w} px, {self.precision} on {self.device}>"

    def at(
        self,
        *,
        device: torch.device | str | None = None,
        precision: Precision = "float32",
        layout: Layout = "channels_last",
    ) -> Model:
        """The same network on another device, at another precision or memory layout, as a copy of its own.

        Below float32, convolution and linear weights are cast and the forward runs under autocast.

        Raises:
            ModelError: an unknown precision.
        """
        if precision not in _DTYPES:
            raise ModelError(f"no precision {precision!r}. There are: {', '.join(_DTYPES)}.")
        module = cast_copy(self._module, device, _DTYPES[precision], layout)
        return self._with(module, precision=precision, layout=layout)

    def folded(self, kept: Iterable[str] = ()) -> Model:
        """The same network with fewer passes over its maps, where that is exact.

        `num_folded` batch norms are folded into the convolutions before them, and `num_delayed` ReLUs taken behind the
        max-pooling that reads them. A layer may then give what the next one did: name those to be tapped in `kept`.
        """
        _ = self.layers  # found before anything is folded
        other = self._with(copy_without_taps(self._module))
        probe = torch.zeros(1, self.channels, *self.size, device=self.device, dtype=self._scale.dtype)
        with torch.no_grad():
            names = {name.partition("#")[0] for name in kept}
            other.num_folded = fold_batch_norms(other._module, lambda: other._run(probe), names)
            other.num_delayed = delay_relus(other._module, lambda: other._run(probe), names)
        other._refresh()
        return other

    def filled(self, fill: Callable[[nn.Module], object]) -> Model:
        """The same contract with other weights, which `fill` puts into the module that it is given.

        Raises:
            WeightsError: a weight is NaN or infinite.
        """
        module = copy_without_taps(self._module)
        fill(module)
        other = self._with(private_copy(module, self.name), _layers_at={})
        del other.__dict__["weights_hash"]
        return other

    def twin(self) -> Model:
        """The same network with modules of its own and the same parameters: to run beside this one in a thread."""
        return self._with(copy_without_taps(self._module, sharing_parameters=True))

    def _with(self, module: nn.Module, **known: object) -> Model:
        """The same contract and knowledge, around another private module that holds the same network."""
        _ = self.weights_hash  # the identity of a network is that of its original weights
        other = copy.copy(self)
        other.__dict__.update({"_layers_at": dict(self._layers_at), **known, "_module": module})
        other._refresh()
        return other

    @cached_property
    def weights_hash(self) -> str:
        """SHA-256 over names, types and bytes of all parameters and buffers, as 16 hex digits."""
        return hash_of_weights(self._module)

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
            outputs: list[Tensor] = []
            num_bytes = 4 * _PROBE_BATCH * self.channels * size[0] * size[1]
            with torch.no_grad(), within_memory(f"pictures of {size[0]} x {size[1]} px", num_bytes):
                probe = torch.rand(_PROBE_BATCH, self.channels, *size, generator=torch.Generator().manual_seed(0))
                probe = in_range(probe, self.value_range).to(self.device, self._scale.dtype)
                calls = record_calls(lambda: outputs.append(self._run(probe)), self._modules_by_name)
            self._called |= {name.partition("#")[0] for name, _, _ in calls}
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
        if name == OUTPUT:
            raise TargetError(f"{self.name} does not return one row [k] for each picture; pass output=… to pl.Model")
        if name in self._modules_by_name:
            kind = type(self._modules_by_name[name]).__name__
            reached = name in self._called
            why = "returns no tensor with the batch first" if reached else "is never reached by the forward"
            raise TargetError(f"layer {name!r} ({kind}) of {self.name} {why} (pellucid layers {self.name})")
        for twin, module in self._module.named_modules(remove_duplicate=False):
            if twin == name:  # registered a second time: its calls are counted under its first name
                first = next(other for other, known in self._modules_by_name.items() if known is module)
                calls = [layer for layer in layers if layer.partition("#")[0] == first]
                raise TargetError(f"layer {name!r} of {self.name} is the same module as {first!r}: {', '.join(calls)}")
        hint = did_you_mean(name, layers)
        raise TargetError(f"no layer {name!r} in {self.name}.{hint} (pellucid layers {self.name})")

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b ..."]:
        """The network's output, usually logits [b, k], for images in `value_range`.

        Raises:
            ModelError: the network cannot run on pictures of this size or number of channels.
        """
        return self._run(images)

    def __call__(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b ..."]:
        return self.forward(images)

    def tap(
        self, images: Float[Tensor, "b c h w"], taps: Iterable[Tap | str], *, edits: Mapping[str, Edit] | None = None
    ) -> Activations:
        """Run as far as the last of `taps` and return what they saw; differentiable with respect to the images.

        `edits`, layer -> function, replace what a layer says on the way: to ablate a unit, or to take a gradient there.

        Raises:
            TargetError: an unknown layer, or one that this forward did not reach.
        """
        wanted = [Tap(tap) if isinstance(tap, str) else tap for tap in taps]
        size = (images.shape[-2], images.shape[-1])
        for name in (*(tap.layer for tap in wanted), *(edits or ())):
            self.layer(name, size)
        run, layers = (lambda: self._run(images)), self.layers_at(size)
        return tapped_forward(run, self._modules_by_name, wanted, layers, images, edits)

    def class_index(self, name: str) -> int:
        """The output that a class name or index stands for.

        A name fits exactly, else ignoring case, else as one of the synonyms between commas, else as a part.

        Raises:
            TargetError, ModelError: no class, or several, fit; the names are not as many as the outputs.
        """
        return class_index(name, self.classes, self.layer(OUTPUT).units, self.name)

    def _run(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] != self.channels or not images.is_floating_point():
            raise ModelError(
                f"{self.name} takes floats [b, {self.channels}, h, w] from {self.value_range[0]:g} to "
                f"{self.value_range[1]:g}, not {str(images.dtype).removeprefix('torch.')} {list(images.shape)}"
            )
        try:
            with self._autocast():
                normalised = torch.addcmul(self._shift, images.to(self._scale), self._scale)
                result = self._forward(self._module, normalised) if self._forward else self._module(normalised)
        except _CANNOT_RUN as error:
            if is_out_of_memory(error) or isinstance(error, PellucidError):
                raise  # not the network's fault: the ascent goes on with fewer images at once
            h, w = images.shape[-2:]
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise ModelError(
                f"{self.name} cannot run on pictures of {images.shape[1]} x {h} x {w} px "
                f"(declared: {self.channels} x {self.size[0]} x {self.size[1]}): {reason}"
            ) from error
        return output_of(result, self._output, self.name)

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.precision in ("float32", "float64"):
            return nullcontext()
        return torch.autocast(self.device.type, _DTYPES[self.precision])
