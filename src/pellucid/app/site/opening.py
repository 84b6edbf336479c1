"""Stored pictures opened with care: an atlas may be a stranger's, and its pictures anything."""

from __future__ import annotations

import io

from PIL import Image

__all__ = ["MOST_PIXELS", "opened"]

MOST_PIXELS = 4096 * 4096  # far above any rendering; 50 MB decoded


def opened(data: bytes) -> Image.Image:
    """A picture, not yet decoded.

    Raises:
        OSError, ValueError: it is none, or has more than `MOST_PIXELS`.
    """
    try:
        picture = Image.open(io.BytesIO(data))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise OSError(str(error)) from None
    if picture.width * picture.height > MOST_PIXELS:
        raise OSError(f"a picture of {picture.width} x {picture.height} px is none of an atlas's")
    return picture
