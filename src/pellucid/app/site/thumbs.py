"""Small pictures for grids: the stored one where it is small already, else one made smaller, kept in memory."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from functools import cache

from PIL import Image, ImageDraw

from pellucid.app.site.opening import opened
from pellucid.app.site.shelf import Volume
from pellucid.atlas.shards import Picture

__all__ = ["SMALL_PX", "Thumbs", "nothing", "smaller"]

SMALL_PX = 192  # the largest tile of a grid, and enough for the usual one on a screen of double density
_KEPT = 4096  # thumbnails in memory, some 8 kB each


class Thumbs:
    """Thumbnails of one volume. May be used from several threads."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self._kept: OrderedDict[tuple[str, str | None], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, picture: Picture) -> bytes:
        """A picture of at most `SMALL_PX`, as WebP or JPEG; `nothing` where there is none to see.

        Raises:
            AtlasError: its shard is damaged.
        """
        if max(picture.height, picture.width) <= SMALL_PX:
            return self._volume.atlas.image(picture.target) or nothing()
        key = (picture.target, picture.resolved)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        data = self._volume.atlas.image(picture.target)
        if data is None:
            return nothing()
        small = smaller(data)
        with self._lock:
            self._kept[key] = small
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return small


def smaller(data: bytes, px: int = SMALL_PX) -> bytes:
    """An encoded picture with no side above `px`, as JPEG; `nothing` where it cannot be read, or is far too large."""
    try:
        with opened(data) as picture:
            if max(picture.size) <= px:
                return data
            picture.thumbnail((px, px), Image.Resampling.LANCZOS)
            buffer = io.BytesIO()
            _on_grey(picture).save(buffer, "JPEG", quality=88)
    except (OSError, ValueError):
        return nothing()
    return buffer.getvalue()


@cache
def nothing() -> bytes:
    """What stands for a unit without a picture: a crossed field, so that it is not taken for one that still loads."""
    field = Image.new("RGB", (64, 64), (150, 146, 138))
    for line in ((20, 20, 44, 44), (44, 20, 20, 44)):
        ImageDraw.Draw(field).line(line, fill=(110, 106, 98), width=3)
    buffer = io.BytesIO()
    field.save(buffer, "PNG")
    return buffer.getvalue()


def _on_grey(picture: Image.Image) -> Image.Image:
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    grey = Image.new("RGBA", picture.size, (128, 128, 128, 255))
    return Image.alpha_composite(grey, picture.convert("RGBA")).convert("RGB")
