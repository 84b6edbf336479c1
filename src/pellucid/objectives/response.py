"""How much a unit fires: the one definition, used by objectives, surveys, inversion and measures alike."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from pellucid.errors import TargetError
from pellucid.models.layers import Layer
from pellucid.models.positions import Position
from pellucid.models.taps import Activations, Tap

__all__ = ["REDUCTIONS", "Reduction", "Response", "places", "reduced"]

Reduction = Literal["mean", "sum", "norm", "max", "pooled"]

_OVER_PLACES: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda z: z.mean((-2, -1)),
    "sum": lambda z: z.sum((-2, -1)),
    "norm": lambda z: torch.linalg.vector_norm(z, dim=(-2, -1)),  # its gradient at zero is zero, not NaN
    "max": lambda z: z.amax((-2, -1)),
    "pooled": lambda z: F.max_pool2d(z, 2).mean((-2, -1)) if min(z.shape[-2:]) > 1 else z.mean((-2, -1)),
}
REDUCTIONS = tuple(_OVER_PLACES)


def places(value: Tensor, layer: Layer, position: Position | None = None) -> Float[Tensor, "b c h w"]:
    """A layer's activations as a map, cut to a position.

    Tokens lie on their grid; prefix tokens are left out unless `@cls` asks for the first of them. The cells of a
    mask or raster lie side by side in one row.

    Raises:
        TargetError: the position lies outside the map, or names tokens that the layer does not have.
    """
    kind = position.kind if position is not None else None
    if value.ndim == 3:
        if kind == "cls":
            if not layer.prefix_tokens:
                raise TargetError(f"layer {layer.name!r} has no class token; its {layer.shape[0]} tokens are patches")
            return value[:, 0, :, None, None]
        rows, cols = layer.map_size
        value = value[:, layer.prefix_tokens :].transpose(1, 2).unflatten(2, (rows, cols))
        kind = None if kind == "patch" else kind
    elif value.ndim == 2:
        value = value[:, :, None, None]
    if position is None or kind is None:
        return value
    if position.kind in ("mask", "raster"):
        cells = position.cells(value.shape[2], value.shape[3])
        return value.flatten(2)[:, :, None, _index(cells, value.device)]
    row_span, col_span = position.window(value.shape[2], value.shape[3])
    return value[:, :, row_span, col_span]


@functools.lru_cache(maxsize=64)
def _index(cells: tuple[int, ...], device: torch.device) -> Tensor:
    """Numbers on a device: kept, because a copy to an accelerator at every step would stall it."""
    return torch.tensor(cells, device=device)


def reduced(value: Float[Tensor, "*n h w"], reduction: Reduction) -> Float[Tensor, "*n"]:
    """One number for each map, in float32 or better.

    "mean", "sum", "norm" (Euclidean) and "max" over positions; "pooled" is the mean of 2x2 maxima (Reinbold &
    Westermann 2020).
    """
    return _OVER_PLACES[reduction](value.to(torch.promote_types(value.dtype, torch.float32)))


@dataclass(frozen=True)
class Response:
    """How much every unit of a layer fires: `Activations -> [b, n]`.

    Raises:
        TargetError: the position does not fit the layer.
    """

    layer: str
    reduction: Reduction = "mean"
    position: Position | None = None
    pre: bool = False

    @property
    def tap(self) -> Tap:
        """What this reads."""
        return Tap(self.layer, self.pre)

    def __call__(self, activations: Activations) -> Float[Tensor, "b n"]:
        layer = activations.layers[self.layer]
        return reduced(places(activations[self.tap], layer, self.position), self.reduction)
