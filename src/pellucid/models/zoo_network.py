"""What a zoo hands over: a network with the input contract that its own metadata declares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

__all__ = ["WeightsChoice", "Wish", "ZooNetwork"]

WeightsChoice = str | None
"""A file, "none" for random weights (the same every time), or None for the zoo's own."""


@dataclass(frozen=True)
class Wish:
    """What the caller asked of a zoo.

    `own_contract`: mean and std were given, and describe what the first layer of the network expects.
    """

    weights: WeightsChoice = None
    size: tuple[int, int] | None = None
    own_contract: bool = False

    @property
    def zoo_weights(self) -> bool:
        """Whether the zoo's own weights are wanted (and may be downloaded)."""
        return self.weights is None

    @property
    def square_px(self) -> int | None:
        """The size asked for, where it is a square."""
        return self.size[0] if self.size is not None and self.size[0] == self.size[1] else None


@dataclass(frozen=True)
class ZooNetwork:
    """A network and what its zoo says of its input. None: the zoo says nothing.

    `mean` and `std` are in units of pixel values from 0 to 1; `size` is (height, width) in px.
    `loaded`: the weights are in, the zoo's or those of the file that was asked for. `ignores`: beginnings of the names
    of weights in files that this network has no use for.
    """

    module: nn.Module
    loaded: bool
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    size: tuple[int, int] | None = None
    classes: tuple[str, ...] | None = None
    channels: int = 3
    forward: Callable[[nn.Module, Tensor], Any] | None = None
    ignores: tuple[str, ...] = ()
