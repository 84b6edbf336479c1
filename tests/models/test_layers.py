"""Laws of layers: the axis order, the token grid and the names are what the network means by them."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn

from pellucid.errors import ModelError
from pellucid.models.layers import Axes, Layer, call_name
from pellucid.models.model import Model


class Permute(nn.Module):
    """As torchvision's, in its Swin and ConvNeXt."""

    def __init__(self, *dims: int) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self.dims)


class Classifier(nn.Module):
    """Any trunk, averaged over everything but the batch into three outputs."""

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        self.trunk = nn.Sequential(OrderedDict(parts))

    def forward(self, x: Tensor) -> Tensor:
        return self.trunk(x).flatten(1)[:, :3]


def layers_of(size: int | tuple[int, int], axes: dict[str, Axes] | None = None, **parts: nn.Module) -> dict[str, Layer]:
    model = Model(Classifier(**parts), size=size, axes=axes)
    return {name.removeprefix("trunk."): layer for name, layer in model.layers.items()}


def convnext_block(c: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            depthwise=nn.Conv2d(c, c, 3, padding=1, groups=c),
            to_last=Permute(0, 2, 3, 1),
            norm=nn.LayerNorm(c),
            up=nn.Linear(c, 4 * c),
            act=nn.GELU(),
            down=nn.Linear(4 * c, c),
            to_first=Permute(0, 3, 1, 2),
        )
    )


@pytest.mark.parametrize(
    ("size", "c", "hw"),
    [
        ((28, 28), 16, (7, 7)),
        ((28, 28), 7, (7, 7)),  # 7 x 7 x 7: the shape says nothing
        ((28, 28), 2, (7, 7)),
        ((64, 32), 8, (16, 8)),
        ((64, 32), 4, (16, 8)),  # 8 x 4 has the picture's shape too
        ((8, 60), 5, (2, 15)),
    ],
)
def test_convnext_like_blocks(size: tuple[int, int], c: int, hw: tuple[int, int]) -> None:
    layers = layers_of(size, stem=nn.Conv2d(3, c, 4, stride=4), block=convnext_block(c), act=nn.ReLU())
    h, w = hw
    first, last = Layer("", "", "bchw", (c, h, w), c), Layer("", "", "bhwc", (c, h, w), c)
    for name in ("stem", "block.depthwise", "block.to_first", "block", "act"):
        assert (layers[name].axes, layers[name].shape) == (first.axes, first.shape), name
    for name in ("block.to_last", "block.norm", "block.down"):
        assert (layers[name].axes, layers[name].shape) == (last.axes, last.shape), name
    for name in ("block.up", "block.act"):
        assert (layers[name].axes, layers[name].shape, layers[name].units) == ("bhwc", (4 * c, h, w), 4 * c), name


@pytest.mark.parametrize("c", [3, 7, 96])
def test_swin_like_stages_stay_channels_last(c: int) -> None:
    parts = {"stem": nn.Conv2d(3, c, 4, stride=4), "last": Permute(0, 2, 3, 1), "norm": nn.LayerNorm(c)}
    layers = layers_of(28, **parts, mlp=nn.Sequential(nn.Linear(c, c), nn.ReLU(), nn.Dropout()))
    assert {layers[name].axes for name in ("last", "norm", "mlp.0", "mlp.1", "mlp.2", "mlp")} == {"bhwc"}
    assert layers["mlp"].shape == (c, 7, 7)


def test_seven_by_seven_by_seven_is_read_off_the_modules() -> None:
    class Block(nn.Module):
        """As timm's ConvNeXt: it turns the axes itself, so that no module tells."""

        def __init__(self) -> None:
            super().__init__()
            self.conv, self.act = nn.Conv2d(3, 7, 4, stride=4), nn.ReLU()
            self.norm, self.fc, self.gelu = nn.LayerNorm(7), nn.Linear(7, 7), nn.GELU()
            self.last = nn.BatchNorm2d(7)

        def forward(self, x: Tensor) -> Tensor:
            x = self.act(self.conv(x)).permute(0, 2, 3, 1)
            return self.last(self.gelu(self.fc(self.norm(x))).permute(0, 3, 1, 2))

    axes = {name.partition(".")[2]: layer.axes for name, layer in layers_of(28, block=Block()).items()}
    assert {axes[name] for name in ("conv", "act", "last")} == {"bchw"}
    assert {axes[name] for name in ("norm", "fc", "gelu")} == {"bhwc"}
    assert layers_of(28, block=Block())["block"].axes == "bchw"  # as the last module inside


def test_channels_last_activations_are_normalised() -> None:
    net = Classifier(stem=nn.Conv2d(3, 5, 4, stride=4), last=Permute(0, 2, 3, 1), up=nn.Linear(5, 9))
    images = torch.rand(2, 3, 32, 16)
    seen = Model(net, size=(32, 16)).tap(images, ["trunk.up"])["trunk.up"]
    assert torch.allclose(seen, net.trunk(images).permute(0, 3, 1, 2), atol=1e-6)
    assert seen.shape == (2, 9, 8, 4)


def test_small_maps_of_known_modules_are_not_guessed() -> None:
    layers = layers_of(
        (65, 33), a=nn.Conv2d(3, 10, 13, stride=13, padding=3), r=nn.ReLU(), p=nn.AdaptiveAvgPool2d(1), q=nn.Identity()
    )
    assert (layers["a"].shape, layers["r"].shape) == ((10, 5, 3), (10, 5, 3))  # 10 : 5 is nearer to 65 : 33 than 5 : 3
    assert (layers["p"].shape, layers["q"].shape) == ((10, 1, 1), (10, 1, 1))


