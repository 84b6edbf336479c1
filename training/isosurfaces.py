"""Geometry images of random surfaces: what a viewer from above sees of an implicit surface, ray by ray.

A surface is where a scalar field of space is zero; inside it the field is positive. Space is the cube from -1 to 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

__all__ = ["ScalarField", "Surface", "cast", "random_surface"]

ScalarField = Callable[[Tensor], Tensor]
"""Points [..., 3] as (x, y, z) -> values [...], positive inside."""

_SAMPLES = 64  # a ray looks so often for the surface; what is thinner than two samples can be missed
_BISECTIONS = 12  # halve the interval between two samples to 1e-5 of the volume


@dataclass(frozen=True)
class Surface:
    """Blobs that melt into each other, with ripples: sum of weight exp(-|p - centre|^2 / width^2) + waves - level.

    Each blob has its centre, width and weight, each of the `waves` its wave vector and phase; all have one `amplitude`.
    """

    centers: Float[Tensor, "n 3"]
    widths: Float[Tensor, " n"]
    weights: Float[Tensor, " n"]
    waves: Float[Tensor, "k 3"]
    phases: Float[Tensor, " k"]
    amplitude: float
    level: float

    def __call__(self, points: Float[Tensor, "*m 3"]) -> Float[Tensor, "*m"]:
        """The field."""
        flat = points.reshape(-1, 3)
        distance = flat.square().sum(1)[:, None] - 2 * flat @ self.centers.T + self.centers.square().sum(1)
        blobs = torch.exp(-distance / self.widths.square()) @ self.weights
        ripples = torch.sin(flat @ self.waves.T + self.phases).sum(1) * self.amplitude
        return (blobs + ripples - self.level).view(points.shape[:-1])


def random_surface(seed: int) -> Surface:
    """The surface of this seed: 4 to 9 blobs, a fifth of which dent, and three ripples."""
    draw = torch.Generator().manual_seed(seed)
    count = int(torch.randint(4, 10, (), generator=draw))
    weights = torch.where(torch.rand(count, generator=draw) < 0.2, -0.7, 1.0)
    weights[0] = 1.0
    return Surface(
        centers=torch.rand(count, 3, generator=draw) * 1.4 - 0.7,
        widths=torch.rand(count, generator=draw) * 0.35 + 0.2,
        weights=weights,
        waves=torch.randn(3, 3, generator=draw) * 9,
        phases=torch.rand(3, generator=draw) * 6.28,
        amplitude=float(torch.rand((), generator=draw)) * 0.05,
        level=0.35 + float(torch.rand((), generator=draw)) * 0.25,
    )


def cast(field: ScalarField, size_px: int) -> Float[Tensor, "5 h w"]:
    """The geometry image of a surface, seen from above along parallel rays: normal x, y, z, depth, mask.

    Rays go down from z = 1 through the pixels' centres; x grows to the right and y upwards. Depth is (z + 1) / 2 of the
    first hit, so that 1 is nearest; normals have length 1 and point out of the surface, towards the viewer. Where no
    ray hits, all is 0. A surface that the cube's lid cuts is seen as the lid: the normal is (0, 0, 1).
    """
    across = (torch.arange(size_px) + 0.5) / size_px * 2 - 1
    y, x = torch.meshgrid(-across, across, indexing="ij")
    heights = torch.linspace(1, -1, _SAMPLES)

    def on_rays(z: Tensor) -> Tensor:
        return torch.stack([x.expand_as(z), y.expand_as(z), z], -1)

    inside = field(on_rays(heights.view(-1, 1, 1).expand(-1, size_px, size_px))) > 0
    hit = inside.any(0)
    first = inside.int().argmax(0)  # the first sample inside
    low, high = heights[first], heights[(first - 1).clamp(min=0)]
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        is_inside = field(on_rays(middle)) > 0
        low, high = torch.where(is_inside, middle, low), torch.where(is_inside, high, middle)
    points = on_rays((low + high) / 2).requires_grad_()
    (gradient,) = torch.autograd.grad(field(points).sum(), points)
    normals = -F.normalize(gradient, dim=-1)
    lid = (first == 0)[..., None]
    normals = torch.where(lid, torch.tensor([0.0, 0.0, 1.0]), normals)
    depth = ((low + high) / 2 + 1) / 2
    image = torch.cat([normals.movedim(-1, 0), depth[None], torch.ones(1, size_px, size_px)])
    return torch.where(hit, image, torch.zeros(()))
