"""What a network is made of, found by running it once.

A layer is one call of one module that returned a tensor. Its axis order is read off the shapes, because channels-last
blocks (Swin, ConvNeXt) and token blocks (ViT) look like anything else from outside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.pooling import _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd, _AvgPoolNd, _MaxPoolNd

from pellucid.errors import ModelError, did_you_mean

__all__ = ["OUTPUT", "Axes", "Layer", "call_name", "check_axes", "layers_of_calls", "normalise_axes"]

Axes = Literal["bchw", "bhwc", "bnc", "bcn", "bc"]

OUTPUT = "output"  # the pseudo-layer that stands for what the network returns

MAX_PREFIX_TOKENS = 16  # class, distillation and register tokens behind a known grid; DINOv2 has 1 + 4
USUAL_PREFIX_TOKENS = 5  # where the grid has to be guessed as well

# Modules whose own definition says where the channels are.
_CHANNELS_FIRST = (
    _ConvNd,
    _BatchNorm,
    nn.GroupNorm,
    _MaxPoolNd,
    _AvgPoolNd,
    _AdaptiveMaxPoolNd,
    _AdaptiveAvgPoolNd,
)
_CHANNELS_LAST = (nn.Linear, nn.LayerNorm)  # these very types: a LayerNorm2d is a LayerNorm, and channels-first


@dataclass(frozen=True)
class Layer:
    """One call of one module, as a target can name it.

    `shape` is without the batch and in normalised order: `(c, h, w)`, `(n, c)` for tokens or `(c,)`. `axes` is the
    order in which the module itself returns it. `grid` is where the tokens behind the `prefix_tokens` lie on the image.
    `has_weights`: whether the module, or one inside it, has any; a ReLU or a pooling has none.
    """

    name: str
    kind: str
    axes: Axes
    shape: tuple[int, ...]
    units: int
    prefix_tokens: int = 0
    grid: tuple[int, int] | None = None
    has_weights: bool = field(default=False, compare=False)

    @property
    def map_size(self) -> tuple[int, int]:
        """Rows and columns of positions: the map's, the token grid's, or (1, 1)."""
        if len(self.shape) == 3:
            return self.shape[1], self.shape[2]
        if len(self.shape) == 2:
            return self.grid or (1, self.shape[0] - self.prefix_tokens)
        return 1, 1


def call_name(module_name: str, call: int) -> str:
    """The name of the `call`-th call (from 1) of a module: `relu`, `relu#2`, …

    `output` alone stands for what the network returns, so a module of that name is `output#1`.
    """
    return module_name if call == 1 and module_name != OUTPUT else f"{module_name}#{call}"


def check_axes(declared: Mapping[str, str], modules: Mapping[str, nn.Module], model_name: str) -> None:
    """Refuse axes declared for modules that are not there, or of no known order.

    Raises:
        ModelError: with the nearest names.
    """
    for layer, axes in declared.items():
        if axes not in get_args(Axes):
            raise ModelError(f"no axes {axes!r} (for {layer!r}). There are: {', '.join(get_args(Axes))}.")
        if (module_name := layer.partition("#")[0]) not in modules:
            hint = did_you_mean(module_name, modules)
            raise ModelError(f"axes are given for {layer!r}, which {model_name} does not have.{hint}")


def normalise_axes(value: Tensor, axes: Axes) -> Tensor:
    """A view of a module's result as `[b, c, h, w]`, `[b, n, c]` or `[b, c]`."""
    if axes == "bhwc":
        return value.permute(0, 3, 1, 2)
    return value.transpose(1, 2) if axes == "bcn" else value


