"""Which pictures look alike: by their colours, and by the scale and direction of their strokes, wherever they lie."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pellucid.app.site.opening import opened
from pellucid.atlas.shards import Picture
from pellucid.atlas.store import Atlas
from pellucid.errors import AtlasError

__all__ = ["Alike", "Likeness", "describe"]

_PX = 64  # to which pictures are brought: strokes finer than 2 px of it are not told apart
_RINGS, _SECTORS, _CHROMA = 5, 8, 6
_BATCH = 128  # pictures described at once
# Lightness, and the two differences by which eyes tell colours apart.
_OPPONENT = np.array([[0.299, 0.587, 0.114], [0.5, -0.5, 0.0], [0.25, 0.25, -0.5]], np.float32)


@dataclass(frozen=True)
class Alike:
    """A unit whose picture looks like another's; `likeness` is a cosine, 1 for the same picture."""

    layer: str
    unit: int
    likeness: float


class Likeness:
    """The pictures of an atlas, described once, when they are first asked for. May be used from several threads."""

    def __init__(self, atlas: Atlas) -> None:
        self._atlas, self._lock = atlas, threading.Lock()
        self._units: list[Picture] = []
        self._rows: dict[str, int] = {}
        self._described: NDArray[np.float32] | None = None

    def of(self, target: str, most: int = 24) -> list[Alike]:
        """The units whose pictures are most like a unit's, most alike first; none when it has no picture."""
        described = self._all()
        at = self._rows.get(target)
        if at is None:
            return []
        likeness = described @ described[at]
        likeness[at] = -np.inf
        nearest = np.argsort(-likeness)[: min(most, len(likeness) - 1)]
        return [Alike(self._units[row].layer, self._units[row].unit, float(likeness[row])) for row in nearest]

    def _all(self) -> NDArray[np.float32]:
        """A unit vector for each of `_units`."""
        with self._lock:
            if self._described is None:
                pixels, self._units, parts = [], [], []
                for one in self._atlas.pictures():
                    if one.is_good and (values := self._pixels(one)) is not None:
                        self._units.append(one)
                        pixels.append(values)
                    if len(pixels) == _BATCH:
                        parts.append(describe(np.stack(pixels)))
                        pixels = []
                if pixels:
                    parts.append(describe(np.stack(pixels)))
                self._rows = {one.target: row for row, one in enumerate(self._units)}
                self._described = _compared(np.concatenate(parts)) if parts else np.zeros((0, 1), np.float32)
            return self._described

    def _pixels(self, one: Picture) -> NDArray[np.uint8] | None:
        try:
            data = self._atlas.image(one.target)
            if data is None:
                return None
            with opened(data) as picture:
                return np.asarray(picture.convert("RGB").resize((_PX, _PX), Image.Resampling.BOX), np.uint8)
        except (AtlasError, OSError, ValueError):
            return None


def describe(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pictures [b, 64, 64, 3] as numbers [b, n]: power of lightness by scale and direction, and a map of colours."""
    opponent = (pixels.astype(np.float32) / 255) @ _OPPONENT.T
    light = opponent[..., 0] - opponent[..., 0].mean((1, 2), keepdims=True)
    power = np.abs(np.fft.fft2(light, norm="ortho")) ** 2
    strokes = np.log(power.reshape(len(pixels), -1) @ _wedges() + 1e-4)
    shades = np.clip(((opponent[..., 1:] + 0.5) * _CHROMA).astype(np.int64), 0, _CHROMA - 1)
    cells = shades[..., 0] * _CHROMA + shades[..., 1] + _CHROMA**2 * np.arange(len(pixels))[:, None, None]
    colors = np.bincount(cells.ravel(), minlength=_CHROMA**2 * len(pixels)).reshape(len(pixels), -1) / _PX**2
    means = opponent.mean((1, 2))
    return np.concatenate([strokes, 4 * np.sqrt(colors), 8 * means], 1).astype(np.float32)


def _wedges() -> NDArray[np.float32]:
    """Which frequencies [64 * 64] belong to which ring and sector [40], each summing to one."""
    y, x = np.meshgrid(np.fft.fftfreq(_PX), np.fft.fftfreq(_PX), indexing="ij")
    radius, angle = np.hypot(x, y), np.arctan2(y, x) % np.pi
    ring = np.clip(np.log2(np.maximum(radius, 1e-9) * _PX).astype(int), 0, _RINGS - 1)
    sector = (angle / np.pi * _SECTORS).astype(int) % _SECTORS
    wedges = np.zeros((_PX * _PX, _RINGS * _SECTORS), np.float32)
    wedges[np.arange(_PX * _PX), (ring * _SECTORS + sector).ravel()] = (radius > 0).ravel()
    shared: NDArray[np.float32] = wedges / np.maximum(wedges.sum(0), 1)
    return shared


def _compared(described: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit vectors, after what all pictures of the atlas share was taken away."""
    centred: NDArray[np.float32] = described - described.mean(0)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
    return centred
