"""Fields: channels in their ranges, and surfaces whose normals are unit vectors that face the viewer."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pellucid.draws import Draws
from pellucid.errors import ImageError, RecipeError
from pellucid.images.color import color_map
from pellucid.images.field import Between, Field, Fixed, Normals, Part, geometry
from pellucid.images.fourier import Fourier
from pellucid.images.pixels import Pixels


def field(parts: tuple[Part, ...], size: tuple[int, int] = (6, 7), num_images: int = 2, sd: float = 1.0) -> Field:
    num_latents = sum(part.num_latents for part in parts)
    image = Field(Pixels(num_images, size, channels=num_latents, sd=sd, dtype=torch.float64), parts)
    image.reset_rows(range(num_images), Draws.from_keys("abcdefgh"[:num_images]))
    return image


def dome(size: int = 16) -> Tensor:
    """The geometry image [1, 5, n, n] of half a ball seen from above, on a flat floor."""
    across = torch.linspace(-1.2, 1.2, size, dtype=torch.float64)
    y, x = torch.meshgrid(across, across, indexing="ij")
    inside = x**2 + y**2 < 0.9
    z = torch.where(inside, (1 - x**2 - y**2).clamp(min=0).sqrt(), 1.0)
    normals = torch.stack([torch.where(inside, x, 0.0), torch.where(inside, y, 0.0), z])
    return torch.cat([normals, torch.where(inside, z, 0.5)[None], inside[None].double()])[None]


@pytest.mark.parametrize("sd", [0.1, 1.0, 30.0])
def test_normals_have_unit_length_and_face_the_viewer(sd: float) -> None:
    normals = field((Normals(),), sd=sd)()
    assert torch.allclose(normals.norm(dim=1), torch.ones(2, 6, 7, dtype=torch.float64))
    assert (normals[:, 2] >= 0).all()
    assert (normals[:, 2] > 0).float().mean() > 0.99 or sd == 30.0  # far out the sigmoid rounds to 1
    assert field((Normals(),), sd=1.0)()[:, 2].min() > 0


def test_normals_are_those_of_the_angles() -> None:
    a, phi = torch.tensor(0.7).double(), torch.tensor(2.5).double()
    theta = math.pi / 2 / (1 + math.exp(-0.7))
    (x, y, z) = Normals().decoded(torch.stack([a, phi])[None, :, None, None]).flatten().tolist()
    assert (x, y, z) == pytest.approx(
        (math.sin(theta) * math.cos(2.5), math.sin(theta) * math.sin(2.5), math.cos(theta))
    )


def test_the_gradient_of_phi_is_smooth_across_two_pi() -> None:
    phi = torch.linspace(-4 * math.pi, 4 * math.pi, 4001, dtype=torch.float64, requires_grad=True)
    normals = Normals().decoded(torch.stack([torch.zeros_like(phi), phi])[None, :, None])
    weights = torch.tensor([0.3, -0.8, 0.5]).double()
    (slope,) = torch.autograd.grad((normals[0, :, 0] * weights[:, None]).sum(), [phi])
    step = 8 * math.pi / 4000
    assert slope.diff().abs().max() < step, "no jump: the second derivative is at most 0.854 sin(pi / 4)"
    assert torch.allclose(slope[:1000], slope[1000:2000], atol=1e-9), "and the same one turn on"
    assert slope.abs().max() > 0.5


def test_every_channel_stays_in_its_range_and_reaches_for_its_ends() -> None:
    image = field((Between(-2.0, 3.0), Fixed(0.25), Between(0.0, 1.0)), sd=8.0)
    pictures = image()
    assert image.ranges == ((-2.0, 3.0), (0.25, 0.25), (0.0, 1.0))
    assert -2 <= pictures[:, 0].min() < -1.9
    assert 2.9 < pictures[:, 0].max() <= 3
    assert (pictures[:, 1] == 0.25).all()
    assert field((Between(-2.0, 3.0),), sd=0.0)().mean().item() == pytest.approx(0.5), "the middle"


def test_channels_come_in_the_order_asked_for() -> None:
    usual, other = geometry(), geometry(("mask", "depth", "normals"))
    pictures, turned = field(usual)(), field(other)()
    assert pictures.shape[1] == turned.shape[1] == 5
    assert torch.allclose(pictures[:, :3].norm(dim=1), torch.ones(2, 6, 7, dtype=torch.float64))
    assert torch.allclose(turned[:, 2:].norm(dim=1), torch.ones(2, 6, 7, dtype=torch.float64))
    assert field(geometry(("normals",)))().shape[1] == 3
    ranges = field(geometry(depth=Between(1.0, 9.0), mask=Fixed(1.0))).ranges
    assert ranges[3:] == ((1.0, 9.0), (1.0, 1.0))


def test_a_mask_is_continuous_or_fixed() -> None:
    free, fixed = field(geometry()), field(geometry(mask=Fixed(1.0)))
    assert 0 < free()[:, 4].min() < free()[:, 4].max() < 1
    assert (fixed()[:, 4] == 1).all()
    (gradient,) = torch.autograd.grad(fixed()[:, 3].sum(), list(fixed.parameters()))
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("base", [Pixels, Fourier])
def test_a_surface_comes_back(base: type[Pixels] | type[Fourier]) -> None:
    image = Field(base(2, (16, 16), channels=4, dtype=torch.float64), geometry())
    image.set_rows([1], dome())
    # The ends of a range start a 256th within it, and theta of a flat floor likewise.
    assert (image()[1] - dome()[0]).abs().mean() < 0.01
    assert (image()[1] - dome()[0]).abs().max() < 0.02
    larger = image.resized((32, 32))
    wanted = torch.nn.functional.interpolate(dome(), size=(32, 32), mode="bicubic", antialias=True)
    # Where floor meets ball, normals change at once and interpolated ones are no unit vectors: the mean, not the most.
    assert (larger()[1] - wanted[0]).abs().mean() < 0.03
    assert torch.allclose(larger()[:, :3].norm(dim=1), torch.ones(2, 32, 32, dtype=torch.float64))


def test_values_out_of_range_start_at_the_nearest_within() -> None:
    image = field((Between(0.0, 2.0), Normals()), size=(1, 2), num_images=1)
    given = torch.tensor([[5.0, -1.0], [0.0, 3.0], [0.0, 0.0], [-1.0, -4.0]], dtype=torch.float64)[None, :, None]
    image.set_rows([0], given)
    found = image()[0, :, 0].detach()
    assert found[0].tolist() == pytest.approx([2, 0], abs=0.01)
    assert found[3].abs().max() < 0.01, "facing away: bent to the edge"
    assert found[1, 1] > 0.99, "in the direction it leant to"


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda: geometry(("normals", "dept")), RecipeError, r"no part 'dept' .* Did you mean 'depth'"),
        (lambda: geometry(("depth", "depth")), RecipeError, r"names each of its parts once"),
        (lambda: geometry(()), RecipeError, r"names each of its parts once"),
        (lambda: Between(1.0, 1.0), ImageError, r"between a low and a higher value, not 1.0 and 1.0"),
        (lambda: Field(Pixels(1, (4, 4)), (Fixed(),)), ImageError, r"nothing to optimise"),
        (
            lambda: Field(Pixels(1, (4, 4)), (Between(),)),
            ImageError,
            r"sigmoid image of 1 channels .* sigmoid one of 3$",
        ),
        (lambda: Field(Pixels(1, (4, 4), squash="clip"), (Normals(), Between())), ImageError, r"a clip one of 3"),
        (lambda: Field(Pixels(1, (4, 4), color=color_map("lucid")), (Normals(), Between())), ImageError, r"3 with one"),
    ],
)
def test_parts_that_do_not_fit_are_refused(act: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        act()  # type: ignore[operator]