def layers_of_calls(
    calls: list[tuple[str, nn.Module, torch.Size]],
    batch: int,
    input_size: tuple[int, int],
    declared: Mapping[str, Axes],
) -> dict[str, Layer]:
    """Layers by name, in forward order, from the calls `(name, module, output shape)` of one run.

    Calls whose first axis is not the batch (Swin's windows, position tables) cannot be told apart by image and are
    left out, as is what has fewer than two axes or more than four, and attention's queries and keys `[b, head, n, d]`.

    Raises:
        ModelError: declared axes that do not fit what the layer returned.
    """
    layers: dict[str, Layer] = {}
    reader = _AxisReader(input_size)
    for name, module, shape in calls:
        if not 2 <= len(shape) <= 4 or shape[0] != batch or 0 in shape:
            continue
        if name not in declared and len(shape) == 4 and shape[2] == reader.tokens:
            continue
        axes = declared.get(name) or reader.axes(module, shape)
        if len(axes) != len(shape):
            raise ModelError(f"axes of {name!r} are given as {axes!r}, but it returns {len(shape)}: {list(shape)}")
        reader.known[shape] = reader.latest = axes
        kind = type(module).__name__
        if len(shape) == 4:
            c, h, w = (shape[3], shape[1], shape[2]) if axes == "bhwc" else (shape[1], shape[2], shape[3])
            reader.grids.append((h, w))
            layers[name] = Layer(name, kind, axes, (c, h, w), c)
        elif len(shape) == 3:
            n, c = (shape[2], shape[1]) if axes == "bcn" else (shape[1], shape[2])
            prefix, grid = reader.token_grid(n)
            reader.tokens = n
            layers[name] = Layer(name, kind, axes, (n, c), c, prefix, grid)
        else:
            layers[name] = Layer(name, kind, axes, (shape[1],), shape[1])
        layers[name] = replace(layers[name], has_weights=next(module.parameters(), None) is not None)
    return layers


class _AxisReader:
    """Tells channels from positions in one run.

    By the kind of module; by an earlier reading of the same shape; by the shape, for positions are shaped like the
    picture; and channels come first where all that says nothing.
    """

    def __init__(self, input_size: tuple[int, int]) -> None:
        self.input_size = input_size
        self.known: dict[torch.Size, Axes] = {}  # the latest reading of each shape: an activation's is its input's
        self.latest: Axes = "bchw"
        self.tokens = 0  # of the latest token layer
        self.grids: list[tuple[int, int]] = []  # of all maps so far: a patch embedding's, when tokens follow

    def axes(self, module: nn.Module, shape: torch.Size) -> Axes:
        """The axis order of one result of two to four axes."""
        if len(shape) == 2:
            return "bc"
        first: Axes = "bchw" if len(shape) == 4 else "bcn"
        last: Axes = "bhwc" if len(shape) == 4 else "bnc"
        if isinstance(module, _CHANNELS_FIRST):
            return first
        if type(module) in _CHANNELS_LAST and not self._is_flattened_map(shape):
            return last
        first_misfit, last_misfit = self._misfits(shape) if len(shape) == 4 else (0.0, 0.0)
        is_clear = abs(first_misfit - last_misfit) > 1e-9
        if type(module).__name__ == "Permute" and not is_clear:  # torchvision's, in ConvNeXt and Swin
            return first if self.latest == last else last
        if shape in self.known:
            return self.known[shape]
        if len(shape) == 4:
            return last if is_clear and last_misfit < first_misfit else first
        return first if self._is_flattened_map(shape) else last

    def _misfits(self, shape: torch.Size) -> tuple[float, float]:
        """How unlike the picture the positions' shape is, with channels first and with channels last."""
        aspect = math.log(self.input_size[0] / self.input_size[1])

        def misfit(h: int, w: int) -> float:
            too_large = h > self.input_size[0] or w > self.input_size[1]
            return abs(math.log(h / w) - aspect) + (10.0 if too_large else 0.0)

        return misfit(shape[2], shape[3]), misfit(shape[1], shape[2])

    def _is_flattened_map(self, shape: torch.Size) -> bool:
        """Whether `[b, x, y]` is a map's channels x by its positions y, rather than tokens by channels."""
        if len(shape) != 3:
            return False
        flattened = any(shape[2] == math.prod(grid) for grid in self.grids)
        tokens = any(0 <= shape[1] - math.prod(grid) <= USUAL_PREFIX_TOKENS for grid in self.grids)
        return flattened and not tokens

    def token_grid(self, tokens: int) -> tuple[int, tuple[int, int] | None]:
        """How many prefix tokens there are, and the grid of the rest: a map's before, else one shaped as the input."""
        for most in (USUAL_PREFIX_TOKENS, MAX_PREFIX_TOKENS):
            for grid in reversed(self.grids):
                if 0 <= tokens - math.prod(grid) <= most:
                    return tokens - math.prod(grid), grid
        height, width = self.input_size
        for prefix in range(USUAL_PREFIX_TOKENS + 1):
            patches = tokens - prefix
            rows = math.isqrt(max(0, patches * height // width))
            if rows > 1 and rows * rows * width == patches * height:
                return prefix, (rows, patches // rows)
        return 0, None
