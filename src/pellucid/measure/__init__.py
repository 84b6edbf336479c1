"""How far a unit's picture can be trusted: measures with a definition and a source each.

    import pellucid as pl

    model = pl.load("default")
    pictures = pl.render(model, ["mixed4a:12", "mixed4a:13"])
    natural = pl.measure.Reference.of("mine", [(images, labels)])  # [b, c, h, w] in [0, 1], and [b]
    pl.measure.measure(model, pictures, natural).row("mixed4a:12")

Names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid.first_used import loaded_when_used

if TYPE_CHECKING:
    from pellucid.measure.agreement import model_randomisation, seed_agreement
    from pellucid.measure.evidence import Evidence
    from pellucid.measure.interpretability import machine_interpretability
    from pellucid.measure.likeness import Features, Ssim, best_likeness
    from pellucid.measure.manipulation import suspicion
    from pellucid.measure.paths import path_similarity, similarity_of_paths
    from pellucid.measure.randomisation import reinitialised
    from pellucid.measure.reference import Reference
    from pellucid.measure.report import write_page
    from pellucid.measure.strength import reach, robustness
    from pellucid.measure.table import measure
    from pellucid.measure.transfer import transferability

# No module of this room is named like a public function: importing it would take the function's place here.
_HOMES = {
    "Evidence": "pellucid.measure.evidence",
    "Features": "pellucid.measure.likeness",
    "Reference": "pellucid.measure.reference",
    "Ssim": "pellucid.measure.likeness",
    "best_likeness": "pellucid.measure.likeness",
    "machine_interpretability": "pellucid.measure.interpretability",
    "measure": "pellucid.measure.table",
    "model_randomisation": "pellucid.measure.agreement",
    "path_similarity": "pellucid.measure.paths",
    "reach": "pellucid.measure.strength",
    "reinitialised": "pellucid.measure.randomisation",
    "robustness": "pellucid.measure.strength",
    "seed_agreement": "pellucid.measure.agreement",
    "similarity_of_paths": "pellucid.measure.paths",
    "suspicion": "pellucid.measure.manipulation",
    "transferability": "pellucid.measure.transfer",
    "write_page": "pellucid.measure.report",
}

__all__ = [
    "Evidence",
    "Features",
    "Reference",
    "Ssim",
    "best_likeness",
    "machine_interpretability",
    "measure",
    "model_randomisation",
    "path_similarity",
    "reach",
    "reinitialised",
    "robustness",
    "seed_agreement",
    "similarity_of_paths",
    "suspicion",
    "transferability",
    "write_page",
]

__getattr__, __dir__ = loaded_when_used(__name__, _HOMES, __all__)
