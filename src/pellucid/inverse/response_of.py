"""From what was optimised to the response of a layer: the function whose Jacobian an inversion reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from pellucid.ascent.ranges import into_range
from pellucid.images.image import Image
from pellucid.models.model import Model
from pellucid.objectives.response import Response

__all__ = ["ResponseOf"]


@dataclass(frozen=True, eq=False)
class ResponseOf:
    """Parameters [b, m] of pictures -> responses [b, n] of a layer; row i of one is row i of the other.

    `image_of` makes the image for so many pictures; it is asked once for each number.
    """

    model: Model
    image_of: Callable[[int], Image]
    response: Response
    units: int | None = None  # only so many, the first ones
    _images: dict[int, Image] = field(default_factory=dict, repr=False)

    def __call__(self, flat: Float[Tensor, "b m"]) -> Float[Tensor, "b n"]:
        count = len(flat)
        if count not in self._images:
            self._images[count] = self.image_of(count)
        image = self._images[count]
        pictures = into_range(image.at(flat), image.ranges, self.model.value_range)
        responses: Tensor = self.response(self.model.tap(pictures, [self.response.tap]))
        return responses[:, : self.units]
