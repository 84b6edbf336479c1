"""Images stored as waves: every parameter moves the whole picture, and large shapes come as easily as fine ones."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pellucid.images.color import ColorMap
from pellucid.images.image import LinearImage
from pellucid.quick_calls import signature_known

__all__ = ["Fourier", "frequencies"]

GAIN = 0.25
"""What every wave is multiplied by, over the natural spectrum: Lucid's last step, kept; see `Fourier` for why."""


def frequencies(size: tuple[int, int]) -> Float[Tensor, "h w2"]:
    """The frequency of every entry of a real picture's spectrum, in cycles per pixel, [h, w // 2 + 1], float64."""
    down = torch.fft.fftfreq(size[0], dtype=torch.float64)[:, None]
    across = torch.fft.rfftfreq(size[1], dtype=torch.float64)[None]
    return torch.sqrt(down**2 + across**2)


class Fourier(LinearImage):
    """Pictures stored as the waves they are made of.

    `parameter` is the spectrum [b, c, h, w // 2 + 1, 2] (real and imaginary part, in colour coordinates when a colour
    map is given): latents = irfft2(parameter x GAIN / max(f, 1 / max(h, w))^decay), ortho norm, plus the mean colour.
    `size` is (height, width), odd or even; `sd` is the spread of the random start, in parameters. Parameters are
    float32 (or float64): see `build_image`.

    An optimiser that moves every parameter alike (Adam) thus moves long waves more than short ones, as much as photos
    hold of them at decay 1, and draws shapes before texture.

    GAIN sets how far a step goes. On SqueezeNet (units of features.6 and features.9; Adam 0.05, 128 px, jitter) 1
    instead of Lucid's 1/4 scored 2 to 2.6 times as much after 16 steps and 1.2 to 1.4 times after 128, but burnt out:
    23 to 36 % of the values lay within 0.02 of a bound (1/2: 8 to 14 %; 1/4: 2 to 3 %) and colours were neon, where
    those of 1/4 are a photo's. Hence 1/4: more contrast is a higher learning rate away. How many units a start wakes
    hardly depends on its contrast.

    Raises:
        ImageError: the size is empty, the colour map has another number of channels, or the spread is negative.
        RecipeError: no squash has this name.

    Source: Olah et al., "Feature Visualization", Distill 2017; Lucid's `fft_image`, whose sqrt(h w) only undoes the
    norm of its inverse transform (with the ortho norm it must not be there).
    """

    def __init__(
        self,
        num_images: int,
        size: tuple[int, int],
        *,
        channels: int = 3,
        decay: float = 1.0,
        sd: float = 0.01,
        squash: str = "sigmoid",
        color: ColorMap | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(num_images, size, channels=channels, squash_name=squash, color=color, sd=sd, dtype=dtype)
        self.decay = decay
        scale = GAIN / frequencies(size).clamp(min=1 / max(size)) ** decay
        self._scale: Tensor
        self._spectral_offset: Tensor
        # Repeated for the real and the imaginary part: a factor broadcast over a last axis of 2 is four times slower.
        self.register_buffer("_scale", scale[..., None].repeat(1, 1, 2).to(dtype), persistent=False)
        # The offset of every pixel is one entry of the spectrum, so that the colour product adds it for nothing.
        offset = torch.zeros(channels, *self._scale.shape, dtype=dtype)
        offset[:, 0, 0, 0] = self._offset * math.sqrt(size[0] * size[1])
        self.register_buffer("_spectral_offset", offset.flatten(1), persistent=False)
        self.parameter = nn.Parameter(torch.zeros(num_images, channels, *self._scale.shape, dtype=dtype))

    def _decoded(self, parameter: Float[Tensor, "n c h w2 2"]) -> Float[Tensor, "n c h w"]:
        # Colours are mixed in the spectrum (the map is linear), where the offset costs nothing.
        waves = (parameter * self._scale).flatten(2)
        spectrum = self._colored(waves, self._spectral_offset).view_as(parameter)
        latents: Tensor = _Picture.apply(torch.view_as_complex(spectrum), self.size[1])
        return latents

    def _encoded(self, latents: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w2 2"]:
        spectrum = torch.fft.rfft2(self._uncolored(latents), norm="ortho")
        return torch.view_as_real(spectrum) / self._scale

    def _empty(self, size: tuple[int, int]) -> Fourier:
        return Fourier(
            self.num_images,
            size,
            channels=self.channels,
            decay=self.decay,
            sd=self.sd,
            squash=self.squash.name,
            color=self.color,
            dtype=self.parameter.dtype,
        )


@signature_known
class _Picture(torch.autograd.Function):
    """`irfft2(spectrum, s=(h, width), norm="ortho")`, with one transform less of copying each way.

    Forward one axis after the other: a transform of both copies its input first. Backward both at once, which is
    faster there: a wave that stands for itself and its mirror image counts twice.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(spectrum: Tensor, width: int) -> Tensor:
        columns = torch.fft.ifft(spectrum, dim=-2, norm="ortho")
        picture: Tensor = torch.fft.irfft(columns, n=width, norm="ortho")
        return picture

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Any) -> None:
        """Only the width is needed: the map is linear."""
        ctx.width = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        spectrum = torch.fft.rfft2(gradients[0], norm="ortho")
        mirrored = slice(1, spectrum.shape[-1] - (1 - ctx.width % 2))  # all but the mean and the finest wave
        torch.view_as_real(spectrum)[..., mirrored, :] *= 2
        return spectrum, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        return _Picture.forward(tangents[0], ctx.width)