class Tokens(nn.Module):
    """A patch embedding and prefix tokens, as a ViT has them."""

    def __init__(self, prefix: int, width: int = 12, patch: int = 4) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, stride=patch)
        self.prefix = nn.Parameter(torch.rand(1, prefix, width))
        self.norm = nn.LayerNorm(width)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.prefix.expand(len(x), -1, -1), tokens], 1)
        return self.act(self.norm(tokens)).mean(1)


@pytest.mark.parametrize("prefix", [0, 1, 2, 5])
@pytest.mark.parametrize("size", [(16, 16), (16, 24), (20, 4)])
@pytest.mark.parametrize("width", [12, 16])  # 16 channels, 16 patches
def test_prefix_tokens_and_grid(prefix: int, size: tuple[int, int], width: int) -> None:
    layer = Model(Tokens(prefix, width), size=size).layer("act")
    h, w = size[0] // 4, size[1] // 4
    assert layer == Layer("act", "ReLU", "bnc", (prefix + h * w, width), width, prefix, (h, w))
    assert layer.map_size == (h, w)


@pytest.mark.parametrize(("size", "grid"), [((32, 32), (4, 4)), ((32, 16), (4, 2))])
def test_merged_tokens_have_a_grid_of_the_pictures_shape(size: tuple[int, int], grid: tuple[int, int]) -> None:
    class Merging(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            tokens = x.flatten(2).transpose(1, 2)
            return tokens.unflatten(1, (-1, 4)).mean(2)

    layers = layers_of(size, patches=nn.Conv2d(3, 6, 4, stride=4), merge=Merging())
    assert (layers["merge"].prefix_tokens, layers["merge"].grid) == (0, grid)


def test_tokens_that_lie_on_no_grid_are_a_row() -> None:
    class Sequence(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.ones(len(x), 33, 4) * x.mean()

    layer = layers_of(8, sequence=Sequence())["sequence"]
    assert (layer.axes, layer.grid, layer.prefix_tokens, layer.map_size) == ("bnc", None, 0, (1, 33))


@pytest.mark.parametrize("c", [9, 30, 50, 65])
def test_flattened_maps_have_their_channels_in_the_middle(c: int) -> None:
    net = Classifier(conv=nn.Conv2d(3, c, 4, stride=4), flat=nn.Flatten(2), act=nn.ReLU())
    model = Model(net, size=16)
    layer = model.layer("trunk.act")
    assert (layer.axes, layer.shape, layer.units, layer.grid) == ("bcn", (16, c), c, (4, 4))
    images = torch.rand(2, 3, 16, 16)
    assert torch.equal(model.tap(images, ["trunk.act"])["trunk.act"], net.trunk(images).transpose(1, 2))


def test_one_dimensional_convolutions_have_their_channels_in_the_middle() -> None:
    layers = layers_of((4, 6), rows=nn.Flatten(2), conv=nn.Conv1d(3, 5, 3), act=nn.ReLU())
    assert {(layers[name].axes, layers[name].shape) for name in ("conv", "act")} == {("bcn", (22, 5))}


def test_what_is_not_told_apart_by_image_is_no_layer() -> None:
    class Windows(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.unfold(2, 2, 2).unfold(3, 2, 2).flatten(2, 3).transpose(1, 2).flatten(0, 1)

    class Scalar(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean()

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.windows, self.scalar, self.fine = Windows(), Scalar(), nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            self.windows(x), self.scalar(x)
            return self.fine(x).mean((2, 3))

    model = Model(Net(), size=8)
    assert list(model.layers) == ["fine", "output"]
    with pytest.raises(ValueError, match=r"layer 'windows' \(Windows\) of Net .*returns no tensor"):
        model.layer("windows")


def test_declared_axes_win() -> None:
    parts = {"conv": nn.Conv2d(3, 7, 4, stride=4), "act": nn.ReLU()}
    assert layers_of(28, axes={"trunk.act": "bhwc"}, **parts)["act"].axes == "bhwc"
    with pytest.raises(ModelError, match=r"axes of 'trunk.act' are given as 'bnc', but it returns 4: \[2, 7, 7, 7\]"):
        layers_of(28, axes={"trunk.act": "bnc"}, **parts)
    with pytest.raises(ModelError, match=r"axes are given for 'trunk.atc', which .* Did you mean 'trunk.act'"):
        layers_of(28, axes={"trunk.atc": "bhwc"}, **parts)


def test_layers_come_in_forward_order_with_their_sizes() -> None:
    layers = layers_of((9, 12), conv=nn.Conv2d(3, 4, 3), pool=nn.MaxPool2d(2), flat=nn.Flatten(), fc=nn.Linear(60, 5))
    assert list(layers) == ["conv", "pool", "flat", "fc", "trunk", "output"]
    assert [layer.shape for layer in layers.values()] == [(4, 7, 10), (4, 3, 5), (60,), (5,), (5,), (3,)]
    assert [layer.map_size for layer in layers.values()][:3] == [(7, 10), (3, 5), (1, 1)]


def test_call_names() -> None:
    assert [call_name("relu", 1), call_name("relu", 2), call_name("output", 1)] == ["relu", "relu#2", "output#1"]
