"""Does a picture stay as it is when it is optimised on, for another objective? What stays was made for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from skimage.metrics import structural_similarity
from torch import Tensor

from pellucid.ascent.jobs import ImageMaker
from pellucid.ascent.recipe import Recipe
from pellucid.ascent.render import render
from pellucid.ascent.rendering import Rendering
from pellucid.models.model import Model
from pellucid.objectives.objective import Objective

__all__ = ["LEAST_SSIM", "Verification", "reoptimised", "similarity"]

LEAST_SSIM = 0.7
"""Below it a picture has changed: its prediction is marked. Some good predictions are lost with it."""

STEPS = 500  # as the paper
SMALL_RATE = 0.002  # Adam's first steps are of the full rate whatever the gradient: at 0.05 even an optimum is left

# What a recipe may say that a re-optimisation does not do.
_PLAIN = Recipe()
_LEFT_OUT = (
    *("optimizer", "schedule", "final_rate", "octaves", "blur", "refine", "best_of", "plateau", "level", "start"),
    *("penalties", "prior", "relu_gradient", "max_pool_gradient", "members", "diversity", "alignment", "group_layer"),
    *("shared_low_res", "shared_start", "snapshots", "parameter_noise"),
)


@dataclass(frozen=True)
class Verification:
    """What became of pictures re-optimised for their predicted objectives: `images` [b, c, h, w] in the network's
    range, the SSIM [b] to what they were, and whose objective is marked as an outlier.
    """

    images: Float[Tensor, "b c h w"]
    ssim: Float[Tensor, " b"]
    threshold: float = LEAST_SSIM

    def __getitem__(self, which: slice) -> Verification:
        return Verification(self.images[which], self.ssim[which], self.threshold)

    @property
    def is_outlier(self) -> tuple[bool, ...]:
        """Whose picture has changed by more than the threshold: the answer is doubtful."""
        return tuple(not value >= self.threshold for value in self.ssim.tolist())


def reoptimised(
    model: Model,
    start: Rendering,
    objectives: Sequence[Objective],
    *,
    steps: int = STEPS,
    learning_rate: float = SMALL_RATE,
    make_image: ImageMaker | None = None,
) -> Rendering:
    """Optimise pictures on, each for an objective, from exactly where they are, by Adam and without transforms."""
    changed: dict[str, Any] = {
        **{name: getattr(_PLAIN, name) for name in _LEFT_OUT},
        "steps": steps,
        "learning_rate": learning_rate,
        "transforms": "none",
        "size": (start.images.shape[2], start.images.shape[3]),
    }
    recipe = replace(start.recipe, **changed)
    return render(model, list(objectives), recipe=recipe, parameters=start.parameters, make_image=make_image)


def similarity(first: Float[Tensor, "b c h w"], second: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """The SSIM of pictures, pair by pair: 1 for equal ones. Values are taken as from 0 to 1, or as far as they reach.

    Source: Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", IEEE TIP 2004, as
    scikit-image computes it (7x7 windows, or smaller for a picture smaller than that).
    """
    found = []
    for a, b in zip(first.double().numpy(), second.double().numpy(), strict=True):
        low, high = min(0.0, a.min(), b.min()), max(1.0, a.max(), b.max())
        window = min(7, (min(a.shape[1:]) - 1) // 2 * 2 + 1)
        if window < 3:
            found.append(float(np.allclose(a, b)))
            continue
        found.append(float(structural_similarity(a, b, channel_axis=0, data_range=high - low, win_size=window)))
    return torch.tensor(found, dtype=torch.float64)
