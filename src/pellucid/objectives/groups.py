"""What couples the images of a group: diversity, alignment; and the row of an interpolation.

A group term scores every image of a batch by the others of its group. It is no part of an `Objective`, which sees one
image at a time: the ascent adds it to the objectives' scores and climbs their sum.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, SupportsIndex

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from pellucid.errors import TargetError
from pellucid.models.layers import Layer
from pellucid.models.positions import Position
from pellucid.models.taps import Activations, Tap
from pellucid.objectives.objective import Objective
from pellucid.objectives.response import places
from pellucid.objectives.units import direction

__all__ = ["Alignment", "Diversity", "GroupTerm", "interpolation", "tap_of"]

_REACH = 4  # neighbours up to so many places away are aligned, as in Lucid
_EPSILON = 1e-10  # of the Gram matrix's squared length, as in Lucid: no NaN where nothing is active


@dataclass(frozen=True)
class GroupTerm(ABC):
    """A score of each image by the others of its group: `(Activations, groups [b]) -> [b]`, to be maximised.

    `groups` [b] names each row's group; -1 is none. Members stand in the order of their rows. A row without group, or
    alone in it, scores 0, and neither its activations nor those of another group are read for anyone else. So a broken
    image must be given -1 before it breaks its group. Keep `groups` on the CPU: it is read at every step. Frozen: its
    text is the same in every process.
    """

    tap: Tap
    weight: float = 1.0

    @property
    def taps(self) -> tuple[Tap, ...]:
        """What this reads."""
        return (self.tap,)

    @abstractmethod
    def of_groups(self, maps: Float[Tensor, "g n c h w"], present: Bool[Tensor, "g n"]) -> Float[Tensor, "g n"]:
        """The scores of groups filled up to the same length; what is not `present` must not count."""

    def __call__(self, activations: Activations, groups: Int64[Tensor, " b"]) -> Float[Tensor, " b"]:
        """Score all groups at once."""
        value = activations[self.tap]
        if len(groups) != len(value):
            raise TargetError(f"{len(groups)} group numbers cannot group a batch of {len(value)} images, one each")
        dtype = torch.promote_types(value.dtype, torch.float32)
        total = torch.zeros(len(value), dtype=dtype, device=value.device)
        layout = _layout(tuple(groups.tolist()), value.device)
        if layout is None:
            return total
        maps = places(value[layout.index.flatten()].to(dtype), activations.layers[self.tap.layer])
        scores = self.weight * self.of_groups(maps.unflatten(0, layout.index.shape), layout.present)
        return total.index_copy(0, layout.rows, scores.flatten()[layout.cells])


@dataclass(frozen=True)
class _Layout:
    """Where the members of groups of two or more stand: `index` holds their rows, and `rows` those of its `cells`."""

    index: Int64[Tensor, "g n"]
    present: Bool[Tensor, "g n"]
    rows: Int64[Tensor, " k"]
    cells: Int64[Tensor, " k"]


@functools.lru_cache(maxsize=64)
def _layout(groups: tuple[int, ...], device: torch.device) -> _Layout | None:
    """How a batch is grouped, on a device: kept, because a copy to an accelerator at every step would stall it."""
    rows: dict[int, list[int]] = defaultdict(list)
    for row, group in enumerate(groups):
        if group >= 0:
            rows[group].append(row)
    members = [group for group in rows.values() if len(group) > 1]
    if not members:
        return None
    longest = max(map(len, members))
    # Shorter groups are filled up with their own first member: nothing of another group comes near them.
    index = torch.tensor([group + group[:1] * (longest - len(group)) for group in members])
    present = torch.arange(longest) < torch.tensor([len(group) for group in members])[:, None]
    cells = present.flatten().nonzero()[:, 0]
    return _Layout(*(part.to(device) for part in (index, present, index.flatten()[cells], cells)))


@dataclass(frozen=True)
class Diversity(GroupTerm):
    """Pictures of one thing that differ: -w times the mean similarity to the other pictures of the group.

    The similarity of two pictures is the cosine of their flattened Gram matrices G_ij = <z_i, z_j>, inner products over
    positions of a layer's channels: what is there, wherever it lies.

    Source: Olah et al., "Feature Visualization", Distill 2017; Lucid's `diversity`, which sums over ordered pairs and
    divides by the number of pictures. Here it is the mean over the others, so that a weight means the same in every
    group.
    """

    def of_groups(self, maps: Float[Tensor, "g n c h w"], present: Bool[Tensor, "g n"]) -> Float[Tensor, "g n"]:
        cosines: Tensor = _GramCosines.apply(maps.flatten(3))
        others = present[:, None, :] & ~torch.eye(present.shape[1], dtype=torch.bool, device=present.device)
        similar = torch.where(others, cosines, 0).sum(2)
        return -similar / (present.sum(1, keepdim=True) - 1)


class _GramCosines(torch.autograd.Function):
    """Cosines [g, n, n] between the Gram matrices of activations [g, n, c, p].

    By hand, because the matrices are large: they are read twice there and once back, instead of twenty times. With
    cos_ij = <G_i, G_j> / (l_i l_j), the gradient by G_i is sum_j A_ij (G_j / l_j - cos_ij G_i / l_i) / l_i, where A is
    the gradient by the cosines and its transpose; by the activations it is twice that, a symmetric matrix, times z_i.
    """

    @staticmethod
    def forward(ctx: Any, flat: Tensor) -> Tensor:
        grams = (flat @ flat.transpose(2, 3)).flatten(2)
        products = grams @ grams.transpose(1, 2)
        lengths = (products.diagonal(dim1=1, dim2=2) + _EPSILON).sqrt()
        cosines = products / (lengths[:, :, None] * lengths[:, None, :])
        ctx.save_for_backward(flat, grams, cosines, lengths)
        return cosines

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        flat, grams, cosines, lengths = ctx.saved_tensors
        both = gradients[0] + gradients[0].transpose(1, 2)
        shares = both / lengths[:, None, :]
        shares = shares - torch.diag_embed((both * cosines).sum(2) / lengths)
        by_gram = (shares / lengths[:, :, None]) @ grams
        by_flat: Tensor = 2 * by_gram.unflatten(2, (flat.shape[2], -1)) @ flat
        return by_flat


@dataclass(frozen=True)
class Alignment(GroupTerm):
    """Neighbours that look alike: minus half the mean squared difference to the neighbours in the group, decaying.

    Image i scores -w/2 times the sum, over the members j up to 4 places away, of the mean of (z_i - z_j)^2 divided by
    decay^|i - j|. The scores of a group add up to Lucid's sum over pairs.

    Source: Lucid's `alignment` (decay 2, up to 4 places).
    """

    decay: float = 2.0

    def of_groups(self, maps: Float[Tensor, "g n c h w"], present: Bool[Tensor, "g n"]) -> Float[Tensor, "g n"]:
        flat = maps.flatten(2)
        total = torch.zeros(present.shape, dtype=maps.dtype, device=maps.device)
        for apart in range(1, min(_REACH, present.shape[1] - 1) + 1):
            differences = (flat[:, apart:] - flat[:, :-apart]).square().mean(2)
            # What is present comes first, so that a pair is there when its later member is.
            share = torch.where(present[:, apart:], differences, 0) / self.decay**apart / 2
            total = total - F.pad(share, (apart, 0)) - F.pad(share, (0, apart))
        return total


def tap_of(layer: str | Objective) -> Tap:
    """Where a group term reads: a layer, or the first thing that an objective reads (its target's layer).

    Raises:
        TargetError: the objective reads no layer.
    """
    if isinstance(layer, str):
        return Tap(layer)
    if not layer.taps:
        raise TargetError("the objective reads no layer that its pictures could differ at; name one")
    return layer.taps[0]


def interpolation(
    layer: Layer,
    first: SupportsIndex | Sequence[float] | Tensor,
    second: SupportsIndex | Sequence[float] | Tensor,
    *,
    steps: int = 6,
    cosine_power: float = 0.0,
    position: Position | None = None,
) -> list[Objective]:
    """The row between two channels or directions: directions d_t = (1 - t) e_a + t e_b for t = 0, …, 1.

    `layer` is the network's (`model.layer("mixed4a")`). One group: started from one key and aligned (`Alignment`), its
    pictures change step by step.

    Raises:
        TargetError: fewer than two steps, a channel out of range, or directions that cancel on the way.

    Source: Olah et al., "Feature Visualization", Distill 2017; Lucid's `channel_interpolate`.
    """
    if steps < 2:
        raise TargetError(f"an interpolation has two ends, and {steps} steps were asked for")
    a, b = _vector(layer, first), _vector(layer, second)
    ways = [step / (steps - 1) for step in range(steps)]
    return [direction(layer.name, (1 - t) * a + t * b, cosine_power=cosine_power, position=position) for t in ways]


def _vector(layer: Layer, end: SupportsIndex | Sequence[float] | Tensor) -> Float[Tensor, " c"]:
    if not isinstance(end, SupportsIndex) or (isinstance(end, Tensor) and end.ndim):
        return torch.as_tensor(end, dtype=torch.float32)
    channel = int(end)
    if not 0 <= channel < layer.units:
        raise TargetError(
            f"channel {channel} is out of range: {layer.name} has {layer.units} channels, 0 to {layer.units - 1}"
        )
    return F.one_hot(torch.tensor(channel), layer.units).float()
