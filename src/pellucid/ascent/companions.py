"""Photos that pictures are compared with, shown to the network beside them through the same transforms."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.ascent.jobs import Slot
from pellucid.draws import Draws
from pellucid.models.model import Model
from pellucid.models.taps import Activations, Beside
from pellucid.objectives.frozen import FrozenTensor
from pellucid.objectives.objective import Leaf
from pellucid.transforms.compose import Pipeline

__all__ = ["Companions"]


class Companions:
    """The photos of all images under way: without them a turned and shifted picture is compared with an upright photo.

    Nothing to do where nothing is transformed: a photo's activations are known then.
    """

    def __init__(self, slots: Sequence[Slot | None], transform: Pipeline) -> None:
        self._transform = transform
        photos: dict[tuple[int, str], FrozenTensor] = {}
        leaves: list[Leaf] = []
        for row, slot in enumerate(slots if transform.transforms else ()):
            for leaf in [leaf for _, leaf in slot.job.climbed.terms if leaf.photos] if slot else ():
                photos |= {(row, photo.digest): photo for photo in leaf.photos}
                leaves.append(leaf)
        self._photos = list(photos.values())
        self._rows = [row for row, _ in photos]
        self._places = {name: place for place, name in enumerate(photos)}
        self._taps = tuple(dict.fromkeys(tap for leaf in leaves for tap in leaf.taps))

    @torch.no_grad()
    def beside(
        self,
        activations: Activations,
        model: Model,
        draws: Draws,
        from_range: Callable[[Tensor], Tensor],
        in_range: Callable[[Tensor], Tensor],
    ) -> Activations:
        """Images' activations with those of their photos beside them; `draws` are the transforms' [b] of this step.

        `from_range` and `in_range` lead from the network's range to [0, 1], where transforms work, and back.
        """
        if not self._photos:
            return activations
        photos: Float[Tensor, "m c h w"] = torch.stack([photo.like(activations.image) for photo in self._photos])
        shown = self._transform(from_range(photos), draws.rows(self._rows))
        return activations.with_beside(Beside(model.tap(in_range(shown), self._taps), self._places))
