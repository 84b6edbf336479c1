"""Where exhibits are made: the network that is looked into, the others at hand, photos and the number of steps."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

import pellucid as pl
from pellucid.errors import TargetError
from pellucid.models.layers import Layer

__all__ = ["PHOTOS", "SURE", "TREE", "Hall", "stages_of"]

TREE = Path(__file__).parents[1]
PHOTOS = ("cat", "coffee", "rocket", "astronaut")
"""Photos of scikit-image that may be redistributed."""

SURE = pl.Recipe(precision="float32", trial=False)
"""The default recipe, without what is chosen by the machine: numbers and verdicts are not to depend on it."""

# Kinds of layers that are no stage by themselves, by how their names begin.
_BETWEEN = (
    "MaxPool",
    "AvgPool",
    "Adaptive",
    "BatchNorm",
    "LayerNorm",
    "GroupNorm",
    "Dropout",
    "Identity",
    "ReLU",
    "SiLU",
)
_CAFFE_MEAN = tuple(value / 255 for value in (123.68, 116.779, 103.939))


@dataclass(frozen=True)
class Hall:
    """What every item is given.

    `thrift` divides the number of steps: 1 for the real thing, more for a look at whether everything runs.
    """

    model: pl.Model
    thrift: int = 1
    shared: Path = field(default_factory=lambda: Path(os.environ.get("PELLUCID_SHARED", TREE.parent / "shared")))

    @property
    def is_default(self) -> bool:
        """Whether this is the embedded network, beside whose pictures stands what was seen in them."""
        return self.model.name == "default"

    def steps(self, count: int) -> int:
        """As many steps as an item asks for, or fewer where the hall is thrifty."""
        return max(2, count // self.thrift)

    @cached_property
    def first_convolution(self) -> Layer:
        """The layer that reads the pixels: linear in them.

        Raises:
            TargetError: the network has no two-dimensional convolution.
        """
        for layer in self.model.layers.values():
            if layer.kind == "Conv2d":
                return layer
        raise TargetError(f"{self.model.name} has no Conv2d, and so no first-layer filter to show")

    @cached_property
    def stages(self) -> tuple[str, ...]:
        """The network's large parts that return maps, in forward order: `conv1`, `mixed3a` …, `features.12`."""
        return stages_of(self.model)

    def stage(self, depth: float) -> str:
        """The stage at a depth, from 0 (the first) to 1 (the last)."""
        return self.stages[round(depth * (len(self.stages) - 1))]

    @property
    def middle(self) -> str:
        """The document's `mixed4a` where the network has it, else the stage in the middle."""
        return "mixed4a" if "mixed4a" in self.stages else self.stage(0.5)

    def photo(self, name: str, side_px: int) -> Float[Tensor, "3 side side"]:
        """The middle square of one of `PHOTOS`, in [0, 1]."""
        from skimage import data

        whole = torch.from_numpy(getattr(data, name)().copy()).permute(2, 0, 1).float() / 255
        side = min(whole.shape[1:])
        top, left = (whole.shape[1] - side) // 2, (whole.shape[2] - side) // 2
        square = whole[None, :, top : top + side, left : left + side]
        return F.interpolate(square, (side_px, side_px), mode="bilinear", antialias=True)[0].clamp(0, 1)

    @cached_property
    def ordinary(self) -> pl.Model:
        """The embedded network before its adversarial training, beside the embedded one; else the network itself."""
        return pl.load("plain") if self.is_default else self.model

    @cached_property
    def others(self) -> dict[str, pl.Model]:
        """Networks of other kinds whose weights are at hand: "plain" (SqueezeNet), "residual" (ResNet-20)."""
        folder, found = self.shared / "models", {}
        weights = folder / "squeezenet1_1-imagenet.safetensors"
        if weights.is_file():
            found["plain"] = pl.load(
                "torchvision:squeezenet1_1", weights=weights, mean=_CAFFE_MEAN, std=(1 / 255,) * 3, size=128
            )
        weights = folder / "resnet20-cifar10.safetensors"
        if weights.is_file():
            found["residual"] = pl.load(f"{TREE / 'examples/resnet20.py'}:resnet20", weights=weights)
        return found


def stages_of(model: pl.Model) -> tuple[str, ...]:
    """The large parts of a network that return maps, in forward order: children of the outermost folder of layers.

    Pools, norms and the like do not count. A part with most of all layers in it (torchvision's `features`) is a folder
    itself, and its children are the stages.
    """
    maps = [layer for layer in model.layers.values() if len(layer.shape) == 3 and min(layer.map_size) > 1]
    prefix = ""
    while True:
        inside = [layer.name for layer in maps if layer.name.startswith(prefix)]
        children = dict.fromkeys(name[len(prefix) :].split(".")[0].partition("#")[0] for name in inside)
        full = [child for child in children if sum(n.startswith(f"{prefix}{child}.") for n in inside) > len(maps) / 2]
        if not full:
            break
        prefix = f"{prefix}{full[0]}."
    named = {layer.name: layer for layer in maps}
    stages = tuple(
        prefix + child
        for child in children
        if prefix + child in named and not named[prefix + child].kind.startswith(_BETWEEN)
    )
    if not stages:
        raise TargetError(f"{model.name} has no stages that return maps")
    return stages
