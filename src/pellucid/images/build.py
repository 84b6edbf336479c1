"""From a recipe's words to an image: the one place where they meet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from pellucid.errors import ImageError, RecipeError, did_you_mean
from pellucid.images.alpha import Alpha
from pellucid.images.color import ColorMap, color_map
from pellucid.images.cppn import Cppn
from pellucid.images.decoder import load_decoder
from pellucid.images.field import Field, geometry
from pellucid.images.fourier import Fourier
from pellucid.images.generator import Generator
from pellucid.images.image import Image
from pellucid.images.maco import Maco
from pellucid.images.pixels import Pixels
from pellucid.images.pyramid import Pyramid
from pellucid.images.spectrum import spectrum

__all__ = ["IMAGE_KINDS", "build_image"]


@dataclass(frozen=True)
class _Words:
    """What a recipe says of its image, names already turned into things where every kind wants them."""

    num_images: int
    size: tuple[int, int]
    channels: int
    decay: float
    sd: float
    squash: str
    color: ColorMap | None
    color_name: str
    dtype: torch.dtype


def _fourier(words: _Words) -> Fourier:
    return Fourier(
        words.num_images,
        words.size,
        channels=words.channels,
        decay=words.decay,
        sd=words.sd,
        squash=words.squash,
        color=words.color,
        dtype=words.dtype,
    )


def _plain(kind: type[Pixels] | type[Pyramid] | type[Cppn]) -> Callable[[_Words], Image]:
    """A builder for the kinds that take a spread and nothing of their own."""

    def build(words: _Words) -> Image:
        return kind(
            words.num_images,
            words.size,
            channels=words.channels,
            sd=words.sd,
            squash=words.squash,
            color=words.color,
            dtype=words.dtype,
        )

    return build


def _maco(words: _Words) -> Maco:
    if words.channels != 3 or words.color_name != "tiny-imagenet":
        raise RecipeError(
            "maco's natural spectrum is stored for 3 channels in the colour map 'tiny-imagenet', not for "
            f"{words.channels} in {words.color_name!r}; fit one with fit_spectrum and give it to Maco"
        )
    return Maco(
        words.num_images,
        words.size,
        spectrum=spectrum("tiny-imagenet"),
        squash=words.squash,
        color=words.color,
        dtype=words.dtype,
    )


def _geometry(words: _Words) -> Field:
    parts = geometry()
    num_channels = sum(len(part.ranges) for part in parts)
    if words.channels != num_channels or words.squash != "sigmoid":
        raise ImageError(
            f"a geometry image has {num_channels} channels (normals, depth, mask) and the squash 'sigmoid', not "
            f"{words.channels} and {words.squash!r}; for other channels make a Field"
        )
    base = Fourier(
        words.num_images,
        words.size,
        channels=sum(part.num_latents for part in parts),
        decay=words.decay,
        sd=words.sd,
        dtype=words.dtype,
    )
    return Field(base, parts)


def _generator(words: _Words) -> Generator:
    if words.squash != "sigmoid":
        raise RecipeError(f"a generator's pictures are in [0, 1] by themselves: leave squash {words.squash!r} out")
    decoder = load_decoder()
    return Generator(
        words.num_images,
        words.size,
        decoder,
        latent_shape=(decoder.num_latents,),
        channels=words.channels,
        dtype=words.dtype,
    )


_BUILDERS: dict[str, Callable[[_Words], Image]] = {
    "fourier": _fourier,
    "pixels": _plain(Pixels),
    "pyramid": _plain(Pyramid),
    "maco": _maco,
    "cppn": _plain(Cppn),
    "geometry": _geometry,
    "generator": _generator,
}

IMAGE_KINDS = tuple(_BUILDERS)
"""The names that `build_image` knows."""


def build_image(
    kind: str,
    num_images: int,
    size: tuple[int, int],
    *,
    channels: int = 3,
    decay: float = 1.0,
    sd: float = 0.01,
    squash: str = "sigmoid",
    color: str = "tiny-imagenet",
    alpha: bool = False,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Image:
    """Make the image that a recipe asks for, on its device; its rows are flat colour until they are filled.

    `size` is (height, width) in pixels. `decay` belongs to the images of waves, "fourier" and "geometry"; `sd` to all
    but "maco", whose phases start anywhere, and "generator", whose latents start as it was trained on. A colour map
    belongs to 3 channels: with any other number every channel stands on its own. `alpha` adds a channel of opacity, a
    Fourier image of its own. Parameters are float32 or float64 whatever the network's precision, for half precision
    would lose the small steps of an optimiser and has no Fourier transform on CPUs.

    Images that need more than words are made by their classes: a `Generator` of your own, `SharedLowRes`, `Field`.

    Raises:
        RecipeError: kind, squash, colour map or dtype is unknown, or the kind has no such combination.
        ImageError: the size, the number of channels or the spread is out of range, or the kind cannot be squashed so.
    """
    if kind not in _BUILDERS:
        raise RecipeError(f"no image {kind!r}; there are {', '.join(IMAGE_KINDS)}.{did_you_mean(kind, IMAGE_KINDS)}")
    if dtype not in (torch.float32, torch.float64):
        raise RecipeError(f"image parameters are torch.float32 or torch.float64, not {dtype}")
    colors = color_map(color)
    words = _Words(num_images, size, channels, decay, sd, squash, colors if channels == 3 else None, color, dtype)
    image = _BUILDERS[kind](words)
    if alpha:
        image = Alpha(image, Fourier(num_images, size, channels=1, decay=decay, sd=sd, dtype=dtype))
    return image.to(device)
