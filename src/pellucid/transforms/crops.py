"""Transforms that change the size of the canvas: pad and random crop."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from pellucid.draws import Draws
from pellucid.errors import RecipeError
from pellucid.transforms.transform import Chained, Length, filling, length

__all__ = ["Pad", "RandomCrop", "central"]


@dataclass(frozen=True)
class Pad(Chained):
    """Put a frame of `px` pixels around each picture: mid-grey (or `fill`), or the picture reflected at its edge.

    In a pipeline the frame is what later moves bring into sight; the result is cut back to the picture's size.
    """

    px: Length
    mode: str  # "grey" | "reflect"
    fill: float | int | tuple[float | int, ...]

    def __init__(
        self,
        px: int | Length,
        mode: str = "grey",
        *,
        fill: float | int | tuple[float | int, ...] = 0.5,
    ) -> None:
        if mode not in ("grey", "reflect"):
            raise RecipeError(f"pad cannot fill with {mode!r}. Possible: 'grey', 'reflect'")
        object.__setattr__(self, "px", length(px))
        object.__setattr__(self, "mode", mode)
        object.__setattr__(self, "fill", fill)

    def __call__(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h2 w2"]:
        """The same frame for every image: nothing is drawn.

        Raises:
            RecipeError: a reflection wider than the picture.
        """
        height, width = images.shape[2:]
        px = self.px.on((height, width))
        if px == 0:
            return images
        if self.mode == "reflect":
            if px >= min(height, width):
                raise RecipeError(
                    f"a picture of {height} x {width} px cannot be reflected over {px} px. "
                    f"Give {min(height, width) - 1} px or less, or fill with grey"
                )
            return F.pad(images, [px] * 4, mode="reflect")
        outside = filling(self.fill, images)
        return F.pad(images - outside, [px] * 4) + outside


@dataclass(frozen=True)
class RandomCrop(Chained):
    """Cut a piece of `size` (height, width) out of each picture, at a place of its own."""

    size: tuple[int, int]

    def __init__(self, size: int | tuple[int, int]) -> None:
        size = (size, size) if isinstance(size, int) else size
        if min(size) < 1:
            raise RecipeError(f"a crop of {size[0]} x {size[1]} px is empty. Give 1 px or more")
        object.__setattr__(self, "size", size)

    def __call__(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h2 w2"]:
        """Cut every image at its own draw.

        Raises:
            RecipeError: the crop is larger than the picture.
        """
        (height, width), (rows, columns) = images.shape[2:], self.size
        if rows > height or columns > width:
            raise RecipeError(
                f"a crop of {rows} x {columns} px does not fit into a picture of {height} x {width} px. "
                "Crop less, or pad first"
            )
        pieces = []
        for image, (down, right) in zip(images, draws.uniform(2).tolist(), strict=True):
            top, left = int(down * (height - rows + 1)), int(right * (width - columns + 1))
            pieces.append(image[:, top : top + rows, left : left + columns])
        return torch.stack(pieces)


def central(images: Float[Tensor, "b c h w"], size: tuple[int, int]) -> Float[Tensor, "b c h2 w2"]:
    """The middle of each picture, at most `size` (height, width) large."""
    top, left = max(0, images.shape[2] - size[0]) // 2, max(0, images.shape[3] - size[1]) // 2
    return images[:, :, top : top + size[0], left : left + size[1]]
