"""MACO's crops: a random square-on box of each picture, enlarged to the picture's size or the network's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.draws import Draws
from pellucid.errors import RecipeError
from pellucid.transforms.affine import GREY, Affine, warp

__all__ = ["Box"]

SMALLEST, LARGEST = 0.05, 1.0  # of the picture's side: what Xplique clips at
CENTRE_SD = 0.15  # of the picture's side: Xplique's and Horama's


@dataclass(frozen=True)
class Box(Affine):
    """Cut a box out of each picture and enlarge it again: a move of the plane like any other, so that it fuses.

    The box is `mean` of the picture's sides large on average, normally distributed with standard deviation `sd` and
    kept within 0.05 to 1; its centre lies normally about the picture's, with `centre_sd` of the sides. Grey comes in
    from outside. With `px` the result is a square of so many pixels (the network's size), else as large as the picture.

    Raises:
        RecipeError: a size outside 0.05 to 1, a negative spread, or no pixels.

    Source: Fel et al., "Unlocking Feature Visualization for Deeper Networks with MAgnitude Constrained Optimization",
    NeurIPS 2023: N(0.25, 0.1). Xplique: the mean falls from 0.5 to 0.05, sd 0.05; Horama: uniform, 0.25 to 0.3.
    """

    mean: float | int
    sd: float | int = 0.1
    centre_sd: float | int = CENTRE_SD
    px: int | None = None

    def __post_init__(self) -> None:
        if not SMALLEST <= self.mean <= LARGEST:
            raise RecipeError(f"a box of {self.mean:g} of the picture is not possible. Give {SMALLEST} to {LARGEST:g}")
        if not all(math.isfinite(sd) and sd >= 0 for sd in (self.sd, self.centre_sd)):
            raise RecipeError(f"a box cannot spread by {self.sd:g} and {self.centre_sd:g}. Give 0 or more")
        if self.px is not None and self.px < 1:
            raise RecipeError(f"a box of {self.px} px is empty. Give 1 px or more")

    def sources(self, draws: Draws, size: tuple[int, int]) -> Float[Tensor, "b 3 3"]:
        side, down, right = draws.normal(3).unbind(1)
        share = (self.mean + self.sd * side).clamp(SMALLEST, LARGEST)
        height, width = size
        rows, cols = self.result_size(size)
        zero = torch.zeros_like(share)
        across = [share * width / cols, zero, self.centre_sd * right * width]
        along = [zero, share * height / rows, self.centre_sd * down * height]
        return torch.stack([*across, *along, zero, zero, zero + 1], 1).view(-1, 3, 3)

    def result_size(self, size: tuple[int, int]) -> tuple[int, int]:
        return size if self.px is None else (self.px, self.px)

    def __call__(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h2 w2"]:
        """Cut and enlarge each image by its own draw."""
        size = (images.shape[2], images.shape[3])
        return warp(images, self.sources(draws, size), self.result_size(size), fill=GREY)
