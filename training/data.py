"""Image sets as arrays: decoded once, kept in a cache folder, cut into augmented batches."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor


def load_split(
    data_dir: Path, cache_dir: Path, split: str, *, name: str = "tiny-imagenet-200"
) -> tuple[Tensor, Tensor]:
    """All pictures of `split` ("train", "val" or "test") as uint8 `[n, h, w, 3]`, and their labels as int64 `[n]`.

    Each set of pictures, by its `name`, wants a cache folder of its own.
    """
    pixels_path, labels_path = cache_dir / f"{split}-pixels.npy", cache_dir / f"{split}-labels.npy"
    if not labels_path.exists():
        cache_dir.mkdir(parents=True, exist_ok=True)
        files = sorted(data_dir.glob(f"{name}-{split}*.parquet"))
        if not files:
            raise FileNotFoundError(f"no {name}-{split}*.parquet in {data_dir}")
        table = [row for file in files for row in pq.read_table(file).to_pylist()]
        pixels = np.stack([_decode(row["image"]) for row in table])
        np.save(pixels_path, pixels)
        np.save(labels_path, np.array([row["label"] for row in table], np.int64))
    return torch.from_numpy(np.load(pixels_path)), torch.from_numpy(np.load(labels_path))


def _decode(encoded: bytes | dict) -> np.ndarray:
    data = encoded["bytes"] if isinstance(encoded, dict) else encoded
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def augmented(pixels: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Random crop-and-resize to `size` px, flip; uint8 `[b, h, w, 3]` -> float `[b, 3, size, size]` in [0, 1].

    The crop's side is drawn from 0.7 to 1 of the picture's, its aspect ratio from 0.85 to 1.18, so that one
    bilinear sample does cropping, resizing and flipping together.
    """
    b = len(pixels)
    draw = torch.rand(4, b, generator=generator)
    side, aspect = 0.7 + 0.3 * draw[0], torch.exp((draw[1] - 0.5) * 0.33)
    half_h, half_w = (side * aspect**0.5).clamp(max=1), (side / aspect**0.5).clamp(max=1)
    flip = torch.where(torch.rand(b, generator=generator) < 0.5, -1.0, 1.0)
    theta = torch.zeros(b, 2, 3)
    theta[:, 0, 0], theta[:, 0, 2] = half_w * flip, (2 * draw[2] - 1) * (1 - half_w)
    theta[:, 1, 1], theta[:, 1, 2] = half_h, (2 * draw[3] - 1) * (1 - half_h)
    grid = torch.nn.functional.affine_grid(theta, [b, 3, size, size], align_corners=False)
    images = pixels.permute(0, 3, 1, 2).float().div_(255)
    return torch.nn.functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
