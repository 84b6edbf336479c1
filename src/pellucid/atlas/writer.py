"""Pictures into shards: gathered until they are worth a file, then written whole."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Sequence

from PIL import Image

from pellucid.atlas.place import Place
from pellucid.atlas.shards import Picture, packed, shard_name

__all__ = ["Writer", "encoded"]

_MOST_ROWS = 64  # pictures in a shard as it is first written
_MOST_SECONDS = 15.0  # that a finished picture waits for the disk: what is lost when a sweep is killed
_EFFORT = 1  # of the encoder: 3 ms for 64 x 64 px, and 2 % larger than at 4, which takes 39 ms


class Writer:
    """Takes finished pictures and writes shards of one layer and view. May be used from several threads."""

    def __init__(self, place: Place, *, most_rows: int = _MOST_ROWS, most_seconds: float = _MOST_SECONDS) -> None:
        self.place, self.most_rows, self.most_seconds = place, most_rows, most_seconds
        self._waiting: list[Picture] = []
        self._since = 0.0
        self._lock = threading.Lock()

    def put(self, pictures: Sequence[Picture]) -> None:
        """Take the pictures of one unit and view, which stay together; write a shard when enough have come.

        Raises:
            AtlasError: the shard cannot be written; its pictures go on waiting.
        """
        with self._lock:
            first, new = (self._waiting or pictures)[0], pictures[0]
            if (first.layer, first.view) != (new.layer, new.view):
                self._flush()
            if not self._waiting:
                self._since = time.monotonic()
            self._waiting += pictures
            if len(self._waiting) >= self.most_rows:
                self._flush()

    def tick(self) -> None:
        """To be called now and then: write what has waited long enough, however little it is.

        Raises:
            AtlasError: it cannot be written.
        """
        with self._lock:
            if self._waiting and time.monotonic() - self._since >= self.most_seconds:
                self._flush()

    def flush(self) -> None:
        """Write what waits.

        Raises:
            AtlasError: it cannot be written.
        """
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            write_shard(self.place, self._waiting)
            self._waiting = []


def write_shard(place: Place, pictures: Sequence[Picture]) -> str:
    """Write one shard and return its name.

    Raises:
        AtlasError: it cannot be written.
    """
    data = packed(pictures)
    name = shard_name(pictures, data)
    place.write(name, data)
    return name


def encoded(picture: Image.Image) -> bytes:
    """A picture as lossless WebP."""
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", lossless=True, exact=True, method=_EFFORT)
    return buffer.getvalue()
