"""Facets of a unit from pictures that excite it: starts that differ, and directions towards clusters of them.

With the diversity term these are the ways to several pictures of one unit. The pictures may be a dataset's, or samples
of a generator.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from pellucid.ascent.asked import TargetLike
from pellucid.ascent.photos import tapped
from pellucid.errors import RecipeError, TargetError
from pellucid.images.files import SUFFIXES, read
from pellucid.images.fitting import fitted
from pellucid.models.model import Model
from pellucid.models.taps import Activations
from pellucid.models.targets import Target
from pellucid.objectives.from_target import objective_of
from pellucid.objectives.groups import tap_of
from pellucid.objectives.objective import Objective
from pellucid.objectives.response import places
from pellucid.objectives.units import direction

__all__ = ["diverse_starts", "starts_from_folder", "towards_facets"]

_TOGETHER = 32  # pictures in one forward
_SHARE, _MOST = 4, 64  # of the pictures, those count that excite the target most: a quarter, but not more than 64


def diverse_starts(
    model: Model,
    target: TargetLike,
    pictures: Float[Tensor, "n c h w"],
    count: int,
    *,
    top: int | None = None,
    size: tuple[int, int] | None = None,
) -> Float[Tensor, "k c h2 w2"]:
    """Pictures in [0, 1] to start a target's pictures from: `count` of those that excite it most, as unlike as can be.

    Among the `top` that score highest (a quarter, at most 64), the first is the strongest; each next one is least like
    the most similar chosen before, by the cosine of Gram matrices at the target's layer. For `render(model, [target] *
    count, start=…)`; they are looked at, and come, at `size` (the network's own by default).

    Raises:
        TargetError: fewer pictures than are to be chosen, or a target without a layer.

    Source: the diverse dataset examples of Nguyen et al., "Multifaceted feature visualization", 2016, and of Olah et
    al., "Feature Visualization", Distill 2017.
    """
    objective, found = _exciting(model, target, pictures, count, top, size)
    maps = torch.cat([_maps(seen, objective) for seen in _seen(model, found, objective)]).flatten(2)
    grams = F.normalize((maps @ maps.transpose(1, 2)).flatten(1), dim=1)
    likeness, chosen = grams @ grams.T, [0]
    while len(chosen) < count:
        nearest = likeness[:, chosen].amax(1)
        nearest[chosen] = torch.inf
        chosen.append(int(nearest.argmin()))
    return found[chosen]


def starts_from_folder(
    model: Model, folder: Path, objectives: Sequence[Objective], members: int, size: tuple[int, int]
) -> Float[Tensor, "b c h w"]:
    """A start for each picture of a run: of the pictures in a folder, those of `diverse_starts` for each target.

    `objectives` are those of all pictures, the `members` of a target side by side.

    Raises:
        RecipeError: no pictures in the folder, or fewer than members.
        ImageError: one of them cannot be read.
    """
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)
    if len(files) < members:
        have = f"holds {len(files)}" if files else "holds no pictures"
        raise RecipeError(f"start: {folder} {have}, and each of {members} members starts from one of its own")
    pictures = torch.cat([fitted(read(file, channels=model.channels)[None], size) for file in files])
    leaders = objectives[::members]
    return torch.cat([diverse_starts(model, one, pictures, members, size=size) for one in leaders])


def towards_facets(
    model: Model,
    target: TargetLike,
    pictures: Float[Tensor, "n c h w"],
    count: int,
    *,
    weight: float = 1.0,
    top: int | None = None,
    seed: int = 0,
) -> list[Objective]:
    """A target's facets as objectives: the target, plus a direction towards the centroid of one cluster of pictures.

    The `top` pictures that excite the target most (a quarter, at most 64) are clustered by the means of its layer's
    channels (k-means). Each direction is a centroid's difference from the mean of all, of length one, times `weight`.

    Raises:
        TargetError: fewer pictures than clusters, pictures that are all alike, or a target without a layer.

    Source: Nguyen et al., "Multifaceted feature visualization", 2016 (clusters of what excites a unit).
    """
    from sklearn.cluster import KMeans

    objective, found = _exciting(model, target, pictures, count, top, None)
    seen = torch.cat([_maps(one, objective).mean((2, 3)) for one in _seen(model, found, objective)]).double()
    if len(seen.unique(dim=0)) < count:
        raise TargetError(f"the pictures that excite the target fall into fewer than {count} clusters: give others")
    centroids = KMeans(count, n_init=4, random_state=seed).fit(seen.numpy()).cluster_centers_
    apart = F.normalize(torch.from_numpy(centroids) - seen.mean(0), dim=1).float()
    layer = tap_of(objective).layer
    return [objective + weight * direction(layer, way) for way in apart]


def _exciting(
    model: Model,
    target: TargetLike,
    pictures: Float[Tensor, "n c h w"],
    count: int,
    top: int | None,
    size: tuple[int, int] | None,
) -> tuple[Objective, Float[Tensor, "m c h2 w2"]]:
    """The target's objective, and the pictures that score highest by it, strongest first."""
    if not 1 <= count <= len(pictures):
        raise TargetError(f"{count} different pictures cannot be chosen among {len(pictures)}: give more")
    one = Target.parse(target) if isinstance(target, str) else target
    objective = objective_of(one, model, size) if isinstance(one, Target) else one
    tap_of(objective)
    fitting = fitted(pictures.float(), size or model.size)
    scores = torch.cat([objective(seen).cpu() for seen in _seen(model, fitting, objective)])
    most = min(_MOST, len(pictures) // _SHARE) if top is None else top
    return objective, fitting[scores.argsort(descending=True)[: max(most, count)]]


def _seen(model: Model, pictures: Float[Tensor, "n c h w"], objective: Objective) -> Iterator[Activations]:
    """What the objective reads of pictures, some at a time."""
    for part in pictures.split(_TOGETHER):
        with torch.no_grad():
            yield tapped(model, part, tuple(dict.fromkeys((*objective.taps, tap_of(objective)))))


def _maps(seen: Activations, objective: Objective) -> Float[Tensor, "b c h w"]:
    """The activations of the target's own layer, on the CPU."""
    tap = tap_of(objective)
    return places(seen[tap], seen.layers[tap.layer]).float().cpu()
