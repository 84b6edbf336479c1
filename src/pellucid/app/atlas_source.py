"""Pictures of units from an atlas, for whoever asks for pictures of targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from pellucid.ascent.rendering import State, Status
from pellucid.ascent.source import Portrait
from pellucid.atlas.store import Atlas
from pellucid.errors import TableError
from pellucid.images import files
from pellucid.models.model import Model
from pellucid.models.value_range import in_range

__all__ = ["AtlasPortraits"]


class AtlasPortraits:
    """A `RenderingSource` that gives what an atlas of this network holds.

    Raises:
        TableError: the atlas is of another network.
    """

    def __init__(self, atlas: Atlas, model: Model) -> None:
        self.atlas, self.model = atlas, model
        own = atlas.card.model
        if own.hash != model.weights_hash:
            raise TableError(
                f"the atlas is of {own.name} ({own.hash}), not of {model.name} ({model.weights_hash}): give another"
            )

    def portraits(self, targets: Sequence[str]) -> dict[str, Portrait]:
        """The pictures that the atlas has of these targets."""
        found = {}
        for target in targets:
            about, data = self.atlas.picture(target), self.atlas.image(target)
            if about is not None and data is not None:
                image = in_range(files.read(data, channels=self.model.channels, name=target), self.model.value_range)
                found[target] = Portrait(
                    target, image, about.score or 0.0, Status(cast("State", about.status), about.steps)
                )
        return found
