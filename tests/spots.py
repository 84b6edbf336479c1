"""Pictures whose answers are known, and a network by hand that reads them, shared by tests."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

import pellucid as pl

SIZE = 8


def red_reader() -> pl.Model:
    """Unit 0 of layer `1` is relu(red - 0.5) at its own pixel, unit 1 relu(0.5 - red); layer `0` is the same before."""
    net = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.ReLU(inplace=True))
    with torch.no_grad():
        net[0].weight.zero_()
        net[0].weight[0, 0, 1, 1], net[0].weight[1, 0, 1, 1] = 1.0, -1.0
        net[0].bias.copy_(torch.tensor([-0.5, 0.5]))
    return pl.Model(net, size=SIZE, name="red")


def spot(number: int, of: int) -> tuple[Tensor, int, int, float]:
    """A picture, black but for one pixel that is red to a degree of its own: picture, row, column, red in 255ths."""
    row, col, red = (3 * number) % SIZE, (5 * number + 1) % SIZE, 255 * (number + 1) // of
    picture = torch.zeros(3, SIZE, SIZE)
    picture[0, row, col] = red / 255
    return picture, row, col, red / 255


class Spots(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """`spot` 0 to n - 1, with label 1 from the middle on."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if index >= self.count:
            raise IndexError(index)
        return spot(index, self.count)[0], int(2 * index >= self.count)


def write_spots(folder: Path, count: int) -> None:
    """The same as PNG files in two class folders."""
    for number in range(count):
        name = "strong" if 2 * number >= count else "faint"
        (folder / name).mkdir(parents=True, exist_ok=True)
        array = (spot(number, count)[0] * 255).round().byte().movedim(0, -1).numpy()
        Image.fromarray(array).save(folder / name / f"{number:03d}.png")
