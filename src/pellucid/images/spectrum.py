"""The spectrum of photos: how much of every wave a natural picture holds, at any size."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.errors import ImageError, RecipeError, did_you_mean
from pellucid.images.color import ColorMap
from pellucid.images.fourier import frequencies

__all__ = ["SPECTRA", "Spectrum", "fit_spectrum", "spectrum"]

SPECTRA = ("tiny-imagenet",)
"""The names that `spectrum` knows."""

# What is fitted, in cycles per picture and in cycles per pixel. Below 2 the window's own width is measured; above a
# quarter of the sampling rate the noise of compressed pictures (Tiny ImageNet's colours level off there).
_LOWEST, _HIGHEST = 2.0, 0.25


@dataclass(frozen=True, eq=False)
class Spectrum:
    """A power law for each colour coordinate: a wave of f cycles per picture has the amplitude a f^-decay.

    `variance` [c] is that of a picture's pixels about the picture's own mean, in colour coordinates, and `decay` [c]
    the slope; a follows from them at every size. Both are kept in float64. A cycle per picture is one along its longer
    side, so that a larger picture shows the same scene in more detail.

    Raises:
        ImageError: the numbers are not one per coordinate, not finite, or a variance is not positive.
    """

    variance: Float[Tensor, " c"]
    decay: Float[Tensor, " c"]

    def __post_init__(self) -> None:
        if self.variance.shape != self.decay.shape:
            raise ImageError(f"a spectrum has as many variances ({len(self.variance)}) as decays ({len(self.decay)})")
        object.__setattr__(self, "variance", self.variance.double())
        object.__setattr__(self, "decay", self.decay.double())
        if not (torch.isfinite(self.decay).all() and torch.isfinite(self.variance).all() and (self.variance > 0).all()):
            raise ImageError("a spectrum needs finite decays and positive, finite variances in every channel")

    @property
    def channels(self) -> int:
        """The number of colour coordinates."""
        return len(self.variance)

    def magnitude(self, size: tuple[int, int]) -> Float[Tensor, "c h w2"]:
        """The amplitude of every entry of `rfft2(picture, norm="ortho")`, float64; 0 for the mean.

        A real picture with these amplitudes has exactly this variance in every coordinate, whatever its phases.
        """
        cycles = frequencies(size) * max(size)
        shape = cycles.clamp(min=1) ** -self.decay[:, None, None]
        shape[:, 0, 0] = 0
        power = (shape.square() * conjugates(size)).sum((1, 2)) / (size[0] * size[1])
        if not (power > 0).all():
            raise ImageError(f"a picture of {size[0]} x {size[1]} px has no waves; give it at least 2 pixels")
        return shape * (self.variance / power).sqrt()[:, None, None]


def conjugates(size: tuple[int, int]) -> Float[Tensor, " w2"]:
    """How many entries of the whole spectrum each column of the stored half stands for: itself, and its mirror image
    where that is not stored."""
    columns = torch.arange(size[1] // 2 + 1)
    return torch.where((columns == 0) | (2 * columns == size[1]), 1.0, 2.0).double()


def fit_spectrum(pictures: Iterable[Float[Tensor, "... _ _ _"]], color: ColorMap | None = None) -> Spectrum:
    """Measure the spectrum of photos: pictures [c, h, w] or batches [b, c, h, w] in [0, 1], square and of one size.

    With a colour map, of their coordinates under it. That is how MACO wants it: phases of different coordinates are
    independent, and independent red, green and blue would be neon, for in photos they rise and fall together.

    Amplitudes are root mean squares over pictures and over rings one cycle wide, under a Hann window, because the jump
    from a picture's edge to the opposite one would count as high frequency (in Tiny ImageNet's colours it doubles the
    amplitude of fine waves along both axes). The line is fitted to their logarithms, from 2 cycles per picture to a
    quarter of the sampling rate.

    Raises:
        ImageError: fewer than 2 pictures, not of one square size of at least 16 px, not of the colour map's channels,
            holding NaN; or they do not vary in some coordinate, where a power law means nothing.

    Source: Field, "Relations between the statistics of natural images and the response properties of cortical cells",
    1987, for the power law; Fel et al., "Unlocking Feature Visualization for Deeper Networks with MAgnitude
    Constrained Optimization", NeurIPS 2023, for using it (they store ImageNet's mean magnitudes entry by entry).
    """
    count = 0
    power = variance = torch.zeros(0)
    for batch in pictures:
        values = batch[None] if batch.ndim == 3 else batch
        values = _coordinates(values.double(), color)
        if count and values.shape[1:] != power.shape:
            raise ImageError(f"pictures of {list(power.shape)} and {list(values.shape[1:])} have no common spectrum")
        spread = values.var((2, 3), correction=0).sum(0)
        window = torch.hann_window(values.shape[-1], dtype=torch.float64, device=values.device)
        window = torch.outer(window, window)
        centred = values - (values * window).sum((2, 3), keepdim=True) / window.sum()
        waves = torch.fft.fft2(centred * window / window.square().mean().sqrt(), norm="ortho")
        found = waves.abs().square().sum(0)
        power, variance = (power + found, variance + spread) if count else (found, spread)
        count += len(values)
    if count < 2:
        raise ImageError(f"a spectrum is measured on at least 2 pictures, not {count}")
    return Spectrum((variance / count).cpu(), _slope((power / count).cpu()))


def _coordinates(values: Float[Tensor, "n c h w"], color: ColorMap | None) -> Float[Tensor, "n c h w"]:
    """Pictures in colour coordinates, checked."""
    side = values.shape[-1]
    if values.shape[-2] != side or side < 16:
        raise ImageError(f"a spectrum is measured on square pictures of at least 16 px, not {list(values.shape[-2:])}")
    if not torch.isfinite(values).all():
        raise ImageError("a picture to measure the spectrum of holds NaN or infinite values")
    if color is None:
        return values
    if values.shape[1] != color.channels:
        raise ImageError(f"pictures of {values.shape[1]} channels do not fit a colour map of {color.channels}")
    centred = values - color.mean.to(values.device)[:, None, None]
    return torch.einsum("dc,nchw->ndhw", torch.linalg.inv(color.matrix).to(values.device), centred)


def _slope(power: Float[Tensor, "c n n"]) -> Float[Tensor, " c"]:
    """The decay of mean power over rings one cycle wide."""
    side = power.shape[-1]
    down = torch.fft.fftfreq(side, 1 / side, dtype=torch.float64)
    ring = torch.sqrt(down[:, None] ** 2 + down[None] ** 2).round()
    cycles = torch.arange(_LOWEST, side * _HIGHEST + 1, dtype=torch.float64)
    rings = torch.stack([power[:, ring == one].mean(1) for one in cycles], 1)
    # Of what a photo holds: rounding alone leaves 1e-16 of its variance in a channel that does not vary.
    if not (rings > 1e-12).all():
        raise ImageError("the pictures do not vary in every channel; give several photos, not flat or grey ones")
    place = cycles.log() - cycles.log().mean()
    return -(rings.sqrt().log() @ place) / place.square().sum()


@cache
def spectrum(name: str) -> Spectrum:
    """The spectrum of a name: "tiny-imagenet", in the coordinates of the colour map of that name.

    Raises:
        RecipeError: no spectrum has this name.

    Source: `training/spectrum.py`.
    """
    if name not in SPECTRA:
        raise RecipeError(f"no spectrum {name!r}; there are {', '.join(SPECTRA)}.{did_you_mean(name, SPECTRA)}")
    text = resources.files("pellucid").joinpath("assets/spectrum.json").read_text(encoding="utf-8")
    stored = json.loads(text)
    return Spectrum(
        torch.tensor(stored["variance"], dtype=torch.float64), torch.tensor(stored["decay"], dtype=torch.float64)
    )
