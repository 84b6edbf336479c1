"""What a network is made of, found by running it once.

A layer is one call of one module that returned a tensor. Its axis order is read off the shapes, because channels-last
blocks (Swin, ConvNeXt) and token blocks (ViT) look like anything else from outside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

__all__ = ["Axes", "Layer", "call_name", "first_tensor", "layers_of_calls", "normalise_axes"]

Axes = Literal["bchw", "bhwc", "bnc", "bcn", "bc"]

MAX_PREFIX_TOKENS = 16  # class, distillation and register tokens; the largest in use is 1 + 4 (DINOv2 with registers)


@dataclass(frozen=True)
class Layer:
    """One call of one module, as a target can name it.

    `shape` is without the batch and in normalised order: `(c, h, w)`, `(n, c)` for tokens or `(c,)`. `axes` is the
    order in which the module itself returns it. `grid` is where the tokens behind the `prefix_tokens` lie on the image.
    """

    name: str
    kind: str
    axes: Axes
    shape: tuple[int, ...]
    units: int
    prefix_tokens: int = 0
    grid: tuple[int, int] | None = None

    @property
    def map_size(self) -> tuple[int, int]:
        """Rows and columns of positions: the map's, the token grid's, or (1, 1)."""
        if len(self.shape) == 3:
            return self.shape[1], self.shape[2]
        if len(self.shape) == 2:
            return self.grid or (1, self.shape[0] - self.prefix_tokens)
        return 1, 1


def call_name(module_name: str, call: int) -> str:
    """The name of the `call`-th call (from 1) of a module: `relu`, `relu#2`, …"""
    return module_name if call == 1 else f"{module_name}#{call}"


def first_tensor(result: Any) -> Tensor | None:
    """The tensor a module's result stands for: itself, or the first in a tuple, dict or ModelOutput."""
    if isinstance(result, Tensor):
        return result
    parts = result.values() if isinstance(result, Mapping) else result if isinstance(result, (tuple, list)) else ()
    return next((found for part in parts if (found := first_tensor(part)) is not None), None)


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
    left out, as are scalars.
    """
    layers: dict[str, Layer] = {}
    grid: tuple[int, int] | None = None  # of the last map seen: a patch embedding's, when tokens follow
    for name, module, shape in calls:
        if len(shape) < 2 or shape[0] != batch or 0 in shape:
            continue
        kind = type(module).__name__
        axes = declared.get(name)
        if len(shape) == 4:
            axes = axes or _map_axes(kind, shape, input_size)
            c, h, w = (shape[3], shape[1], shape[2]) if axes == "bhwc" else (shape[1], shape[2], shape[3])
            grid = (h, w)
            layers[name] = Layer(name, kind, axes, (c, h, w), c)
        elif len(shape) == 3:
            prefix, token_grid = _token_grid(shape[1], grid, input_size)
            if axes is None:
                transposed = token_grid is None and grid is not None and shape[2] == math.prod(grid)
                axes = "bcn" if transposed else "bnc"
            n, c = (shape[2], shape[1]) if axes == "bcn" else (shape[1], shape[2])
            if axes == "bcn":
                prefix, token_grid = _token_grid(n, grid, input_size)
            layers[name] = Layer(name, kind, axes, (n, c), c, prefix, token_grid)
        elif len(shape) == 2:
            layers[name] = Layer(name, kind, "bc", (shape[1],), shape[1])
    return layers


def _map_axes(kind: str, shape: torch.Size, input_size: tuple[int, int]) -> Axes:
    """Where the channels of a four-dimensional result are: the two axes shaped like the input are the positions.

    When both readings fit equally (7 x 7 x 7), a module that works on the last axis decides.
    """
    aspect = math.log(input_size[0] / input_size[1])

    def misfit(h: int, w: int) -> float:
        too_large = h > input_size[0] or w > input_size[1]
        return abs(math.log(h / w) - aspect) + (10.0 if too_large else 0.0)

    first, last = misfit(shape[2], shape[3]), misfit(shape[1], shape[2])
    if abs(first - last) > 1e-9:
        return "bchw" if first < last else "bhwc"
    return "bhwc" if kind in ("Linear", "LayerNorm", "Permute") else "bchw"


def _token_grid(
    tokens: int, grid: tuple[int, int] | None, input_size: tuple[int, int]
) -> tuple[int, tuple[int, int] | None]:
    """How many prefix tokens there are, and the grid of the rest: the patch embedding's, else the nearest square."""
    if grid is not None and 0 <= tokens - math.prod(grid) <= MAX_PREFIX_TOKENS:
        return tokens - math.prod(grid), grid
    side = math.isqrt(tokens)
    if input_size[0] == input_size[1] and side > 1 and tokens - side * side <= MAX_PREFIX_TOKENS:
        return tokens - side * side, (side, side)
    return 0, None
