"""A network some of whose layers speak in other units: every unit of them measured on a scale of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.errors import ModelError
from pellucid.models.layers import Layer
from pellucid.models.model import Model, Precision
from pellucid.models.private_copy import Layout
from pellucid.models.taps import Activations, Edit, Tap

__all__ = ["Equalised"]


class Equalised(Model):
    """A Model whose taps give the activations of some layers divided by a scale for each unit.

    A network may multiply a unit by any positive number and divide what reads it by the same: it computes what it did,
    but cosines between its responses are others. With the scale taken out they are the same. What the network returns
    does not change.

    Args:
        scales: layer -> one positive number for each unit.

    Raises:
        ModelError: a layer has another number of units, or a scale is not positive.
        TargetError: no such layer.
    """

    def __init__(self, model: Model, scales: Mapping[str, Float[Tensor, " n"]]) -> None:
        for name, scale in scales.items():
            units = model.layer(name).units
            if tuple(scale.shape) != (units,) or not bool((scale.isfinite() & (scale > 0)).all()):
                raise ModelError(
                    f"layer {name!r} of {model.name} needs one positive scale for each of its {units} units, not "
                    f"{tuple(scale.shape)}, the least {float(scale.min()):.3g}"
                )
        self.base, self.scales = model, dict(scales)
        self.name, self.classes = model.name, model.classes
        self.size, self.channels, self.value_range = model.size, model.channels, model.value_range
        self.mean, self.std = model.mean, model.std
        self.precision, self.layout = model.precision, model.layout
        self.num_folded, self.num_delayed = model.num_folded, model.num_delayed
        self.device = model.device

    def at(
        self,
        *,
        device: torch.device | str | None = None,
        precision: Precision = "float32",
        layout: Layout = "channels_last",
    ) -> Equalised:
        """The same view of the network on another device, at another precision or memory layout."""
        return Equalised(self.base.at(device=device, precision=precision, layout=layout), self.scales)

    def folded(self, kept: Iterable[str] = ()) -> Equalised:
        """The same view with batch norms folded, where that is exact and no tapped layer."""
        return Equalised(self.base.folded({*kept, *self.scales}), self.scales)

    def twin(self) -> Equalised:
        """The same view of the network's twin."""
        return Equalised(self.base.twin(), self.scales)

    @property
    def weights_hash(self) -> str:
        """The network's own."""
        return self.base.weights_hash

    @property
    def output_kind(self) -> Literal["logits", "probabilities"]:
        """The network's own."""
        return self.base.output_kind

    def layers_at(self, size: tuple[int, int]) -> dict[str, Layer]:
        """The network's own."""
        return self.base.layers_at(size)

    def layer(self, name: str, size: tuple[int, int] | None = None) -> Layer:
        """The network's own."""
        return self.base.layer(name, size)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b ..."]:
        """The network's own output."""
        return self.base.forward(images)

    def tap(
        self, images: Float[Tensor, "b c h w"], taps: Iterable[Tap | str], *, edits: Mapping[str, Edit] | None = None
    ) -> Activations:
        """What the layers say, each unit by its scale; `edits` see the network's own numbers."""
        activations = self.base.tap(images, taps, edits=edits)
        values = {tap: self._divided(tap.layer, activations[tap]) for tap in activations}
        return Activations(values, activations.layers, images)

    def class_index(self, name: str) -> int:
        """The network's own."""
        return self.base.class_index(name)

    def _divided(self, layer: str, value: Tensor) -> Tensor:
        if layer not in self.scales:
            return value
        scale = self.scales[layer].to(value)
        return value / (scale[:, None, None] if value.ndim == 4 else scale)  # units are last in tokens and vectors
