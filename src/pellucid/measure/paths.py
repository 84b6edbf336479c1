"""Path similarity: is a picture processed, layer by layer, like the natural images that it stands for?

Source: Geirhos et al., "Don't trust your eyes: on the (un)reliability of feature visualizations", ICML 2024.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pellucid.models.model import Model

__all__ = ["path_similarity", "ranked", "similarity_of_paths"]

_BATCH = 32  # pictures that go through the network at once
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


@torch.no_grad()
def similarity_of_paths(
    model: Model, layer: str, first: Float[Tensor, "n c h w"], second: Float[Tensor, "m c h w"]
) -> Float[Tensor, "n m"]:
    """Spearman's rho of what a layer says of each of the first and each of the second images, over units and places.

    Images in the network's range. Memory: one float for every image and activation of the layer.
    """
    a = _ranks(model, layer, first)
    b = a if second is first else _ranks(model, layer, second)
    return a @ b.T


def ranked(values: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """Ranks of each row, ties (all that a ReLU silenced) sharing their mean, centred and of length 1: rho is a product.

    A row that is the same everywhere has no ranks to compare: all 0.
    """
    from scipy.stats import rankdata

    ranks = torch.from_numpy(np.asarray(rankdata(values.numpy(), axis=1))).float()
    centred = ranks - ranks.mean(1, keepdim=True)
    lengths: Tensor = torch.linalg.vector_norm(centred, dim=1, keepdim=True).clamp(min=1e-6)
    return centred / lengths


def _ranks(model: Model, layer: str, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n"]:
    parts = [
        ranked(model.tap(part.to(model.device), [layer])[layer].float().flatten(1).cpu())
        for part in images.split(_BATCH)
    ]
    return torch.cat(parts)
