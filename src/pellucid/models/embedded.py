"""The embedded network: a small Inception that every installation carries.

It has the stage names of the literature (`conv1`, `mixed3a` … `mixed5a`, `logits`), reads 64-px pictures and was
trained by this project on Tiny ImageNet (`training/embedded.py`, model cards in `pellucid/assets/`).
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["SmallInception"]


class ConvNormReLU(nn.Sequential):
    """A convolution without bias, batch norm, ReLU; `padding` keeps the size at stride 1."""

    def __init__(self, in_channels: int, out_channels: int, kernel_px: int, stride: int = 1) -> None:
        super().__init__(
            OrderedDict(
                conv=nn.Conv2d(in_channels, out_channels, kernel_px, stride, kernel_px // 2, bias=False),
                norm=nn.BatchNorm2d(out_channels),
                relu=nn.ReLU(inplace=True),
            )
        )


class InceptionBlock(nn.Module):
    """Four parallel views of one input, concatenated along the channels.

    `one`, `three`, `five` and `pool` are the output channels of the branches: a 1x1 convolution; a 1x1 reduction and a
    3x3; a 1x1 reduction and two 3x3 (a field of 5x5); a 3x3 average and a 1x1 projection.
    """

    def __init__(self, in_channels: int, one: int, three: tuple[int, int], five: tuple[int, int], pool: int) -> None:
        super().__init__()
        self.branch1x1 = ConvNormReLU(in_channels, one, 1)
        self.branch3x3 = nn.Sequential(ConvNormReLU(in_channels, three[0], 1), ConvNormReLU(*three, 3))
        self.branch5x5 = nn.Sequential(
            ConvNormReLU(in_channels, five[0], 1), ConvNormReLU(*five, 3), ConvNormReLU(five[1], five[1], 3)
        )
        self.branch_pool = nn.Sequential(nn.AvgPool2d(3, 1, 1), ConvNormReLU(in_channels, pool, 1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        branches = (self.branch1x1, self.branch3x3, self.branch5x5, self.branch_pool)
        return torch.cat([branch(x) for branch in branches], 1)


class SmallInception(nn.Module):
    """An Inception-like classifier for 64-px RGB pictures; any size from 16 px works.

    `[b, 3, h, w]`, normalised, -> logits `[b, num_classes]`. Blocks `mixed3*` see 1/4, `mixed4*` 1/8 and `mixed5a`
    1/16 of the input's height and width.

    Source of the block: Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, with batch norm and the double
    3x3 of Szegedy et al., "Rethinking the Inception Architecture", CVPR 2016.
    """

    def __init__(self, num_classes: int = 200) -> None:
        super().__init__()
        self.conv1 = ConvNormReLU(3, 32, 5, stride=2)
        self.conv2 = ConvNormReLU(32, 64, 3)
        self.mixed3a = InceptionBlock(64, 32, (32, 64), (12, 24), 24)
        self.mixed3b = InceptionBlock(144, 48, (40, 80), (16, 32), 32)
        self.mixed4a = InceptionBlock(192, 80, (64, 128), (24, 48), 48)
        self.mixed4b = InceptionBlock(304, 80, (64, 128), (24, 56), 56)
        self.mixed4c = InceptionBlock(320, 96, (72, 144), (28, 64), 64)
        self.mixed5a = InceptionBlock(368, 160, (96, 224), (40, 96), 96)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.logits = nn.Linear(576, num_classes)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b classes"]:
        x = self.pool(self.conv2(self.conv1(x)))
        x = self.pool(self.mixed3b(self.mixed3a(x)))
        x = self.pool(self.mixed4c(self.mixed4b(self.mixed4a(x))))
        x = self.mixed5a(x)
        logits: Tensor = self.logits(x.mean((2, 3)))
        return logits
