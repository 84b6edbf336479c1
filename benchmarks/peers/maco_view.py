"""What the network sees of a MACO canvas: the canvas is larger, and each step shows crops of it.

The judge looks at the central crop of the mean size, at the network's size. Horama's boxes are 0.25 to 0.3 of the
canvas, which is 1280 px for a network of 224.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

__all__ = ["CANVAS", "canvas_of", "central"]

CANVAS, FOR = 1280, 224  # px: Horama's default canvas, and the network it is for


def canvas_of(size: int) -> int:
    """The side of the canvas for a network of `size` px, in Horama's proportion."""
    return CANVAS * size // FOR


def central(images: Tensor, size: int, boxes: tuple[float, float]) -> Tensor:
    """The central box [..., 3, size, size] of canvases [..., 3, h, h]; `boxes` are the shares of its smallest and
    largest box.
    """
    side = images.shape[-1]
    box = round(side * sum(boxes) / 2)
    corner = (side - box) // 2
    seen = images[..., corner : corner + box, corner : corner + box].flatten(0, -4)
    seen = F.interpolate(seen, (size, size), mode="bicubic", align_corners=True, antialias=True)
    return seen.view(*images.shape[:-2], size, size)
