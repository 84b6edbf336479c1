"""ReLUs of bfloat16 on a CPU at the speed of its memory.

torch (2.14) widens bfloat16 to float32 for a ReLU and narrows it again: 3 to 6 billion numbers a second on a server
core, whose cache gives it 30. The sign of a bfloat16 is that of its 16 bits read as an integer, and of two integers the
larger one is found for 32 pairs at once.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["clip_by_bits", "clips_by_bits"]


def clips_by_bits(value: Tensor) -> bool:
    """Whether `clip_by_bits` serves: bfloat16 on a CPU."""
    return value.dtype == torch.bfloat16 and value.device.type == "cpu"


def clip_by_bits(value: Tensor, *, in_place: bool) -> Tensor:
    """`relu`, without a graph. A NaN whose sign is set becomes 0: ask before whether there is any."""
    bits = value.view(torch.int16)
    if in_place:
        bits.clamp_min_(0)
        return value
    return bits.clamp_min(0).view(torch.bfloat16)
