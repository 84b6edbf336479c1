"""Groups of a layer's units that fire together, as directions to render: non-negative matrix factorisation."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.errors import TargetError
from pellucid.images.whole_files import written_whole
from pellucid.models.model import Model
from pellucid.models.targets import Target, Term
from pellucid.objectives.objective import Objective
from pellucid.objectives.response import places
from pellucid.objectives.units import direction

__all__ = ["Groups", "groups"]

_BATCH = 32  # pictures that go through the network at once
_ITERATIONS = 400


@dataclass(frozen=True)
class Groups:
    """A layer's activations as sums of a few groups.

    `directions` [k, n] are of length 1 and not negative: how much each unit belongs to each group. `maps` [b, k, h, w]
    say how strong each group is at each position of each image. Groups are ordered by strength over all images.
    `explained` is the share of the squared activations that the sum makes up.
    """

    layer: str
    directions: Float[Tensor, "k n"]
    maps: Float[Tensor, "b k h w"]
    explained: float

    def objectives(self) -> list[Objective]:
        """What to render to see each group: its direction."""
        return [direction(self.layer, vector) for vector in self.directions]

    def strongest(self, group: int, count: int = 5) -> list[tuple[str, float]]:
        """The units that a group consists of, as targets, with their weight."""
        order = self.directions[group].argsort(descending=True, stable=True)[:count].tolist()
        return [(str(Target.unit(self.layer, unit)), float(self.directions[group, unit])) for unit in order]

    def save(self, folder: str | Path) -> list[Target]:
        """Write each direction as `group-NUMBER.npy`, and return the targets that render them.

        Raises:
            ImageError: they cannot be written there.
        """
        made = []
        for number, vector in enumerate(self.directions):
            file = Path(folder) / f"group-{number}.npy"
            with written_whole(file) as open_file:
                np.save(open_file, vector.numpy())
            made.append(Target((Term("dir", self.layer, name=str(file)),)))
        return made


def groups(
    model: Model,
    layer: str,
    images: Float[Tensor, "b c h w"],
    count: int = 6,
    *,
    seed: int = 0,
) -> Groups:
    """Find `count` groups of units that fire together on images in the network's range: one photo, or many pictures.

    Every position of every image is a sample. What is negative counts as 0. The start is drawn from `seed`.

    Raises:
        TargetError: an unknown layer, a count below 1 or above the samples or units, or a layer that is silent.

    Source: Olah et al., "The Building Blocks of Interpretability", Distill 2018; scikit-learn's NMF.
    """
    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    found = model.layer(layer, (images.shape[-2], images.shape[-1]))
    with torch.no_grad():
        parts = [model.tap(part.to(model.device), [layer])[layer] for part in images.split(_BATCH)]
    maps = places(torch.cat(parts).float().cpu(), found).clamp(min=0)
    samples = maps.permute(0, 2, 3, 1).flatten(0, 2)
    most = min(samples.shape)
    if not 1 <= count <= most:
        raise TargetError(f"{layer} on {len(images)} images has 1 to {most} groups, not {count}")
    if not samples.any():
        raise TargetError(f"{layer} does not fire anywhere on these images: there is nothing to group")
    # The scale keeps the library's tolerance meaningful whatever the layer's units are.
    scale = samples.max()
    model_of_parts = NMF(count, init="nndsvda", random_state=seed, max_iter=_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # an approximate factorisation is one
        strength = torch.from_numpy(model_of_parts.fit_transform((samples / scale).double().numpy()))
    parts_found = torch.from_numpy(model_of_parts.components_)
    left = ((samples / scale).double() - strength @ parts_found).square().sum() / (
        samples / scale
    ).double().square().sum()
    lengths = torch.linalg.vector_norm(parts_found, dim=1).clamp(min=1e-12)
    strength, unit_vectors = strength * lengths * float(scale), parts_found / lengths[:, None]
    order = strength.sum(0).argsort(descending=True)
    b, _, h, w = maps.shape
    shown = strength[:, order].unflatten(0, (b, h, w)).permute(0, 3, 1, 2)
    return Groups(layer, unit_vectors[order].float(), shown.float().contiguous(), 1 - float(left))
