"""The networks that the experiments on inversion look into: DenseNet-BC and SRNet, as small as a CPU trains them."""

from __future__ import annotations

from collections import OrderedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["GEOMETRY", "DenseNet", "SRNet"]

# What the channels of a geometry image are: a surface's normal, how near it is (1: nearest), and whether there is one.
GEOMETRY = ("normal x", "normal y", "normal z", "depth", "mask")


class BottleneckLayer(nn.Module):
    """One layer of a dense block: what it reads, and `growth` new channels behind it."""

    def __init__(self, in_channels: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        return torch.cat([x, self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))], 1)


class DenseNet(nn.Module):
    """DenseNet-BC for 32-px pictures: three dense blocks of bottleneck layers, halved (pixels and channels) between.

    `[b, 3, h, w]`, normalised, -> logits `[b, num_classes]`. `depth` counts convolutions and the classifier, 6 n + 4
    for n layers a block. `stem_stride` 1 is the paper's; 2 halves the picture at once, for a quarter of the work. The
    classifier begins at zero, so that its rows go on adding up to zero: softmax does not see what they share.

    Source: Huang et al., "Densely connected convolutional networks", CVPR 2017.
    """

    def __init__(self, depth: int = 40, growth: int = 12, stem_stride: int = 2, num_classes: int = 10) -> None:
        super().__init__()
        width = 2 * growth
        self.stem = nn.Conv2d(3, width, 3, stem_stride, 1, bias=False)
        for number in (1, 2, 3):
            layers = [BottleneckLayer(width + i * growth, growth) for i in range((depth - 4) // 6)]
            width += growth * len(layers)
            self.add_module(f"dense{number}", nn.Sequential(*layers))
            if number < 3:
                halving = OrderedDict(
                    norm=nn.BatchNorm2d(width),
                    relu=nn.ReLU(),
                    conv=nn.Conv2d(width, width // 2, 1, bias=False),
                    pool=nn.AvgPool2d(2),
                )
                self.add_module(f"transition{number}", nn.Sequential(halving))
                width //= 2
        self.norm = nn.BatchNorm2d(width)
        self.classifier = nn.Linear(width, num_classes)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b classes"]:
        for name in ("stem", "dense1", "transition1", "dense2", "transition2", "dense3"):
            x = self.get_submodule(name)(x)
        logits: Tensor = self.classifier(F.relu(self.norm(x)).mean((2, 3)))
        return logits


class ResidualBlock(nn.Module):
    """What it reads, plus two 3x3 convolutions of it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return x + self.conv2(F.relu(self.conv1(x)))


class SRNet(nn.Module):
    """Geometry images (`GEOMETRY`) four times as large: the picture enlarged, plus what residual blocks found.

    `[b, 5, h, w]` -> `[b, 5, 4 h, 4 w]`; fully convolutional. `blocks.0` to `blocks.N-1` have `width` channels each.

    Source: Weiss et al., "Volumetric isosurface rendering with deep learning-based super-resolution", TVCG 2019, after
    Sajjadi et al., "Frame-recurrent video super-resolution", CVPR 2018.
    """

    def __init__(self, num_blocks: int = 10, width: int = 64) -> None:
        super().__init__()
        channels = len(GEOMETRY)
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(num_blocks)))
        self.widen = nn.Conv2d(width, 16 * width // 4, 1)
        self.unfold = nn.PixelShuffle(4)
        self.last = nn.Conv2d(width // 4, channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h4 w4"]:
        enlarged = F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=False)
        found = self.unfold(self.widen(self.blocks(F.relu(self.first(x)))))
        residual: Tensor = self.last(F.relu(found))
        return enlarged + residual
