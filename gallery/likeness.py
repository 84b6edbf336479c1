"""How alike pictures are: by their pixels, and by what a layer sees in them wherever it lies."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

import pellucid as pl
from gallery.measures import activations

__all__ = ["among", "gram_cosines", "pixel_cosines"]


def gram_cosines(model: pl.Model, images: Float[Tensor, "b c h w"], layer: str) -> Float[Tensor, "b b"]:
    """Cosines between the Gram matrices G_ij = <z_i, z_j> of a layer's channels; 1 on the diagonal."""
    flat = activations(model, images, layer).flatten(2)
    grams = F.normalize((flat @ flat.transpose(1, 2)).flatten(1), dim=1)
    return grams @ grams.T


def pixel_cosines(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b b"]:
    """Correlations between the pixels of pictures, each colour without its mean."""
    flat = F.normalize((images - images.mean((2, 3), keepdim=True)).flatten(1), dim=1)
    return flat @ flat.T


def among(cosines: Float[Tensor, "b b"]) -> float:
    """The mean over all pairs of different pictures."""
    count = len(cosines)
    return float((cosines.sum() - cosines.trace()) / (count * (count - 1)))


def of_groups(cosines: Float[Tensor, "b b"], members: int) -> Float[Tensor, " g"]:
    """The mean over the pairs within each group of so many pictures in a row."""
    starts = range(0, len(cosines), members)
    return torch.tensor([among(cosines[first : first + members, first : first + members]) for first in starts])
