"""Networks that tests of atlases look through, small enough that a sweep takes a second."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import pellucid as pl

SIZE = 12
QUICK = {"steps": 3, "transforms": "none", "trial": False, "device": "cpu"}
"""A recipe of next to no work."""


class Tiny(nn.Module):
    """Two small layers with random weights."""

    def __init__(self, units: int = 8) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.one, self.relu = nn.Conv2d(3, units, 3, padding=1), nn.ReLU()
        self.two = nn.Conv2d(units, 6, 3, padding=1)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.relu(self.one(x)))  # type: ignore[no-any-return]


class Bad(nn.Module):
    """One layer of six units: 1 is dead, 3 is not a number, and 4, which looks for blue, raises where there is much."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 6, 1), nn.ReLU()
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.bias.zero_()  # type: ignore[union-attr]
            for unit, color in {0: 0, 2: 1, 3: 0, 4: 2, 5: 0}.items():
                self.conv.weight[unit, color] = 1
            self.conv.bias[1] = -1  # type: ignore[index]

    def forward(self, x: Tensor) -> Tensor:
        seen = self.conv(x)
        if len(seen) and seen[:, 4].mean((1, 2)).max() > 0.6:
            raise ZeroDivisionError("there is too much blue")
        return self.relu(torch.cat([seen[:, :3], seen[:, 3:4] + float("nan"), seen[:, 4:]], 1))  # type: ignore[no-any-return]


def tiny(units: int = 8) -> pl.Model:
    """A `Tiny` with its contract."""
    return pl.Model(Tiny(units), name="tiny", mean=(0.5,) * 3, std=(0.3,) * 3, size=SIZE)


def factory() -> pl.Model:
    """The same for `FILE.py:factory`."""
    return tiny()
