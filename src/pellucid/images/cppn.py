"""Images as small networks: from where a pixel lies to its colour, at any resolution."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pellucid.draws import Draws
from pellucid.errors import ImageError
from pellucid.images.color import ColorMap
from pellucid.images.image import SquashedImage

__all__ = ["Cppn"]

# Root mean squares of atan(x) and atan(x)^2 for standard normal x: what makes every layer's numbers as large as the
# last one's. Numerically 0.671 and 0.596; Lucid rounds them so.
_ODD, _EVEN = 0.67, 0.6


class Cppn(SquashedImage):
    """Compositional pattern-producing networks: one small network for each picture, smooth shapes without a grid.

    A pixel's coordinates (x, y) go through `num_layers` layers h -> activation(h W + v), then latents = h W + v, in
    colour coordinates, plus the mean colour; the activation is a pair, (atan(z) / 0.67, atan(z)^2 / 0.6). Row i of
    every parameter, `weights` [b, in, out] and `biases` [b, 1, out], is network i. `size` is (height, width).

    Coordinates are those of pixel centres, from -sqrt(3) to sqrt(3) along the longer side, where they vary by 1. So a
    picture is one function sampled more or less finely, and `resized` is exact: of three times as many pixels each
    way, every third from the second on is the old picture.

    At the start W of the hidden layers is normal with variance 1 / inputs, v normal with spread 0.1, and the last W has
    spread `sd`: 0 is a flat picture, whose hidden layers get no gradient in their first step. Weights are few and each
    moves the whole picture, so that rates must be small: 0.005 with Adam where the Fourier image takes 0.05 to 0.1
    (0.01 now and then drives a picture into flat black or white, from where it does not return). Fine textures are
    beyond it: units of early layers get bold shapes or nothing, those of deep layers clean ones.

    A picture cannot be given: `set_rows` is an error.

    Raises:
        ImageError: a size, the number of layers or of hidden channels is below 1, the spread is negative, the colour
            map has another number of channels, or the squash projects ("clip").
        RecipeError: no squash has this name.

    Source: Stanley, "Compositional pattern producing networks", 2007; as an image to optimise, Mordvintsev et al.,
    "Differentiable Image Parameterizations", Distill 2018, and Lucid's `cppn`, whose layers, activation and start these
    are (it truncates the normal start of W and begins at sd 0, without decorrelated colour, from the outermost pixels'
    centres, one network for the whole batch).
    """

    _places: Tensor

    def __init__(
        self,
        num_images: int,
        size: tuple[int, int],
        *,
        channels: int = 3,
        num_layers: int = 8,
        num_hidden: int = 24,
        squash: str = "sigmoid",
        color: ColorMap | None = None,
        sd: float = 0.01,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(num_images, size, channels=channels, squash_name=squash, color=color, dtype=dtype)
        if num_layers < 1 or num_hidden < 1 or not sd >= 0:
            raise ImageError(
                f"a CPPN has at least 1 layer and 1 hidden channel and a spread of 0 or more, not {num_layers}, "
                f"{num_hidden} and {sd}"
            )
        if self.squash.projects:
            raise ImageError("a CPPN cannot be projected into range; squash by 'sigmoid'")
        self.num_layers, self.num_hidden, self.sd = num_layers, num_hidden, sd
        inputs = [2] + [2 * num_hidden] * num_layers
        outputs = [num_hidden] * num_layers + [channels]
        shapes = list(zip(inputs, outputs, strict=True))
        self.weights = nn.ParameterList(torch.zeros(num_images, *shape, dtype=dtype) for shape in shapes)
        self.biases = nn.ParameterList(torch.zeros(num_images, 1, out, dtype=dtype) for out in outputs)
        self.register_buffer("_places", _coordinates(size).to(dtype), persistent=False)

    def latents(self) -> Float[Tensor, "b c h w"]:
        values = self._places.expand(self.num_images, -1, -1)
        *hidden, last = zip(self.weights, self.biases, strict=True)
        for weight, bias in hidden:
            angle = torch.baddbmm(bias, values, weight).atan()
            values = torch.cat([angle / _ODD, angle.square() / _EVEN], -1)
        coordinates = torch.baddbmm(last[1], values, last[0]).mT
        latents: Tensor = self._colored(coordinates, self._offset[:, None]).unflatten(2, self.size)
        return latents

    @torch.no_grad()
    def reset_rows(self, rows: Sequence[int], draws: Draws) -> None:
        places = self._checked_rows(rows, draws)
        if not len(rows):
            return
        draws = draws.to(places.device)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            is_last = layer == self.num_layers
            spread = self.sd if is_last else 1 / math.sqrt(weight.shape[1])
            weight[places] = (draws.child(f"weight {layer}").normal(*weight.shape[1:]) * spread).to(weight.dtype)
            bias[places] = (draws.child(f"bias {layer}").normal(*bias.shape[1:]) * (0 if is_last else 0.1)).to(
                bias.dtype
            )

    def set_rows(self, rows: Sequence[int], images: Float[Tensor, "n c h2 w2"]) -> None:
        raise ImageError("a CPPN cannot start from a picture, only from noise; use fourier, pixels or pyramid")

    @torch.no_grad()
    def resized(self, size: tuple[int, int]) -> Cppn:
        new = Cppn(
            self.num_images,
            size,
            channels=self.channels,
            num_layers=self.num_layers,
            num_hidden=self.num_hidden,
            squash=self.squash.name,
            color=self.color,
            sd=self.sd,
            dtype=self._places.dtype,
        ).to(self._places.device)
        new.unflat(self.flat())
        return new


def _coordinates(size: tuple[int, int]) -> Float[Tensor, "n 2"]:
    """Where the centres of the pixels lie, row by row: (x, y), the longer side from -sqrt(3) to sqrt(3), float64."""
    down, across = (
        (2 * torch.arange(side, dtype=torch.float64) + 1 - side) * (math.sqrt(3) / max(size)) for side in size
    )
    return torch.stack([across.expand(size), down[:, None].expand(size)], -1).flatten(0, 1)
