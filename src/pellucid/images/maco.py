"""Images whose waves keep a photo's strength: only where their crests lie is optimised."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.draws import Draws
from pellucid.errors import ImageError
from pellucid.images.color import ColorMap
from pellucid.images.image import SquashedImage
from pellucid.images.spectrum import Spectrum
from pellucid.images.squash import Squash

__all__ = ["Maco", "contrast"]

_FLAT = 1e-4  # spread of latents: far below one 8-bit level, far above what rounding leaves of a flat picture's waves


class Maco(SquashedImage):
    """Magnitude-constrained optimisation: every wave has the magnitude that natural pictures give it, for ever.

    `phase` [b, c, h, w // 2 + 1] is in radians and in colour coordinates: latents =
    contrast x irfft2(magnitude x e^(i phase)), ortho norm, plus the mean colour. `size` is (height, width), odd or
    even; the magnitudes come from `spectrum`, whose channels are those of the colour map's coordinates. So a picture
    can neither gain contrast nor high frequencies: all that an optimiser can do is to put waves in step. A random start
    draws phases evenly from the circle.

    - A real picture's waves k and -k have opposite phases. Of the columns where both are stored (0, and w / 2 when w is
      even) the phase of k is therefore phase(k) - phase(-k); it is 0 where k is -k. The mean colour is the colour
      map's. Thus the amplitude spectrum of the latents is the given one exactly, whatever the parameters.
    - A squash bends values, so that of latents with the natural spread it would make a paler picture. `contrast` makes
      up for it: the pixels of a picture with random phases vary as much as photos' do (about their mean; mean over
      channels). Latents with random phases are normally distributed, so that this is an integral of one variable.
      Unbounded: 1.
    - `set_rows` keeps of a photo its phases only, and of those not the ones that are 0 here; magnitudes, mean colour
      and contrast stay: the photo can be recognised, not matched.
    - `resized` takes over the phases of all waves that both sizes hold; magnitudes are those of the new size.

    Raises:
        ImageError: the size holds no wave with a free phase, spectrum or colour map have another number of channels, or
            the squash cannot show as much contrast, or projects ("clip": magnitudes could not be kept).
        RecipeError: no squash has this name.

    Source: Fel et al., "Unlocking Feature Visualization for Deeper Networks with MAgnitude Constrained Optimization",
    NeurIPS 2023. They standardise the picture in place of `contrast`, take ImageNet's mean magnitudes in decorrelated
    colours entry by entry, resized, and use NAdam with rate 1: most of a radian in one step. Here the default is Adam
    with a rate of 0.3 that falls to 0 as a cosine; a constant 1 keeps shaking and leaves grain. Measured in
    `docs/design/image-kinds.md`.
    """

    _magnitude: Tensor
    _edges: Tensor

    def __init__(
        self,
        num_images: int,
        size: tuple[int, int],
        *,
        spectrum: Spectrum,
        squash: str = "sigmoid",
        color: ColorMap | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        channels = spectrum.channels
        super().__init__(num_images, size, channels=channels, squash_name=squash, color=color, dtype=dtype)
        if max(size) < 3:
            raise ImageError(f"{size[0]} x {size[1]} px have no wave with a free phase; maco needs a side of 3 px")
        if self.squash.projects:
            raise ImageError("maco cannot be projected into range and keep its magnitudes; squash by 'sigmoid'")
        self.spectrum = spectrum
        matrix = torch.eye(channels, dtype=torch.float64) if color is None else color.matrix
        mean = torch.full((channels,), 0.5, dtype=torch.float64) if color is None else color.mean
        magnitude = spectrum.magnitude(size) * contrast(self.squash, matrix.square() @ spectrum.variance, mean)
        self.register_buffer("_magnitude", magnitude.to(dtype), persistent=False)
        edges = [0] if size[1] % 2 else [0, size[1] // 2]
        self.register_buffer("_edges", torch.tensor(edges), persistent=False)
        self.phase = nn.Parameter(torch.zeros(num_images, *magnitude.shape, dtype=dtype))

    def latents(self) -> Float[Tensor, "b c h w"]:
        angle = self.phases()
        waves = torch.stack([angle.cos(), angle.sin()], -1) * self._magnitude[..., None]
        # Colours are mixed in the spectrum, as in `Fourier`.
        mixed = self._colored(waves.flatten(2), torch.zeros_like(self._offset)[:, None]).view_as(waves)
        pictures: Tensor = torch.fft.irfft2(torch.view_as_complex(mixed), s=self.size, norm="ortho")
        return pictures + self._offset[:, None, None]

    def phases(self) -> Float[Tensor, "b c h w2"]:
        """The phase of every stored wave of the pictures, in colour coordinates and radians."""
        stored = self.phase.index_select(-1, self._edges)
        opposite = stored.flip(-2).roll(1, -2)  # row k holds wave -k
        return self.phase.index_add(-1, self._edges, opposite, alpha=-1)

    @torch.no_grad()
    def reset_rows(self, rows: Sequence[int], draws: Draws) -> None:
        places = self._checked_rows(rows, draws)
        if len(rows):
            turns = draws.to(places.device).child("image start").uniform(*self.phase.shape[1:]) - 0.5
            self.phase[places] = (2 * math.pi * turns).to(self.phase.dtype)

    @torch.no_grad()
    def set_rows(self, rows: Sequence[int], images: Float[Tensor, "n c h2 w2"]) -> None:
        places = self._checked_rows(rows)
        latents = self.squash.to_latents(self._checked_pictures(rows, images))
        if not (latents.std((2, 3)) > _FLAT).all():
            raise ImageError("maco starts from a picture's phases, and this one is flat in a channel; give a photo")
        encoded = self._encoded(latents)
        self.phase[places] = encoded.expand(len(rows), *encoded.shape[1:])

    @torch.no_grad()
    def resized(self, size: tuple[int, int]) -> Maco:
        new = Maco(
            self.num_images,
            size,
            spectrum=self.spectrum,
            squash=self.squash.name,
            color=self.color,
            dtype=self.phase.dtype,
        ).to(self.phase.device)
        latents = F.interpolate(self.latents(), size=size, mode="bicubic", antialias=True, align_corners=False)
        new.phase.copy_(new._encoded(latents))
        return new

    def _encoded(self, latents: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w2"]:
        phase: Tensor = torch.fft.rfft2(self._uncolored(latents), norm="ortho").angle()
        phase[..., self._edges] /= 2  # of k and -k, which are opposite: their difference is the phase
        return phase


def contrast(squash: Squash, variance: Float[Tensor, " c"], mean: Float[Tensor, " c"]) -> float:
    """What normal latents of this variance [c] are to be multiplied by so that pixels have it, mean over channels.

    `mean` [c] is the pixel value of latents at their middle.

    Raises:
        ImageError: pixels of this squash cannot vary so much.
    """
    nodes, weights = (torch.from_numpy(part) for part in np.polynomial.hermite_e.hermegauss(128))
    weights = weights / weights.sum()
    offset, spread = squash.to_latents(mean)[:, None], variance.sqrt()[:, None]

    def excess(factor: float) -> float:
        pixels = squash.to_pixels(offset + factor * spread * nodes)
        centred = pixels - (pixels * weights).sum(1, keepdim=True)
        return float((centred.square() * weights).sum(1).mean() - variance.mean())

    low, high = 0.0, 1.0
    while excess(high) < 0:
        low, high = high, 2 * high
        if high > 64:
            raise ImageError(
                f"pixels squashed by {squash.name!r} cannot vary by {variance.mean():.3f} in the mean; "
                "give a spectrum of pictures in [0, 1]"
            )
    if abs(excess(high)) < 1e-12:  # no squash at all: 1
        return high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) < 0 else (low, middle)
    return high
