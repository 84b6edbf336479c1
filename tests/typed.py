"""What tests of typed commands share: a network in a file of its own, and the type of what runs a command."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["NETWORK", "Run"]

NETWORK = """
from collections import OrderedDict
import torch
from torch import nn
import pellucid as pl

def small():
    torch.manual_seed(0)
    parts = OrderedDict(
        conv=nn.Conv2d(3, 4, 3, 2, padding=1), relu=nn.ReLU(), mean=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(),
        fc=nn.Linear(4, 2),
    )
    return pl.Model(nn.Sequential(parts), name="small", size=16, classes=["cat", "dog"])
"""
"""A `nets.py`: four units of a convolution, and a cat and a dog that they add up to."""

Run = Callable[..., tuple[int, str, str]]
"""Types a command: its words in, exit code, output and errors out."""
