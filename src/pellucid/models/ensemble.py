"""Several networks looked at as one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from pellucid.errors import ModelError, TargetError, did_you_mean
from pellucid.models.layers import OUTPUT, Layer
from pellucid.models.model import Model, Precision
from pellucid.models.private_copy import Layout
from pellucid.models.taps import Activations, Edit, Tap

__all__ = ["Ensemble"]


class Ensemble(Model):
    """A Model whose layers carry the prefix of the member they belong to: `a/layer4`, `b/layer4`.

    The picture has the size of the first member; a member made for another size sees it resized bilinearly. Only
    members that are asked for run.

        ensemble = Ensemble(a=pl.load("default"), b=pl.load("plain"))
        pl.render(ensemble, "a/mixed4a:12 + b/mixed4a:12")

    Members go to the device and precision of the first.

    Raises:
        ModelError: no member, or members that differ in input channels or value range.
    """

    def __init__(self, **members: Model) -> None:
        if not members:
            raise ModelError("an Ensemble needs at least one member: Ensemble(a=model, b=other)")
        first = next(iter(members.values()))
        for prefix, member in members.items():
            if (member.channels, member.value_range) != (first.channels, first.value_range):
                raise ModelError(f"member {prefix!r} of the Ensemble has another number of channels or value range")
        # One batch of pictures goes through all of them.
        same = {p: (m.device, m.precision) == (first.device, first.precision) for p, m in members.items()}
        alike = {p: m if same[p] else m.at(device=first.device, precision=first.precision) for p, m in members.items()}
        self.members = alike
        self.name = "+".join(member.name for member in members.values())
        self.size, self.channels, self.value_range = first.size, first.channels, first.value_range
        self.mean, self.std = first.mean, first.std
        self.classes = None
        self.precision, self.layout = first.precision, first.layout
        self.num_folded = sum(member.num_folded for member in alike.values())
        self.num_delayed = sum(member.num_delayed for member in alike.values())
        self.device = first.device

    def at(
        self,
        *,
        device: torch.device | str | None = None,
        precision: Precision = "float32",
        layout: Layout = "channels_last",
    ) -> Ensemble:
        """The same ensemble with every member on another device, at another precision or memory layout."""
        members = {k: m.at(device=device, precision=precision, layout=layout) for k, m in self.members.items()}
        return Ensemble(**members)

    def folded(self, kept: Iterable[str] = ()) -> Ensemble:
        """The same ensemble with the batch norms of every member folded, where that is exact."""
        own = {prefix: [n.partition("/")[2] for n in kept if n.startswith(f"{prefix}/")] for prefix in self.members}
        return Ensemble(**{prefix: member.folded(own[prefix]) for prefix, member in self.members.items()})

    def twin(self) -> Ensemble:
        """The same ensemble with a twin of every member."""
        return Ensemble(**{prefix: member.twin() for prefix, member in self.members.items()})

    @property
    def weights_hash(self) -> str:
        """The members' hashes, joined."""
        return "+".join(member.weights_hash for member in self.members.values())

    @property
    def output_kind(self) -> Literal["logits", "probabilities"]:
        """The first member's."""
        return next(iter(self.members.values())).output_kind

    def layers_at(self, size: tuple[int, int]) -> dict[str, Layer]:
        """All members' layers, prefixed, for pictures of this size."""
        return {
            f"{prefix}/{name}": replace(layer, name=f"{prefix}/{name}")
            for prefix, member in self.members.items()
            for name, layer in member.layers_at(self._size_for(member, size)).items()
        }

    def layer(self, name: str, size: tuple[int, int] | None = None) -> Layer:
        """One member's layer, as `prefix/layer`."""
        prefix, _, rest = name.partition("/")
        if prefix not in self.members:
            hint = did_you_mean(prefix, self.members) or f" Members: {', '.join(self.members)}."
            raise TargetError(f"no member {prefix!r} in the ensemble (layer {name!r}).{hint}")
        member = self.members[prefix]
        return replace(member.layer(rest, self._size_for(member, size or self.size)), name=name)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b ..."]:
        """The first member's output."""
        return next(iter(self.members.values())).forward(images)

    def tap(
        self, images: Float[Tensor, "b c h w"], taps: Iterable[Tap | str], *, edits: Mapping[str, Edit] | None = None
    ) -> Activations:
        """One forward of each member that is asked for."""
        wanted = [Tap(tap) if isinstance(tap, str) else tap for tap in taps]
        size = (images.shape[-2], images.shape[-1])
        layers = {name: self.layer(name, size) for name in (*(tap.layer for tap in wanted), *(edits or ()))}
        values: dict[Tap, Tensor] = {}
        for prefix, member in self.members.items():
            own = {
                tap: replace(tap, layer=tap.layer.partition("/")[2]) for tap in wanted if _prefix(tap.layer) == prefix
            }
            if own:
                seen = self._size_for(member, size)
                shown = images if seen == size else F.interpolate(images, seen, mode="bilinear", antialias=True)
                inner_edits = {
                    name.partition("/")[2]: e for name, e in (edits or {}).items() if _prefix(name) == prefix
                }
                activations = member.tap(shown, own.values(), edits=inner_edits)
                values.update({tap: activations[inner] for tap, inner in own.items()})
        return Activations(values, layers, images)

    def _size_for(self, member: Model, size: tuple[int, int]) -> tuple[int, int]:
        """A member of the ensemble's own size sees the picture as it is; another sees it at its own size."""
        return size if member.size == self.size else member.size

    def class_index(self, name: str) -> int:
        """Classes belong to members: give the output unit instead, as in `a/output:281`."""
        first = next(iter(self.members))
        raise TargetError(f"classes of an ensemble are given by member and index: {first}/{OUTPUT}:0, not {name!r}")


def _prefix(name: str) -> str:
    return name.partition("/")[0]
