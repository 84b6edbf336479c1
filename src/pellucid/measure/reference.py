"""The natural images that pictures are measured against, and what units say of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from pellucid.errors import DatasetError
from pellucid.models.model import Model
from pellucid.models.targets import Target
from pellucid.objectives.objective import Objective
from pellucid.objectives.response import Response
from pellucid.objectives.units import Unit

__all__ = ["Reference", "natural_scores"]

_BATCH = 64  # pictures that go through the network at once
_FEWEST = 20  # images below which a percentile or a top k means nothing


@dataclass(frozen=True)
class Reference:
    """Natural images `pixels` [n, c, h, w] of 8 bits at the network's size, and their labels [n] (-1: none).

    `classes` are the names of the labels, where they are known; `name` says where the images are from.
    """

    name: str
    pixels: UInt8[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"]
    classes: tuple[str, ...] | None = None

    @classmethod
    def of(
        cls,
        name: str,
        batches: Iterable[tuple[Tensor, Tensor]],
        classes: Sequence[str] | None = None,
        most: int = 1000,
    ) -> Reference:
        """The first `most` images of batches [b, c, h, w] in [0, 1], as a network sees them; labels [b] (-1: none).

        Raises:
            DatasetError: there are fewer than 20.
        """
        pixels: list[Tensor] = []
        labels: list[Tensor] = []
        count = 0
        for images, own in batches:
            pixels.append((images * 255).round().to(torch.uint8))
            labels.append(own)
            count += len(images)
            if count >= most:
                break
        if min(count, most) < _FEWEST:
            raise DatasetError(
                f"pictures are measured against {_FEWEST} natural images or more, not {min(count, most)}"
            )
        return cls(
            name, torch.cat(pixels)[:most], torch.cat(labels)[:most], None if classes is None else tuple(classes)
        )

    def __len__(self) -> int:
        return len(self.pixels)

    @cached_property
    def images(self) -> Float[Tensor, "n c h w"]:
        """In [0, 1]."""
        return self.pixels.float() / 255

    def for_network(self, model: Model) -> Float[Tensor, "n c h w"]:
        """In the network's range."""
        low, high = model.value_range
        return low + self.images * (high - low)

    def of_class(self, model: Model, target: Target) -> Bool[Tensor, " n"] | None:
        """Which images are of the class that a target looks for; None for a target that is no class, or no label."""
        term = target.terms[0]
        if len(target.terms) != 1 or term.kind not in ("logit", "prob", "logprob") or int(self.labels.max()) < 0:
            return None
        index = model.class_index(term.name)
        if self.classes is not None and model.classes is not None and self.classes != model.classes:
            name = model.classes[index]
            if name not in self.classes:
                return None
            index = self.classes.index(name)
        return self.labels == index


@torch.no_grad()
def natural_scores(
    model: Model, objectives: Sequence[Objective], images: Float[Tensor, "n c h w"]
) -> Float[Tensor, "n t"]:
    """Every objective's score of every image in the network's range; units of a layer and classes in one go."""
    taps = list(dict.fromkeys(tap for objective in objectives for tap in objective.taps))
    parts = []
    for some in images.split(_BATCH):
        seen = model.tap(some.to(model.device), taps)
        layers: dict[Response, Tensor] = {}
        columns = []
        for objective in objectives:
            plain = _plain_unit(objective)
            if plain is None:
                columns.append(objective(seen))
                continue
            weight, unit = plain
            response = Response(unit.layer, unit.reduction, unit.position, unit.pre)
            if response not in layers:
                layers[response] = response(seen)
            columns.append(weight * layers[response][:, unit.channel])
        parts.append(torch.stack(columns, 1).float().cpu())
    return torch.cat(parts)


def _plain_unit(objective: Objective) -> tuple[float, Unit] | None:
    """The one unit that an objective is, with its weight; None for anything else."""
    terms = objective.read_terms()
    if len(terms) != 1 or objective.constant or not isinstance(terms[0][1], Unit):
        return None
    return terms[0][0], terms[0][1]
