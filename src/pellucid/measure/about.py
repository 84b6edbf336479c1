"""What each column of measures means, in a sentence with its unit and source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pellucid.survey.unit_table import About

__all__ = ["MEANINGS", "about"]

MEANINGS: dict[str, tuple[str, str]] = {
    "score": ("clean activation of the picture, without transforms, in the layer's units", ""),
    "reach_percentile": ("share of natural images that excite the unit less than its picture, 0 to 100", ""),
    "reach_ratio": ("clean activation of the picture over the most that a natural image reaches", ""),
    "robustness": (
        "mean activation under transforms not used while optimising, over the clean activation",
        "Olah et al. 2017",
    ),
    "path_similarity": (
        "mean over layers of path similarity: 1 processed like the natural images it stands for, 0 like others",
        "Geirhos et al. 2024",
    ),
    "path_similarity_by_layer": ("path similarity at each of path_layers, up to the unit's own", "Geirhos et al. 2024"),
    "example_likeness": (
        "likeness of the picture to the unit's natural top images, less that to other images",
        "Geirhos et al. 2024",
    ),
    "machine_interpretability": (
        "probability of telling, by the pictures of unit and opposite, which natural image excites it; 0.5 by chance",
        "Zimmermann et al. 2024",
    ),
    "interpretability_accuracy": ("share of those choices that are right", "Zimmermann et al. 2024"),
    "seed_agreement": ("mean pairwise likeness of the unit's pictures from several seeds", "Nguyen et al. 2016"),
    "model_randomisation": (
        "likeness of the picture to that of the same unit in the re-initialised network; near 1: architecture alone",
        "Adebayo et al. 2018",
    ),
    "flagged": ("manipulation check: high reach, low path similarity, unlike the natural top", "Geirhos et al. 2024"),
    "trust": ("mean rank by all measures among the units measured: 0 worst, 1 best", ""),
    "transfer_top1": ("whether another network's first guess is the picture's class", "Fel et al. 2023"),
    "transfer_top5": ("whether the picture's class is among another network's first five", "Fel et al. 2023"),
}


def about(column: str, settings: Mapping[str, Any]) -> About:
    """The meaning of a column, with its source and the settings that it was found with."""
    meaning, source = MEANINGS[column]
    return About(meaning, {**settings, **({"source": source} if source else {})})
