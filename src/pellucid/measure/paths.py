"""Path similarity: is a picture processed, layer by layer, like the natural images that it stands for?

Source: Geirhos et al., "Don't trust your eyes: on the (un)reliability of feature visualizations", ICML 2024.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pellucid.models.model import Model

__all__ = ["held_together", "path_similarity", "ranked", "ranks_at", "similarity_of_paths"]

_BATCH = 32  # pictures that go through the network at once
_MOST_FLOATS = 2**27  # ranks that are held at once
_LEAST = 0.02
"""Of the denominator: where images of a class are processed hardly more alike than others', the ratio is noise."""


def path_similarity(
    pictures: Float[Tensor, "p n"],
    natural: Float[Tensor, "n n"],
    own: Bool[Tensor, "p n"],
    *,
    least: float = _LEAST,
) -> Float[Tensor, " p"]:
    """(rho(fv_c, nat_c) - rho(nat_c, nat_c')) / (rho(nat_c, nat_c) - rho(nat_c, nat_c')) at a layer, for each picture.

    `pictures` are Spearman correlations of pictures with natural images, `natural` those among natural images (see
    `similarity_of_paths`); `own[p]` marks nat_c, the natural images that picture p stands for: of its class, or its
    unit's top k. All others are nat_c'. Each rho is a mean over pairs; an image's correlation with itself is left out.

    1: processed like natural images of its class; 0: like images of another. NaN where the denominator is below
    `least`, or there are fewer than two of its own or no others.
    """
    result = torch.full((len(pictures),), torch.nan)
    for row, mine in enumerate(own):
        count = int(mine.sum())
        if count < 2 or count == len(mine):
            continue
        among = natural[mine][:, mine].double()
        same = (among.sum() - among.diagonal().sum()) / (count * (count - 1))
        other = natural[mine][:, ~mine].double().mean()
        if same - other >= least:
            result[row] = float((pictures[row, mine].double().mean() - other) / (same - other))
    return result


def similarity_of_paths(
    model: Model, layer: str, first: Float[Tensor, "n c h w"], second: Float[Tensor, "m c h w"]
) -> Float[Tensor, "n m"]:
    """Spearman's rho of what a layer says of each of the first and each of the second images, over units and places.

    Images in the network's range. Memory: one float for every image and activation of the layer.
    """
    a = ranks_at(model, [layer], first)[layer]
    b = a if second is first else ranks_at(model, [layer], second)[layer]
    return a @ b.T


@torch.no_grad()
def ranks_at(model: Model, layers: Sequence[str], images: Float[Tensor, "b c h w"]) -> dict[str, Float[Tensor, "b n"]]:
    """What several layers say of images in the network's range, `ranked`: by layer, from one forward."""
    parts: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    for some in images.split(_BATCH):
        seen = model.tap(some.to(model.device), layers)
        for layer in layers:
            parts[layer].append(ranked(seen[layer].float().flatten(1).cpu()))
    return {layer: torch.cat(found) for layer, found in parts.items()}


def held_together(model: Model, layers: Sequence[str], count: int) -> Iterator[list[str]]:
    """Layers in groups of which the ranks of so many images fit into half a GB; at least one layer in each."""
    group: list[str] = []
    floats = 0
    for layer in layers:
        own = count * math.prod(model.layers[layer].shape)
        if group and floats + own > _MOST_FLOATS:
            yield group
            group, floats = [], 0
        group.append(layer)
        floats += own
    if group:
        yield group


def ranked(values: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """Ranks of each row, ties (all that a ReLU silenced) sharing their mean, centred and of length 1: rho is a product.

    A row that is the same everywhere has no ranks to compare: all 0.
    """
    from scipy.stats import rankdata

    ranks = torch.from_numpy(np.asarray(rankdata(values.numpy(), axis=1))).float()
    centred = ranks - ranks.mean(1, keepdim=True)
    lengths: Tensor = torch.linalg.vector_norm(centred, dim=1, keepdim=True).clamp(min=1e-6)
    return centred / lengths
