"""Pictures of any size, as a network of one size is shown them."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

__all__ = ["fitted"]


def fitted(images: Float[Tensor, "n c h w"], size: tuple[int, int]) -> Float[Tensor, "n c h2 w2"]:
    """Pictures resized to cover `size` (height, width) without distortion, and cut to their middle.

    Bilinear with antialiasing, so that values never leave the range of the picture. Of one far longer than wide, the
    middle is cut out first: a strip of 1 x 30,000 px need not be covered whole.
    """
    height, width = images.shape[-2:]
    if (height, width) == size:
        return images
    tall, wide = -(-2 * width * size[0] // size[1]), -(-2 * height * size[1] // size[0])
    top, left = max(0, (height - tall) // 2), max(0, (width - wide) // 2)
    images = images[..., top : height - top, left : width - left]
    height, width = images.shape[-2:]
    factor = max(size[0] / height, size[1] / width)
    covering = max(size[0], round(height * factor)), max(size[1], round(width * factor))
    covered = F.interpolate(images, size=covering, mode="bilinear", antialias=True, align_corners=False)
    top, left = (covering[0] - size[0]) // 2, (covering[1] - size[1]) // 2
    return covered[..., top : top + size[0], left : left + size[1]]
