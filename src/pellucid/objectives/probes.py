"""Probes: linear readouts of a layer, and the latents of sparse autoencoders, by name or from a file."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, SupportsIndex, cast

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pellucid.errors import TargetError, did_you_mean
from pellucid.models.positions import Position
from pellucid.models.taps import Activations, Tap
from pellucid.objectives.frozen import FrozenTensor
from pellucid.objectives.objective import Leaf, Objective
from pellucid.objectives.response import places

__all__ = ["Probe", "find_probe", "linear_probe", "probe", "read_probe", "save_probe"]

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Probe:
    """Linear readouts W z + b of a layer's activations z: `weight` [k, c], `bias` [k]."""

    layer: str
    weight: FrozenTensor
    bias: FrozenTensor


@dataclass(frozen=True)
class Readout(Leaf):
    """One linear readout <w, z> + b, in the mean over positions: `weight` [c], `bias` []."""

    layer: str
    weight: FrozenTensor
    bias: FrozenTensor
    position: Position | None = None

    @property
    def taps(self) -> tuple[Tap, ...]:
        """The layer; never before its rectifier, where the probe was not fitted."""
        return (Tap(self.layer),)

    @property
    def family(self) -> Hashable:
        """Readouts of one layer at one place."""
        return self.layer, self.position, self.weight.shape

    @classmethod
    def score(cls, activations: Activations, rows: Tensor, leaves: Sequence[Leaf]) -> Float[Tensor, " m"]:
        """Mean over positions of <w, z> + b."""
        readouts = cast("Sequence[Readout]", leaves)
        first = readouts[0]
        maps = places(activations[first.taps[0]], activations.layers[first.layer], first.position)[rows]
        maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
        if first.weight.shape != (maps.shape[1],):
            raise TargetError(f"a probe of {first.layer} has {maps.shape[1]} weights, not {list(first.weight.shape)}")
        weights = torch.stack([leaf.weight.like(maps) for leaf in readouts])
        biases = torch.stack([leaf.bias.like(maps) for leaf in readouts])
        return (maps * weights[:, :, None, None]).sum(1).mean((1, 2)) + biases


def linear_probe(layer: str, weight: Any, *, bias: Any = 0.0, center: Any = None) -> Probe:
    """A probe of a layer: W (z - center) + bias.

    `weight` is [c], or [k, c] for the k latents of a sparse autoencoder or of CRAFT; `bias` is one number or [k];
    `center` [c] is what is taken off the activations first. A latent's nonlinearity is left out: where it is off it has
    no gradient.

    Raises:
        TargetError: shapes that do not fit together, or numbers that are not finite.
    """
    w = torch.as_tensor(weight).detach().double()
    w = w[None] if w.ndim == 1 else w
    b = torch.as_tensor(bias).detach().double()
    if w.ndim != 2 or b.ndim > 1 or b.numel() not in (1, len(w)):
        raise TargetError(f"a probe has weights [c] or [k, c] and as many biases, not {list(w.shape)}, {list(b.shape)}")
    b = b.expand(len(w))
    if center is not None:
        middle = torch.as_tensor(center).detach().double()
        if middle.shape != w.shape[1:]:
            raise TargetError(f"a probe of {w.shape[1]} channels has no center of shape {list(middle.shape)}")
        b = b - (w * middle).sum(1)
    return Probe(layer, FrozenTensor.of(w.float()), FrozenTensor.of(b.float()))


def probe(probe: Probe, latent: SupportsIndex = 0, *, position: Position | None = None) -> Objective:
    """Score each image by a linear readout, <w, z> + b, in the mean over positions.

    `latent` picks one of several.

    Raises:
        TargetError: no such latent.
    """
    index, count = int(latent), probe.weight.shape[0]
    if not 0 <= index < count:
        raise TargetError(f"latent {index} is out of range: the probe of {probe.layer} has {count}, 0 to {count - 1}")
    exact = torch.empty(0, dtype=torch.float32)
    weight, bias = probe.weight.like(exact)[index], probe.bias.like(exact)[index]
    return Objective(((1.0, Readout(probe.layer, FrozenTensor.of(weight), FrozenTensor.of(bias), position)),))


def save_probe(probe: Probe, file: str | Path) -> None:
    """Write a probe to a `.safetensors` file, which `read_probe` and `probe:FILE.safetensors` read back."""
    exact = torch.empty(0, dtype=torch.float32)
    tensors = {"weight": probe.weight.like(exact), "bias": probe.bias.like(exact)}
    save_file(tensors, file, metadata={"layer": probe.layer})


def read_probe(file: str | Path) -> Probe:
    """The probe in a `.safetensors` file: `weight` [c] or [k, c], perhaps `bias` and `center`; metadata `layer`.

    Raises:
        TargetError: the file cannot be read or holds no probe.
    """
    try:
        with safe_open(str(file), framework="pt") as opened:
            layer = (opened.metadata() or {}).get("layer")
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - it is no dict
    except (OSError, SafetensorError) as error:
        raise TargetError(f"cannot read the probe {file}: {error}") from None
    unknown = set(tensors) - {"weight", "bias", "center"}
    if layer is None or "weight" not in tensors or unknown:
        raise TargetError(
            f"{file} is no probe: it needs a tensor 'weight' (perhaps 'bias', 'center') and 'layer' in its metadata"
        )
    return linear_probe(layer, tensors["weight"], bias=tensors.get("bias", 0.0), center=tensors.get("center"))


def find_probe(name: str, registered: Mapping[str, Probe]) -> tuple[Probe, int]:
    """The probe and latent that `NAME`, `NAME#12` or `FILE.safetensors#12` stands for; without `#`, the only one.

    Raises:
        TargetError: none of this name, or a file that holds none, or several latents and no number.
    """
    head, mark, tail = name.rpartition("#")
    base, latent = (head, int(tail)) if mark and tail.isdecimal() and name not in registered else (name, None)
    if base in registered:
        found = registered[base]
    elif base.endswith(SUFFIX):
        found = read_probe(base)
    else:
        hint = did_you_mean(base, registered) or (f" There are: {', '.join(registered)}." if registered else "")
        raise TargetError(f"no probe {base!r} is registered.{hint} A file's name ends in {SUFFIX}")
    count = found.weight.shape[0]
    if latent is None and count > 1:
        raise TargetError(f"probe {base!r} has {count} latents; pick one, as in {base}#0")
    return found, latent or 0
