"""A network of your own for Pellucid: the ResNet-20 that He et al. trained on CIFAR-10.

    pellucid layers examples/resnet20.py:resnet20 --weights none
    pellucid render examples/resnet20.py:resnet20 layer3:12 --weights resnet20-cifar10.safetensors -o unit.png

A factory takes nothing and returns a module, or a `pl.Model` when it also knows the network's input, as this one does.

Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2, shortcuts of option A.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import pellucid as pl

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut that subsamples and adds zero channels where the shape changes."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride, self.added = stride, channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x[:, :, :: self.stride, :: self.stride]
        shortcut = F.pad(shortcut, (0, 0, 0, 0, self.added // 2, self.added - self.added // 2))
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)) + shortcut)


class ResNet20(nn.Module):
    """Three stages of three blocks: `layer1` to `layer3` of 16, 32 and 64 channels, then `linear`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(Block(16, 16, 1), Block(16, 16, 1), Block(16, 16, 1))
        self.layer2 = nn.Sequential(Block(16, 32, 2), Block(32, 32, 1), Block(32, 32, 1))
        self.layer3 = nn.Sequential(Block(32, 64, 2), Block(64, 64, 1), Block(64, 64, 1))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


def resnet20() -> pl.Model:
    """The network with random weights; `--weights FILE` fills them in."""
    torch.manual_seed(0)
    return pl.Model(
        ResNet20(), name="resnet20", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), size=32, classes=CLASSES
    )
