"""Pictures for pages: where a unit fires in a photo, the part it sees, and any of them as text for an `img`."""

from __future__ import annotations

import base64
import io

import torch
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F

from pellucid.images.sheets import picture

__all__ = ["crop", "data_uri", "encoded", "framed_cell", "heat", "portrait_picture", "spotlight"]

_DIM = 0.16  # of the photo's brightness where the unit does not fire: what is there is still to be made out
_FRAME, _FRAMES = "#c2410c", 110  # its colour, the page's for marks; the photo is so many times as wide as its line
_QUALITY = 88  # of WebP
_HEAT_PX = 240  # the shorter side of a map on a page
_LEAST_PX = 96  # a crop of fewer px is enlarged


def spotlight(photo: Float[Tensor, "c h w"], map: Float[Tensor, "r k"]) -> Image.Image:
    """A photo lit where a map is high: from what is lowest or below zero (dim) to its highest (as it is)."""
    lit = map.clamp(min=0)
    lit = lit / lit.amax().clamp(min=1e-12)
    size = (photo.shape[1], photo.shape[2])
    light = F.interpolate(lit[None, None], size=size, mode="bicubic", align_corners=False)[0].clamp(0, 1)
    return picture(photo * (_DIM + (1 - _DIM) * light))


def crop(photo: Float[Tensor, "c h w"], box: tuple[int, int, int, int], size: tuple[int, int]) -> Image.Image:
    """The part of a photo that `box` (top, left, bottom, right) means, in px of a smaller `size` of the same photo."""
    down, right = photo.shape[1] / size[0], photo.shape[2] / size[1]
    rows = slice(round(box[0] * down), max(round(box[0] * down) + 1, round(box[2] * down)))
    cols = slice(round(box[1] * right), max(round(box[1] * right) + 1, round(box[3] * right)))
    cut = picture(photo[:, rows, cols])
    enlarge = max(1, -(-_LEAST_PX // max(cut.size)))
    return cut.resize((cut.width * enlarge, cut.height * enlarge), Image.Resampling.NEAREST)


def framed_cell(photo: Float[Tensor, "c h w"], place: tuple[int, int], cells: tuple[int, int]) -> Image.Image:
    """A photo with a frame around the cell `place` (row, column) of a map of so many rows and columns laid over it."""
    shown = picture(photo).convert("RGB")
    (row, col), (rows, cols) = place, cells
    edges = (col / cols, row / rows, (col + 1) / cols, (row + 1) / rows)
    left, top, right, bottom = (
        round(edge * length) for edge, length in zip(edges, 2 * (shown.width, shown.height), strict=True)
    )
    width = max(1, min(shown.size) // _FRAMES)
    draw = ImageDraw.Draw(shown)
    draw.rectangle((left, top, right - 1, bottom - 1), outline=_FRAME, width=width)
    draw.rectangle((left - 1, top - 1, right, bottom), outline="white")  # to be seen on red, too
    return shown


def portrait_picture(image: Float[Tensor, "c h w"], value_range: tuple[float, float]) -> Image.Image:
    """A unit's picture, which lies in a network's value range."""
    low, high = value_range
    return picture(torch.clamp((image - low) / (high - low), 0, 1))


def heat(map: Float[Tensor, "r k"], size: tuple[int, int]) -> Image.Image:
    """A map alone, from black (zero or below) to white (its highest), cell by cell, as large as suits a page."""
    lit = map.clamp(min=0)
    lit = lit / lit.amax().clamp(min=1e-12)
    scale = -(-_HEAT_PX // min(size))
    shown = picture(lit[None].float())
    return shown.resize((size[1] * scale, size[0] * scale), Image.Resampling.NEAREST)


def encoded(shown: Float[Tensor, "c h w"] | Image.Image) -> bytes:
    """A picture as WebP."""
    buffer = io.BytesIO()
    image = shown if isinstance(shown, Image.Image) else picture(shown)
    image.convert("RGB").save(buffer, "WEBP", quality=_QUALITY)
    return buffer.getvalue()


def data_uri(shown: Image.Image | bytes) -> str:
    """A picture, or an encoded WebP, as the text of an `img`'s source."""
    data = shown if isinstance(shown, bytes) else encoded(shown)
    return "data:image/webp;base64," + base64.b64encode(data).decode()
