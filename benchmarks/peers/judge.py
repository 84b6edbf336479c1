"""The one judge of all pictures: the network by its true contract, in float32, without anyone's library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import networks
from networks import Network

__all__ = ["Judge", "first_at_least", "nearest", "perturbed"]

_BATCH = 16
# Of one draw: far less than any side trains with where it does at all (jitter is by whole pixels up to 12, noise only
# Horama's), and nobody trains with a perspective or a change of brightness.
_SHIFT_PX, _PERSPECTIVE, _BRIGHTNESS, _NOISE_SD = 1.0, 0.05, 0.2, 0.03


class _Seen(Exception):
    """Carries the layer's output out of a forward pass that needs go no further."""

    def __init__(self, output: Tensor) -> None:
        self.output = output


def perturbed(images: Tensor, seed: int) -> Tensor:
    """Images [b, 3, h, w] under one draw of transforms that neither side trained with, the same for all of them.

    A perspective (depth changes by up to 10 % at the corners), a shift by part of a pixel, brightness by up to 20 %,
    and noise of sd 0.03; what comes into the picture from outside is its mirror image.
    """
    draw = torch.Generator().manual_seed(seed)
    tilt_x, tilt_y, shift_x, shift_y, light = (2 * torch.rand(5, generator=draw) - 1).tolist()
    _, _, height, width = images.shape
    y, x = torch.meshgrid(
        *((torch.arange(n, dtype=torch.float32) * 2 + 1) / n - 1 for n in (height, width)), indexing="ij"
    )
    depth = 1 + _PERSPECTIVE * (tilt_x * x + tilt_y * y)
    grid = torch.stack(
        [x / depth + 2 * _SHIFT_PX * shift_x / width, y / depth + 2 * _SHIFT_PX * shift_y / height], dim=-1
    )
    grid = grid.expand(len(images), -1, -1, -1)
    warped = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    noise = torch.randn(images.shape[1:], generator=draw) * _NOISE_SD
    brighter: Tensor = warped * (1 + _BRIGHTNESS * light)
    return brighter + noise


class Judge:
    """Mean activations of a layer's channels over all positions."""

    def __init__(self, network: Network, weights: Path, size: int) -> None:
        self.net, self.size = networks.build(network, weights).requires_grad_(False), size
        mean, std = network.contract
        self.mean, self.std = torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1)
        self.net.get_submodule(network.layer).register_forward_hook(self._stop)

    @staticmethod
    def _stop(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        raise _Seen(output)

    def clean(self, images: np.ndarray | Tensor, units: Sequence[int]) -> list[float]:
        """Of image i [3, h, w] in [0, 1] the mean activation of units[i], without transforms.

        Images smaller than the benchmark's size are enlarged to it, as Lucent does with its own.
        """
        return self._activations(self._as_tensor(images), units).tolist()

    def under_transforms(self, images: np.ndarray | Tensor, units: Sequence[int], draws: int) -> list[float]:
        """The same, as a mean over draws of `perturbed`; the draws are the same for every call."""
        pictures = self._as_tensor(images)
        total = torch.zeros(len(units))
        for draw in range(draws):
            total += self._activations(perturbed(pictures, draw), units)
        return (total / draws).tolist()

    def _as_tensor(self, images: np.ndarray | Tensor) -> Tensor:
        pictures = torch.tensor(np.asarray(images), dtype=torch.float32)
        if max(pictures.shape[2:]) < self.size:
            pictures = F.interpolate(pictures, (self.size, self.size), mode="bilinear", align_corners=True)
        return pictures

    @torch.no_grad()
    def _activations(self, images: Tensor, units: Sequence[int]) -> Tensor:
        means = []
        for part, wanted in zip(images.split(_BATCH), torch.tensor(units).split(_BATCH), strict=True):
            try:
                self.net((part - self.mean) / self.std)
            except _Seen as seen:
                means.append(seen.output.mean((2, 3)).gather(1, wanted[:, None])[:, 0])
        return torch.cat(means)


def first_at_least(curve: Sequence[float], goal: float) -> int | None:
    """Place of the first value that is at least the goal."""
    return next((place for place, value in enumerate(curve) if value >= goal and math.isfinite(value)), None)


def nearest(curve: Sequence[float], goal: float) -> int:
    """Place of the value nearest to the goal."""
    return min(range(len(curve)), key=lambda place: abs(curve[place] - goal))
