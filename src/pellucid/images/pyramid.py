"""Images as a sum of coarse and fine pictures: a Laplacian pyramid; and pyramids that images of a group share."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.errors import ImageError
from pellucid.images.color import ColorMap
from pellucid.images.image import LinearImage

__all__ = ["Levels", "Pyramid"]


class Levels:
    """Pictures of falling size whose enlarged sum is one picture of `size`; each level is 1/2^k of it, rounded up.

    Enlarging is bilinear, between pixel centres.
    """

    def __init__(self, size: tuple[int, int], channels: int, exponents: Sequence[int]) -> None:
        self.size, self.channels = size, channels
        self.sizes = [(-(-size[0] // 2**k), -(-size[1] // 2**k)) for k in exponents]
        self.counts = [channels * height * width for height, width in self.sizes]

    def split(self, flat: Float[Tensor, "n m"]) -> list[Float[Tensor, "n c _ _"]]:
        """The levels that lie in one row of numbers, finest first."""
        pieces = flat.split(self.counts, 1)
        return [piece.view(-1, self.channels, *size) for piece, size in zip(pieces, self.sizes, strict=True)]

    def sum(self, flat: Float[Tensor, "n m"]) -> Float[Tensor, "n c h w"]:
        """All levels enlarged to `size` and added."""
        enlarged = [self._enlarged(level) for level in self.split(flat)]
        return torch.stack(enlarged).sum(0) if len(enlarged) > 1 else enlarged[0]

    def analysed(self, pictures: Float[Tensor, "n c h w"]) -> Float[Tensor, "n m"]:
        """Levels that sum up to pictures, when one of them is of full size: the coarsest holds what is left of a
        picture made that small, the next what is then missing, and so on."""
        levels: list[Tensor] = []
        for size in reversed(self.sizes):
            level = F.interpolate(pictures, size=size, mode="bilinear", antialias=True, align_corners=False)
            pictures = pictures - self._enlarged(level)
            levels.insert(0, level.flatten(1))
        return torch.cat(levels, 1)

    def _enlarged(self, level: Float[Tensor, "n c _ _"]) -> Float[Tensor, "n c h w"]:
        if tuple(level.shape[-2:]) == self.size:
            return level
        return F.interpolate(level, size=self.size, mode="bilinear", align_corners=False)


class Pyramid(LinearImage):
    """Pictures stored as a Laplacian pyramid: what is large moves as one, what is small moves by itself.

    `parameter` is [b, m]: `num_levels` pictures one after the other, finest first, the k-th of size / 2^k (rounded up),
    in colour coordinates when a colour map is given: latents = sum_k enlarged(level_k), plus the mean colour. `size` is
    (height, width); `sd` is the spread of the random start of every level. A pyramid ends where a level is one pixel.

    It holds more numbers than pixels, so many parameters give one picture; from a photo they are the photo's own
    pyramid, whose sum is the photo. Steps of the levels add up: Adam takes half the rate of the Fourier image, 0.02 to
    0.05; 0.1 burns colours out.

    Raises:
        ImageError: the size or the number of levels is below 1, the colour map has another number of channels, or the
            spread is negative.
        RecipeError: no squash has this name.

    Source: Burt & Adelson, "The Laplacian Pyramid as a Compact Image Code", 1983; as an image to optimise, Lucid's
    `laplacian_pyramid_image`, whose 4 levels and bilinear enlarging are kept (its level sizes are rounded down).
    """

    def __init__(
        self,
        num_images: int,
        size: tuple[int, int],
        *,
        channels: int = 3,
        num_levels: int = 4,
        squash: str = "sigmoid",
        color: ColorMap | None = None,
        sd: float = 0.01,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(num_images, size, channels=channels, squash_name=squash, color=color, sd=sd, dtype=dtype)
        if num_levels < 1:
            raise ImageError(f"a pyramid has at least 1 level, not {num_levels}")
        self.num_levels = num_levels
        self._levels = Levels(size, channels, range(min(num_levels, 1 + math.ceil(math.log2(max(size))))))
        self.parameter = nn.Parameter(torch.zeros(num_images, sum(self._levels.counts), dtype=dtype))

    @property
    def levels(self) -> list[Float[Tensor, "b c _ _"]]:
        """The pictures that are summed, finest first: views of the parameter."""
        return self._levels.split(self.parameter)

    def _decoded(self, parameter: Float[Tensor, "n m"]) -> Float[Tensor, "n c h w"]:
        coordinates = self._levels.sum(parameter)
        return self._colored(coordinates.flatten(2), self._offset[:, None]).view_as(coordinates)

    def _encoded(self, latents: Float[Tensor, "n c h w"]) -> Float[Tensor, "n m"]:
        return self._levels.analysed(self._uncolored(latents))

    def _empty(self, size: tuple[int, int]) -> Pyramid:
        return Pyramid(
            self.num_images,
            size,
            channels=self.channels,
            num_levels=self.num_levels,
            squash=self.squash.name,
            color=self.color,
            sd=self.sd,
            dtype=self.parameter.dtype,
        )
