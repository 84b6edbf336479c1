"""Images as something to optimise: parameters that turn into pixels, one row of parameters for each image."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.draws import Draws
from pellucid.errors import ImageError
from pellucid.images.color import ColorMap
from pellucid.images.fitting import fitted
from pellucid.images.squash import squash

__all__ = ["Image", "LinearImage", "SquashedImage"]


_ROUNDING = 1e-5  # far above what encoding in float32 rounds, far below an 8-bit level


class Image(nn.Module, ABC):
    """A batch of pictures that an optimiser can change.

    Calling it gives the pictures [b, c, h, w], in [0, 1] unless the image is unbounded. Every parameter has one row
    for each image, and row i affects image i only, so a row can be filled anew while its neighbours go on. Rows are
    mid-range (a flat picture) until `reset_rows` or `set_rows` fills them.

    Raises:
        ImageError: there are no images, channels or pixels.
    """

    def __init__(self, num_images: int, size: tuple[int, int], channels: int) -> None:
        super().__init__()
        if num_images < 1 or channels < 1 or min(size) < 1:
            raise ImageError(
                f"cannot make {num_images} images of {channels} channels and {size[0]} x {size[1]} px: "
                "each must be at least 1"
            )
        self.num_images = num_images
        self.size = size
        self.channels = channels

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """Between which values each channel of the pictures lies: (low, high), infinite where it is not bounded."""
        return ((0.0, 1.0),) * self.channels

    @abstractmethod
    def forward(self) -> Float[Tensor, "b c h w"]:
        """The pictures."""

    @abstractmethod
    def reset_rows(self, rows: Sequence[int], draws: Draws) -> None:
        """Give these rows a fresh random start; row `rows[i]` depends on stream i of `draws` only.

        Raises:
            ImageError: a row does not exist, or there is not one stream for each row.
        """

    @abstractmethod
    def set_rows(self, rows: Sequence[int], images: Float[Tensor, "n c h2 w2"]) -> None:
        """Start these rows from pictures in [0, 1]: as many as rows, or one for all.

        A picture of another size is resized to cover the image and cut to its middle.

        Raises:
            ImageError: a row does not exist, number, channels or values of the pictures do not fit, or this kind of
                image cannot start from a picture.
        """

    @abstractmethod
    def resized(self, size: tuple[int, int]) -> Image:
        """A new image of `size` (height, width) that looks the same. Optimiser state does not carry over.

        Raises:
            ImageError: this kind of image has one size only.
        """

    def project(self) -> None:
        """Bring parameters back into range; call it after each optimiser step. Nothing to do for most images."""

    def flat(self) -> Float[Tensor, "b m"]:
        """All parameters as one row [m] for each image (differentiable; `unflat` and `at` read this order)."""
        return torch.cat([parameter.flatten(1) for parameter in self.parameters()], 1)

    @torch.no_grad()
    def unflat(self, flat: Float[Tensor, "b m"]) -> None:
        """Fill all parameters from rows in the order of `flat`."""
        for name, value in self._split(flat).items():
            self.get_parameter(name).copy_(value)

    def at(self, flat: Float[Tensor, "b m"]) -> Float[Tensor, "b c h w"]:
        """The pictures that parameters `flat` would give, as a function of `flat`: for Jacobians and line searches."""
        pictures: Tensor = torch.func.functional_call(self, self._split(flat), ())
        return pictures

    def _split(self, flat: Tensor) -> dict[str, Tensor]:
        shapes = {name: parameter.shape for name, parameter in self.named_parameters()}
        counts = [shape[1:].numel() for shape in shapes.values()]
        if tuple(flat.shape) != (self.num_images, sum(counts)):
            raise ImageError(f"flat parameters are [{self.num_images}, {sum(counts)}] here, not {list(flat.shape)}")
        pieces = flat.split(counts, 1)
        return {name: piece.view(shape) for (name, shape), piece in zip(shapes.items(), pieces, strict=True)}

    def _checked_rows(self, rows: Sequence[int], draws: Draws | None = None) -> Tensor:
        for row in rows:
            if not 0 <= row < self.num_images:
                raise ImageError(f"no row {row}; this image has rows 0 to {self.num_images - 1}")
        if draws is not None and len(draws) != len(rows):
            raise ImageError(f"{len(rows)} rows need {len(rows)} random streams, not {len(draws)}")
        return torch.tensor(list(rows), dtype=torch.int64, device=next(self.parameters()).device)

    def _checked_pictures(self, rows: Sequence[int], images: Float[Tensor, "n c h2 w2"]) -> Float[Tensor, "n c h w"]:
        """Pictures to start from, at this image's size and in its parameters' precision."""
        if images.ndim != 4 or images.shape[1] != self.channels or len(images) not in (1, len(rows)):
            raise ImageError(
                f"{len(rows)} rows start from pictures [{len(rows)} or 1, {self.channels}, h, w], "
                f"not {list(images.shape)}"
            )
        if not torch.isfinite(images).all():
            raise ImageError("a picture to start from holds NaN or infinite values")
        return fitted(images.to(next(self.parameters())), self.size)


class SquashedImage(Image):
    """An image with latents, any real numbers: pixels = squash(latents), latents = matrix x coordinates + offset.

    `matrix` is the colour map's (none: every channel on its own) and the offset squash^-1(mean). So the mean colour is
    meant in pixel values whatever the squash, and coordinates of 0 are a flat picture of that colour (mid-grey without
    a colour map).

    Raises:
        ImageError: the colour map has another number of channels.
        RecipeError: no squash has this name.

    Source: the decorrelated colour of Olah et al., "Feature Visualization", Distill 2017. Lucid adds the mean only when
    it does not squash by a sigmoid; here pictures start at the mean colour under every squash.
    """

    _matrix: Tensor
    _inverse: Tensor
    _offset: Tensor

    def __init__(
        self,
        num_images: int,
        size: tuple[int, int],
        *,
        channels: int,
        squash_name: str,
        color: ColorMap | None,
        dtype: torch.dtype,
    ) -> None:
        super().__init__(num_images, size, channels)
        if color is not None and color.channels != channels:
            raise ImageError(
                f"a colour map of {color.channels} channels does not fit an image of {channels}; give color=None"
            )
        self.squash = squash(squash_name)
        self.color = color
        matrix = torch.eye(channels, dtype=torch.float64) if color is None else color.matrix
        mean = torch.full((channels,), 0.5, dtype=torch.float64) if color is None else color.mean
        self.register_buffer("_matrix", matrix.to(dtype), persistent=False)
        self.register_buffer("_inverse", torch.linalg.inv(matrix).to(dtype), persistent=False)
        self.register_buffer("_offset", self.squash.to_latents(mean).to(dtype), persistent=False)

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        return ((-math.inf, math.inf) if self.squash.name == "unbounded" else (0.0, 1.0),) * self.channels

    @abstractmethod
    def latents(self) -> Float[Tensor, "b c h w"]:
        """What the squash turns into pixels: any real numbers."""

    def forward(self) -> Float[Tensor, "b c h w"]:
        return self.squash.to_pixels(self.latents())

    def _colored(self, coordinates: Tensor, offset: Tensor) -> Tensor:
        """matrix x coordinates + offset, for [b, c, n] and an offset that broadcasts: one fused product."""
        if self.color is None:
            return coordinates + offset
        return torch.baddbmm(offset, self._matrix.expand(len(coordinates), -1, -1), coordinates)

    def mixed(self, coordinates: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """matrix x coordinates: what latents move by when colour coordinates move by these."""
        if self.color is None:
            return coordinates
        return torch.einsum("dc,nchw->ndhw", self._matrix, coordinates)

    def _uncolored(self, latents: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        centred = latents - self._offset[:, None, None]
        return centred if self.color is None else torch.einsum("dc,nchw->ndhw", self._inverse, centred)


class LinearImage(SquashedImage):
    """An image whose latents are a linear function of one `parameter` that reaches every picture.

    `sd` is the spread of the random start, in parameters.

    Raises:
        ImageError: the spread is negative.
    """

    parameter: nn.Parameter

    def __init__(
        self,
        num_images: int,
        size: tuple[int, int],
        *,
        channels: int,
        squash_name: str,
        color: ColorMap | None,
        sd: float,
        dtype: torch.dtype,
    ) -> None:
        super().__init__(num_images, size, channels=channels, squash_name=squash_name, color=color, dtype=dtype)
        if not sd >= 0:
            raise ImageError(f"the spread of the start must be 0 or more, not {sd}")
        self.sd = sd

    @abstractmethod
    def _decoded(self, parameter: Float[Tensor, "n ..."]) -> Float[Tensor, "n c h w"]:
        """The latents that parameter rows give."""

    @abstractmethod
    def _encoded(self, latents: Float[Tensor, "n c h w"]) -> Float[Tensor, "n ..."]:
        """Parameter rows that give these latents."""

    @abstractmethod
    def _empty(self, size: tuple[int, int]) -> LinearImage:
        """The same kind of image at another size, rows not yet filled."""

    def latents(self) -> Float[Tensor, "b c h w"]:
        return self._decoded(self.parameter)

    @torch.no_grad()
    def set_latents(self, rows: Sequence[int], latents: Float[Tensor, "n c h w"]) -> None:
        """Give these rows latents of this image's size: as many as rows, or one for all.

        Raises:
            ImageError: a row does not exist.
        """
        encoded = self._encoded(latents)
        self.parameter[self._checked_rows(rows)] = encoded.expand(len(rows), *encoded.shape[1:])

    @torch.no_grad()
    def reset_rows(self, rows: Sequence[int], draws: Draws) -> None:
        places = self._checked_rows(rows, draws)
        if len(rows):
            start = draws.to(places.device).child("image start").normal(*self.parameter.shape[1:]) * self.sd
            self.parameter[places] = self._within(start.to(self.parameter.dtype))

    @torch.no_grad()
    def set_rows(self, rows: Sequence[int], images: Float[Tensor, "n c h2 w2"]) -> None:
        self._checked_rows(rows)
        self.set_latents(rows, self.squash.to_latents(self._checked_pictures(rows, images)))

    @torch.no_grad()
    def project(self) -> None:
        if self.squash.projects:
            self.parameter.copy_(self._within(self.parameter))

    @torch.no_grad()
    def resized(self, size: tuple[int, int]) -> LinearImage:
        new = self._empty(size).to(self.parameter.device)
        latents = F.interpolate(self.latents(), size=size, mode="bicubic", antialias=True, align_corners=False)
        new.parameter.copy_(new._within(new._encoded(latents)))  # bicubic interpolation overshoots at edges
        return new

    def _within(self, parameter: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Parameter rows with their latents cut to [0, 1], for a squash that projects; rows already there as they are.

        Encoding rounds: without the tolerance a row would change each time that any row of the batch is projected.
        """
        if not self.squash.projects:
            return parameter
        latents = self._decoded(parameter)
        outside = ((latents - 0.5).abs() > 0.5 + _ROUNDING).flatten(1).any(1)
        projected = self._encoded(latents.clamp(0, 1))
        return torch.where(outside.view(-1, *[1] * (parameter.ndim - 1)), projected, parameter)
