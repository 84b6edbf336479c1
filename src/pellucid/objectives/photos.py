"""Objectives against a photo's activations: exaggerate them (caricature), or match them (inversion)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.errors import TargetError
from pellucid.models.taps import Activations, Tap
from pellucid.objectives.frozen import FrozenTensor
from pellucid.objectives.objective import Leaf, Objective

__all__ = ["caricature", "inversion"]

_EPSILON = 1e-12  # under a square root: keeps the cosine's gradient finite where the activation is zero
_LEAST_COSINE = 0.1  # Lucid's floor: what points away still has a gradient


@dataclass(frozen=True)
class Caricature(Leaf):
    """How far an image's activations go along the photo's, and how well they point there."""

    layer: str
    photo: FrozenTensor
    cosine_power: float = 0.0
    picture: FrozenTensor | None = None

    @property
    def taps(self) -> tuple[Tap, ...]:
        """The layer."""
        return (Tap(self.layer),)

    @property
    def family(self) -> Hashable:
        """Photos of one size, compared on one layer in one way."""
        return self.layer, self.photo.shape, self.cosine_power, self.picture is None

    @property
    def photos(self) -> tuple[FrozenTensor, ...]:
        """The photo, where it is known."""
        return () if self.picture is None else (self.picture,)

    @classmethod
    def score(cls, activations: Activations, rows: Tensor, leaves: Sequence[Leaf]) -> Float[Tensor, " m"]:
        """<z, z0> max(0.1, cos(z, z0))^p over all channels and positions."""
        caricatures = cast("Sequence[Caricature]", leaves)
        z, z0 = _flat(activations, rows, caricatures)
        dot = (z * z0).sum(1)
        if power := caricatures[0].cosine_power:
            lengths = (z.square().sum(1) + _EPSILON).sqrt() * torch.linalg.vector_norm(z0, dim=1)
            dot = dot * (dot / lengths).clamp(min=_LEAST_COSINE) ** power
        return dot


@dataclass(frozen=True)
class Inversion(Leaf):
    """Minus the squared distance of an image's activations to the photo's."""

    layer: str
    photo: FrozenTensor
    picture: FrozenTensor | None = None

    @property
    def taps(self) -> tuple[Tap, ...]:
        """The layer."""
        return (Tap(self.layer),)

    @property
    def family(self) -> Hashable:
        """Photos of one size, compared on one layer."""
        return self.layer, self.photo.shape, self.picture is None

    @property
    def photos(self) -> tuple[FrozenTensor, ...]:
        """The photo, where it is known."""
        return () if self.picture is None else (self.picture,)

    @classmethod
    def score(cls, activations: Activations, rows: Tensor, leaves: Sequence[Leaf]) -> Float[Tensor, " m"]:
        """-||z - z0||^2 over all channels and positions."""
        z, z0 = _flat(activations, rows, cast("Sequence[Inversion]", leaves))
        return -(z - z0).square().sum(1)


def _flat(
    activations: Activations, rows: Tensor, leaves: Sequence[Caricature] | Sequence[Inversion]
) -> tuple[Float[Tensor, "m n"], Float[Tensor, "m n"]]:
    """The images' activations and the photos', flattened: of the photos as shown beside the images, where they were."""
    first = leaves[0]
    z = activations[first.taps[0]][rows]
    z = z.to(torch.promote_types(z.dtype, torch.float32))
    pictures = [leaf.picture for leaf in leaves if leaf.picture is not None]
    if activations.beside is not None and pictures:
        z0 = activations.beside.of(first.taps[0], rows, [picture.digest for picture in pictures]).to(z)
    else:
        z0 = torch.stack([leaf.photo.like(z) for leaf in leaves])
    if z.shape[1:] != z0.shape[1:]:
        raise TargetError(
            f"the photo's activations of {first.layer} are {list(z0.shape[1:])}, the image's {list(z.shape[1:])}; "
            "tap the photo at the image's size"
        )
    return z.flatten(1), z0.flatten(1)


def caricature(layer: str, photo: Activations | Tensor, *, cosine_power: float = 0.0) -> Objective:
    """Score each image by how much it exaggerates what a layer sees in a photo.

    <z, z0> max(0.1, cos(z, z0))^p, p = `cosine_power`, over all channels and positions at once; z0 are the photo's
    activations: `model.tap(photo[None], [layer])`, or the layer's tensor alone. With the former, `render` shows the
    photo to the network at every step as its transforms show the image, and compares the two; the tensor alone is what
    even a turned and shifted image is compared with.

    Raises:
        TargetError: not one photo, or its activations are all zero or not finite.

    Source: Lucid's `recipes/caricature.py`, which floors at 0.1 too, but divides by the photo's length only; here it is
    the cosine. There, too, the photo goes through the transforms, in one batch with the image.
    """
    z0 = _of_photo(layer, photo)
    if not z0.any():
        raise TargetError(f"the photo's activations of {layer} are all zero: there is nothing to exaggerate")
    return Objective(((1.0, Caricature(layer, FrozenTensor.of(z0), float(cosine_power), _picture(photo))),))


def inversion(layer: str, photo: Activations | Tensor) -> Objective:
    """Score each image by -||z - z0||^2: what a layer keeps of a photo. `photo` as for `caricature`.

    Raises:
        TargetError: not one photo, or its activations are not finite.

    Source: Mahendran & Vedaldi, "Understanding Deep Image Representations by Inverting Them", CVPR 2015, who divide by
    ||z0||^2 besides.
    """
    return Objective(((1.0, Inversion(layer, FrozenTensor.of(_of_photo(layer, photo)), _picture(photo))),))


def _picture(photo: Activations | Tensor) -> FrozenTensor | None:
    """The photo itself, where it is known."""
    return None if isinstance(photo, Tensor) else FrozenTensor.of(photo.image[0])


def _of_photo(layer: str, photo: Activations | Tensor) -> Tensor:
    """One photo's activations of a layer, without the batch."""
    if isinstance(photo, Tensor):
        return photo
    if Tap(layer) not in photo:
        raise TargetError(f"the photo has no activations of {layer}: model.tap(photo[None], [{layer!r}])")
    z0 = photo[layer]
    if len(z0) != 1:
        raise TargetError(f"{len(z0)} photos were given, and one can be matched; pick it with activations.rows")
    return z0[0]
