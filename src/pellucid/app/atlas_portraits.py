"""An atlas as a source of pictures, for those who only need to look."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pellucid.ascent.rendering import State, Status
from pellucid.ascent.source import Portrait
from pellucid.atlas.store import Atlas
from pellucid.errors import AtlasError
from pellucid.models.model import Model
from pellucid.models.value_range import in_range

__all__ = ["AtlasPortraits", "opened"]

_STATES: dict[str, State] = {"done": "done", "converged": "converged", "dead": "dead"}


def opened(folder: Path | None) -> Atlas | None:
    """The atlas in a folder, where one was named.

    Raises:
        AtlasError: there is none.
    """
    return None if folder is None else Atlas.open(folder)


class AtlasPortraits:
    """A `RenderingSource` over an atlas: the pictures of its units, and of their opposites where it has negatives.

    Eight bits a pixel, and lossy: scores that were measured while rendering may be off by some per cent.

    Raises:
        AtlasError: the atlas is of another network.
    """

    def __init__(self, atlas: Atlas, model: Model) -> None:
        own = atlas.card.model
        if own.hash != model.weights_hash:
            raise AtlasError(
                f"{atlas.place.url!r} is an atlas of {own.name} with weights {own.hash}, and {model.name} has weights "
                f"{model.weights_hash}: give the network that it was made of"
            )
        self.atlas, self.model = atlas, model

    def portraits(self, targets: Sequence[str]) -> dict[str, Portrait]:
        """The pictures of these targets, as far as the atlas has them."""
        found = {}
        for target in dict.fromkeys(targets):
            key, view = (target[1:], "negative") if target.startswith("-") else (target, "picture")
            about = self.atlas.picture(key, view)  # type: ignore[arg-type]  # one of its two views
            encoded = self.atlas.image(key, view) if about is not None else None  # type: ignore[arg-type]
            if about is None or encoded is None or about.status not in _STATES:
                continue
            with Image.open(io.BytesIO(encoded)) as file:
                shown = file.convert("RGB" if self.model.channels == 3 else "L")
                pixels = np.asarray(shown, np.float32).reshape(shown.height, shown.width, -1) / 255
            image = in_range(torch.from_numpy(pixels.transpose(2, 0, 1).copy()), self.model.value_range)
            status = Status(_STATES[about.status], about.steps, about.rescue)
            found[target] = Portrait(target, image, float("nan") if about.score is None else about.score, status)
        return found
