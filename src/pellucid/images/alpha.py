"""Pictures with transparency: what a network does not need becomes see-through."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from pellucid.draws import Draws
from pellucid.errors import ImageError
from pellucid.images.image import Image

__all__ = ["Alpha", "over", "random_backgrounds"]

_CELLS = 6  # of a random background along its longer side: patches that a network could see


class Alpha(Image):
    """Colour and opacity, both optimised: pictures [b, c + 1, h, w], the last channel alpha (1 hides, 0 shows through).

    `color` is any image and `alpha` another one of the same rows and size with one channel. A network sees the picture
    laid `over` a background. With a background that is random at every step, colours can only matter where alpha is
    high, and alpha is worth raising only where the network looks; weighed against a price for alpha (its mean over the
    picture, to be subtracted from the objective), what is left opaque is what the objective needs.

    A photo has c channels or c + 1; without alpha it is opaque.

    Raises:
        ImageError: the two images differ in rows or size, or `alpha` has more than one channel.

    Source: Mordvintsev et al., "Differentiable Image Parameterizations", Distill 2018 (semi-transparent patterns);
    Lucid's `image(alpha=True)`: alpha is the sigmoid of a fourth channel that colour decorrelation leaves alone.
    """

    def __init__(self, color: Image, alpha: Image) -> None:
        super().__init__(color.num_images, color.size, color.channels + 1)
        if alpha.channels != 1 or (alpha.num_images, alpha.size) != (color.num_images, color.size):
            raise ImageError(
                f"alpha for {color.num_images} images of {color.size[0]} x {color.size[1]} px is an image of as many "
                f"rows, that size and 1 channel, not {alpha.num_images}, {alpha.size[0]} x {alpha.size[1]} and "
                f"{alpha.channels}"
            )
        self.color = color
        self.alpha = alpha

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        return (*self.color.ranges, *self.alpha.ranges)

    def forward(self) -> Float[Tensor, "b c h w"]:
        return torch.cat([self.color(), self.alpha()], 1)

    def reset_rows(self, rows: Sequence[int], draws: Draws) -> None:
        self.color.reset_rows(rows, draws)
        self.alpha.reset_rows(rows, draws.child("alpha"))

    def set_rows(self, rows: Sequence[int], images: Float[Tensor, "n c h2 w2"]) -> None:
        if images.ndim == 4 and images.shape[1] == self.color.channels:
            images = torch.cat([images, torch.ones_like(images[:, :1])], 1)
        pictures = self._checked_pictures(rows, images)
        self.color.set_rows(rows, pictures[:, :-1])
        self.alpha.set_rows(rows, pictures[:, -1:])

    def resized(self, size: tuple[int, int]) -> Alpha:
        return Alpha(self.color.resized(size), self.alpha.resized(size))

    def project(self) -> None:
        self.color.project()
        self.alpha.project()


def random_backgrounds(draws: Draws, pictures: Float[Tensor, "b _ h w"]) -> Float[Tensor, "b c h w"]:
    """A random background in [0, 1] for each picture: soft patches of colour, some six along the longer side.

    Source: the idea of Lucid's `collapse_alpha_random`, whose backgrounds are decorrelated Fourier noise.
    """
    height, width = pictures.shape[2:]
    rows, cols = (max(2, round(_CELLS * side / max(height, width))) for side in (height, width))
    patches = draws.uniform(pictures.shape[1] - 1, rows, cols).to(pictures)
    return F.interpolate(patches, size=(height, width), mode="bilinear", align_corners=True)


def over(
    pictures: Float[Tensor, "b _ h w"], background: Float[Tensor, "#b c #h #w"] | Float[Tensor, " c"]
) -> Float[Tensor, "b c h w"]:
    """Lay pictures [b, c + 1, h, w], whose last channel is alpha, over a background: alpha x + (1 - alpha) background.

    The background is one picture for each, one for all, or a colour [c]. Colours are not premultiplied by alpha.

    Raises:
        ImageError: the background has other than one channel less than the pictures.

    Source: Porter & Duff, "Compositing Digital Images", 1984; Lucid's `collapse_alpha_random` uses coloured noise.
    """
    if background.ndim == 1:
        background = background[None, :, None, None]
    if background.shape[1] != pictures.shape[1] - 1:
        raise ImageError(
            f"pictures of {pictures.shape[1] - 1} channels and alpha lie over a background of as many channels, "
            f"not {background.shape[1]}"
        )
    alpha = pictures[:, -1:]
    return alpha * pictures[:, :-1] + (1 - alpha) * background
