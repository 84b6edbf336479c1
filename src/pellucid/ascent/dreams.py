"""What a dream gives back: the picture, how the score rose, and how it came about."""

from __future__ import annotations

import io
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from pellucid.ascent.dream_recipe import DreamRecipe
from pellucid.ascent.rendering import Status
from pellucid.images.files import write
from pellucid.images.sheets import picture

__all__ = ["Dream", "Octave"]


@dataclass(frozen=True)
class Octave:
    """One size that was dreamt at: (height, width) in px of picture and tiles; `scores` before each of its steps, means
    over the tiles; `image` [c, h, w] in [0, 1] where octaves were kept."""

    size: tuple[int, int]
    tile: tuple[int, int]
    scores: tuple[float, ...]
    image: Float[Tensor, "c h w"] | None = None


@dataclass(frozen=True)
class Dream:
    """A photo with what a network saw in it.

    `image` [c, h, w] float32 in [0, 1]; `score` and `photo_score` are means over the tiles of the last octave, of
    the dream and of the photo (NaN after Ctrl-C, which does not wait for them).
    """

    image: Float[Tensor, "c h w"]
    score: float
    photo_score: float
    octaves: tuple[Octave, ...]
    status: Status
    target: str
    recipe: DreamRecipe
    model_name: str
    model_hash: str

    def provenance(self) -> dict[str, Any]:
        """Where the picture comes from, as plain data: network, target, recipe, scores, status."""
        octaves = [{"size": o.size, "tile": o.tile, "scores": [_number(s) for s in o.scores]} for o in self.octaves]
        return {
            "pellucid": "dream",
            "model": self.model_name,
            "model_hash": self.model_hash,
            "target": self.target,
            "score": _number(self.score),
            "photo_score": _number(self.photo_score),
            "status": asdict(self.status),
            "recipe": self.recipe.as_dict(),
            "octaves": octaves,
        }

    def save(self, path: str | Path) -> Path:
        """Write the picture, with its provenance inside; the suffix chooses the format (PNG, WebP, JPEG).

        Raises:
            ImageError: the file cannot be written.
        """
        write(path, self.image, metadata={"pellucid": json.dumps(self.provenance())})
        return Path(path)

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        buffer = io.BytesIO()
        picture(self.image).save(buffer, "PNG")
        return buffer.getvalue()


def _number(value: float) -> float | None:
    """A score as JSON has it: what is no number is null."""
    return value if math.isfinite(value) else None
