"""Random numbers by counter: one independent stream per image, whatever else is in the batch.

A stream is a 64-bit key; a number is a hash of its key and its place. Nothing advances, so an image's numbers depend
on its own key, step and purpose alone: not on its neighbours, the device, or how a sweep was interrupted.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Draws"]

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as int64, the odd increment of splitmix64
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB
_FINEST, _UNIT = np.uint64(40), np.float32(2.0**-24)
_SHIFTS, _FACTORS = np.array([30, 27, 31], np.uint64), np.array([_MIX_1, _MIX_2]).view(np.uint64)
# So many numbers NumPy makes faster: each of torch's operations takes microseconds, and lets go of Python's lock.
_FEW = 4096


@functools.lru_cache(1024)
def _hashed(text: str) -> int:
    """The first eight bytes of SHA-256 as a signed integer: the same on every machine and in every process."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little", signed=True)


def _shifted(bits: Tensor, by: int) -> Tensor:
    """Logical right shift (torch shifts int64 arithmetically)."""
    return (bits >> by) & ((1 << (64 - by)) - 1)


def _mixed(bits: Tensor) -> Tensor:
    """The finaliser of splitmix64 (Steele, Lea & Flood, OOPSLA 2014): every input bit reaches every output bit."""
    if bits.numel() <= _FEW and bits.device.type == "cpu":
        return torch.from_numpy(_mixed_few(bits.numpy()))
    bits = (bits ^ _shifted(bits, 30)) * _MIX_1
    bits = (bits ^ _shifted(bits, 27)) * _MIX_2
    return bits ^ _shifted(bits, 31)


def _mixed_few(signed: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same, of few numbers on a CPU."""
    bits: NDArray[np.uint64] = signed.view(np.uint64)
    bits = (bits ^ (bits >> _SHIFTS[0])) * _FACTORS[0]
    bits = (bits ^ (bits >> _SHIFTS[1])) * _FACTORS[1]
    mixed: NDArray[np.int64] = (bits ^ (bits >> _SHIFTS[2])).view(np.int64)
    return mixed


@dataclass(frozen=True)
class Draws:
    """A random stream for each image: `keys` [b].

    The same `Draws` gives the same numbers at every call; `child` and `at` give new streams for another purpose or
    another step.
    """

    keys: Int64[Tensor, " b"]

    @classmethod
    def from_keys(cls, names: Sequence[str], device: torch.device | str = "cpu") -> Draws:
        """One stream per name; equal names give equal streams."""
        return cls(torch.tensor([_hashed(name) for name in names], dtype=torch.int64, device=device))

    def __len__(self) -> int:
        return len(self.keys)

    def child(self, label: str) -> Draws:
        """Streams for the purpose `label`, independent of these."""
        return Draws(_mixed(self.keys ^ _hashed(label)))

    def at(self, step: int | Int64[Tensor, " b"]) -> Draws:
        """Streams for a step, or for one step per image."""
        place = torch.as_tensor(step, dtype=torch.int64, device=self.keys.device) + 1
        return Draws(_mixed(self.keys + place * _GOLDEN))

    def rows(self, rows: Sequence[int] | Tensor) -> Draws:
        """The streams of some of the images."""
        return Draws(self.keys[torch.as_tensor(rows, dtype=torch.int64, device=self.keys.device)])

    def to(self, device: torch.device | str) -> Draws:
        """The same streams on another device."""
        return Draws(self.keys.to(device))

    def uniform(self, *shape: int) -> Float[Tensor, "b ..."]:
        """Numbers in [0, 1), `[b, *shape]`, float32 with 24 random bits."""
        count = math.prod(shape)
        if count * len(self) <= _FEW and self.keys.device.type == "cpu":
            few = _mixed_few(self.keys.numpy()[:, None] + np.arange(1, count + 1) * _GOLDEN).view(np.uint64)
            parts = (few >> _FINEST).astype(np.float32) * _UNIT
            return torch.from_numpy(parts).view(len(self), *shape)
        counters = torch.arange(1, count + 1, device=self.keys.device) * _GOLDEN
        bits = _mixed(self.keys[:, None] + counters)
        return (_shifted(bits, 40).to(torch.float32) * 2.0**-24).view(len(self), *shape)

    def normal(self, *shape: int) -> Float[Tensor, "b ..."]:
        """Standard normal numbers, `[b, *shape]`, float32 (Box-Muller)."""
        count = math.prod(shape)
        pairs = self.uniform(2, (count + 1) // 2)
        radius = torch.sqrt(-2 * torch.log1p(-pairs[:, 0]))  # 1 - u lies in (0, 1]: the logarithm is finite
        angle = 2 * math.pi * pairs[:, 1]
        both = torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)], 1)
        return both[:, :count].reshape(len(self), *shape)
