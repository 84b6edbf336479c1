"""From what was optimised to the response of a layer: the function whose Jacobian an inversion reads."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from pellucid.ascent.ranges import into_range
from pellucid.images.image import Image
from pellucid.models.model import Model
from pellucid.objectives.response import Response

__all__ = ["ResponseOf"]


@dataclass(frozen=True, eq=False)
class ResponseOf:
    """Parameters [b, m] of pictures -> responses [b, n] of a layer; row i of one is row i of the other."""

    model: Model
    image: Image
    response: Response
    units: int | None = None  # only so many, the first ones

    def __call__(self, flat: Float[Tensor, "b m"]) -> Float[Tensor, "b n"]:
        pictures = into_range(self.image.at(flat), self.image.ranges, self.model.value_range)
        responses: Tensor = self.response(self.model.tap(pictures, [self.response.tap]))
        return responses[:, : self.units]
