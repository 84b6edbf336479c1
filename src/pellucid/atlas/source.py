"""An atlas as a source of pictures, for whoever only needs to look."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from pellucid.ascent.rendering import Status
from pellucid.ascent.source import Portrait
from pellucid.atlas.shards import Picture
from pellucid.atlas.store import Atlas
from pellucid.errors import AtlasError, TargetError
from pellucid.models.targets import Target

__all__ = ["AtlasSource"]


@dataclass(frozen=True)
class AtlasSource:
    """Gives the pictures of an atlas; with `model_hash`, only if it is of the network with these weights.

    Of a negated unit it gives the negative. What does not show its unit is left out, so that another source may try.

    Raises:
        AtlasError: the atlas is of another network.
    """

    atlas: Atlas
    model_hash: str | None = None

    def __post_init__(self) -> None:
        own = self.atlas.card.model
        if self.model_hash is not None and self.model_hash != own.hash:
            raise AtlasError(
                f"{self.atlas.place.url!r} is an atlas of {own.name} with weights {own.hash}, and not {self.model_hash}"
            )

    def portraits(self, targets: Sequence[str]) -> dict[str, Portrait]:
        """The pictures of these targets, as far as the atlas has them: 8-bit, in the network's value range."""
        found: dict[str, Portrait] = {}
        for text in targets:
            for picture in self._known(text):
                if picture.is_good and (image := self.atlas.image(picture.target, picture.view)) is not None:
                    status = Status(picture.status, picture.steps, picture.rescue)  # type: ignore[arg-type]
                    found[text] = Portrait(text, self._decoded(image), picture.score or 0.0, status)
        return found

    def _known(self, text: str) -> Iterator[Picture]:
        """The picture that a target means; none for what is no unit."""
        try:
            target = Target.parse(text)
        except TargetError:
            return
        is_negative = target.terms[0].negative
        key = str(-target) if is_negative else str(target)
        if picture := self.atlas.picture(key, "negative" if is_negative else "picture"):
            yield picture

    def _decoded(self, image: bytes) -> torch.Tensor:
        """A stored picture as [c, h, w] in the network's value range."""
        channels = self.atlas.card.model.channels
        alpha = self.atlas.card.recipe.alpha
        modes = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
        mode = modes.get(channels + alpha, "RGB")
        values = np.asarray(Image.open(io.BytesIO(image)).convert(mode), dtype=np.float32) / 255
        picture = torch.from_numpy(values.reshape(*values.shape[:2], -1)).permute(2, 0, 1)
        low, high = self.atlas.card.model.value_range
        colors = picture[:channels] * (high - low) + low
        return torch.cat([colors, picture[channels:]]) if alpha else colors
