"""Images stored as they are: one number for each pixel and channel."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pellucid.images.color import ColorMap
from pellucid.images.image import LinearImage

__all__ = ["Pixels"]


class Pixels(LinearImage):
    """Pictures whose every pixel is a parameter of its own.

    `parameter` is [b, c, h, w], in colour coordinates when a colour map is given. `size` is (height, width); `sd` is
    the spread of the random start, in latents. Parameters are float32 (or float64): see `build_image`.

    Raises:
        ImageError: the size is empty or the colour map has another number of channels.
        RecipeError: no squash has this name.

    Source: the naive parameterization of Olah et al., "Feature Visualization", Distill 2017.
    """

    def __init__(
        self,
        num_images: int,
        size: tuple[int, int],
        *,
        channels: int = 3,
        squash: str = "sigmoid",
        color: ColorMap | None = None,
        sd: float = 0.01,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(num_images, size, channels=channels, squash_name=squash, color=color, sd=sd, dtype=dtype)
        self.parameter = nn.Parameter(torch.zeros(num_images, channels, *size, dtype=dtype))

    def _decoded(self, parameter: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return self._colored(parameter.flatten(2), self._offset[:, None]).view_as(parameter)

    def _encoded(self, latents: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return self._uncolored(latents)

    def _empty(self, size: tuple[int, int]) -> Pixels:
        return Pixels(
            self.num_images,
            size,
            channels=self.channels,
            squash=self.squash.name,
            color=self.color,
            sd=self.sd,
            dtype=self.parameter.dtype,
        )
