"""The ray caster sees what geometry says: spheres, tilted planes and the lid of the cube, worked out by hand."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from training.isosurfaces import cast, random_surface

RADIUS = 0.6


def sphere(points: Tensor) -> Tensor:
    return RADIUS**2 - points.square().sum(-1)


def test_a_sphere_has_its_depth_normals_and_mask() -> None:
    image = cast(sphere, 41)
    across = (torch.arange(41) + 0.5) / 41 * 2 - 1
    y, x = torch.meshgrid(-across, across, indexing="ij")
    inside = x**2 + y**2 < (RADIUS - 0.02) ** 2  # nearer to the rim a ray is in the sphere for less than two samples
    z = (RADIUS**2 - x**2 - y**2).clamp(min=0).sqrt()
    assert torch.equal(image[4][inside], torch.ones(int(inside.sum())))
    assert not image[:, x**2 + y**2 > RADIUS**2].any()
    assert (image[3] - (z + 1) / 2)[inside].abs().max() < 1e-4
    normals = torch.stack([x, y, z]) / RADIUS
    assert (image[:3] - normals)[:, inside].abs().max() < 1e-3


def test_x_grows_to_the_right_and_y_upwards() -> None:
    image = cast(sphere, 16)
    assert image[0, 8, 11] > 0.3
    assert image[0, 8, 4] < -0.3
    assert image[1, 4, 8] > 0.3
    assert image[1, 11, 8] < -0.3


def test_a_tilted_plane_has_one_normal_everywhere() -> None:
    """Inside is z < x / 2: the normal is (-1/2, 0, 1), made unit long."""
    image = cast(lambda points: points[..., 0] / 2 - points[..., 2], 20)
    length = math.sqrt(1.25)
    assert torch.allclose(image[:3].flatten(1).mean(1), torch.tensor([-0.5 / length, 0.0, 1 / length]), atol=1e-6)
    across = (torch.arange(20) + 0.5) / 20 * 2 - 1
    assert torch.allclose(image[3], ((across / 2 + 1) / 2).expand(20, 20), atol=1e-4)


def test_the_nearer_of_two_spheres_hides_the_other() -> None:
    def two(points: Tensor) -> Tensor:
        near, far = (points - torch.tensor([0.0, 0.0, z]) for z in (0.5, -0.5))
        return torch.maximum(0.09 - near.square().sum(-1), 0.16 - far.square().sum(-1))

    image = cast(two, 41)
    assert abs(image[3, 20, 20] - (0.8 + 1) / 2) < 1e-3
    beside = 20 + round(0.35 * 20.5)  # beyond the near sphere's 0.3, within the far one's 0.4
    assert image[4, 20, beside] == 1
    assert image[3, 20, beside] < 0.5


def test_what_the_lid_cuts_is_seen_flat() -> None:
    image = cast(lambda points: 1.0 - points[..., 2] * 0.5, 4)  # the whole cube is inside
    assert torch.equal(image[:3].flatten(1).mean(1), torch.tensor([0.0, 0.0, 1.0]))
    assert torch.equal(image[3:], torch.ones(2, 4, 4))


def test_a_seed_gives_the_same_surface_with_unit_normals_towards_the_viewer() -> None:
    image = cast(random_surface(3), 24)
    assert torch.equal(image, cast(random_surface(3), 24))
    assert not torch.equal(image, cast(random_surface(4), 24))
    hit = image[4] > 0
    assert 0.05 < hit.float().mean() < 0.95
    assert (image[:3].norm(dim=0)[hit] - 1).abs().max() < 1e-5
    assert (image[2][hit] > 0).all()
    assert ((image[3][hit] > 0) & (image[3][hit] <= 1)).all()
