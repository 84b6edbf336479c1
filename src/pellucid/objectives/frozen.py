"""Numbers inside an objective (a photo's activations, a probe's weights), compared and hashed by their bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pellucid.errors import TargetError

__all__ = ["FrozenTensor"]


@dataclass(frozen=True)
class FrozenTensor:
    """A tensor that can be part of a frozen leaf: equal bytes and shape, equal value, in every process.

    `digest` is all of it that an objective's hash and text show.
    """

    shape: tuple[int, ...]
    digest: str
    _values: Tensor = field(repr=False, compare=False)
    _placed: dict[tuple[torch.device, torch.dtype], Tensor] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, values: Any) -> FrozenTensor:
        """A copy of `values`, in float64 where they are, else in float32.

        Raises:
            TargetError: a number is not finite.
        """
        tensor = torch.as_tensor(values).detach().cpu()
        dtype = torch.float64 if tensor.dtype == torch.float64 else torch.float32
        tensor = tensor.to(dtype, copy=True).contiguous()
        if not tensor.isfinite().all():
            raise TargetError(f"numbers of shape {list(tensor.shape)} are not all finite")
        array = tensor.numpy()
        digest = hashlib.sha256(array.astype(array.dtype.newbyteorder("<")).tobytes())
        digest.update(str(array.dtype).encode())
        return cls(tuple(tensor.shape), digest.hexdigest()[:32], tensor)

    def like(self, other: Tensor) -> Tensor:
        """The values, with the device and type of another tensor; kept there, since a copy would stall every step."""
        place = (other.device, other.dtype)
        if place not in self._placed:
            self._placed[place] = self._values.to(*place)
        return self._placed[place]
