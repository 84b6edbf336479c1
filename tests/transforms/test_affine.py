"""Moves of the picture plane do what their names say, exactly where they can, each image by its own draw."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.draws import Draws
from pellucid.errors import RecipeError
from pellucid.transforms.affine import Affine, Flip, Jitter, Rotate, Scale, Shear, composed, shift, warp
from pellucid.transforms.compose import compose
from pellucid.transforms.crops import Pad
from pellucid.transforms.transform import Choice, Length

GREY = 0.5
# Positions in [-1, 1] are float32: 2^-24 of a picture's side is 1e-5 px at 224 px, so no interpolation is nearer.
ROUNDING = 2e-5


def streams(count: int, label: str = "image") -> Draws:
    return Draws.from_keys([f"{label} {i}" for i in range(count)])


def centroid(images: Tensor) -> Tensor:
    """Where the brightness above grey lies: [b, 2] (row, column)."""
    weight = (images - GREY).sum(1).double()
    rows, columns = torch.meshgrid(*(torch.arange(side).double() for side in weight.shape[1:]), indexing="ij")
    total = weight.sum((1, 2))
    return torch.stack([(weight * place).sum((1, 2)) / total for place in (rows, columns)], 1)


def dot(height: int, width: int, row: float, column: float, sd: float = 1.5) -> Tensor:
    """A soft bright dot on grey: [1, 1, height, width]."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return (GREY + torch.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * sd**2)))[None, None]


@pytest.mark.parametrize("size", [(24, 40), (40, 24), (31, 17), (16, 16)])
def test_quarter_turn_is_exact_on_any_shape(size: tuple[int, int]) -> None:
    image = torch.rand(2, 3, *size)
    turned = Rotate([90])(image, streams(2))
    expected = torch.rot90(image, 1, (2, 3))  # counter-clockwise
    reach = min(size)
    top, left = (size[0] - reach) // 2, (size[1] - reach) // 2
    inner = turned[:, :, top : top + reach, left : left + reach]
    other_top, other_left = (size[1] - reach) // 2, (size[0] - reach) // 2
    torch.testing.assert_close(
        inner, expected[:, :, other_top : other_top + reach, other_left : other_left + reach], atol=ROUNDING, rtol=0
    )
    outside = turned.clone()
    outside[:, :, top : top + reach, left : left + reach] = GREY
    torch.testing.assert_close(outside, torch.full_like(outside, GREY), atol=ROUNDING, rtol=0)


def test_scale_above_one_enlarges() -> None:
    image = dot(40, 60, 10, 45)
    enlarged = centroid(Scale([1.1])(image, streams(1)))[0]
    centre = torch.tensor([19.5, 29.5]).double()
    expected = centre + 1.1 * (torch.tensor([10.0, 45.0]).double() - centre)
    torch.testing.assert_close(enlarged, expected, atol=0.02, rtol=0)  # sums of bilinear samples of a soft dot
    square = torch.full((1, 1, 40, 60), GREY)
    square[:, :, 10:30, 20:40] = 1.0
    areas = [(Scale([s])(square, streams(1)) - GREY).sum() / (square - GREY).sum() for s in (0.8, 1.1, 1.5)]
    assert [float(area) for area in areas] == pytest.approx([0.64, 1.21, 2.25], rel=0.01)


def test_rotation_of_a_wide_picture_keeps_distances() -> None:
    images = torch.cat([dot(60, 120, 29.5, 29.5 + 59.5 - 10), dot(60, 120, 9.5, 59.5)])  # right of, above the centre
    places = centroid(Rotate([30])(images, streams(2))) - torch.tensor([29.5, 59.5]).double()
    angle = math.radians(30)
    expected = [[-19.5 * math.sin(angle), 19.5 * math.cos(angle)], [-20 * math.cos(angle), -20 * math.sin(angle)]]
    torch.testing.assert_close(places, torch.tensor(expected).double(), atol=0.02, rtol=0)


def test_shear_slants_upper_rows_to_the_right() -> None:
    moved = centroid(Shear([20])(dot(60, 90, 15.5, 44.5), streams(1)))[0]
    expected = [15.5, 44.5 + 14 * math.tan(math.radians(20))]
    assert moved.tolist() == pytest.approx(expected, abs=0.02)


def test_flip_mirrors_left_to_right() -> None:
    images = torch.rand(2, 3, 9, 14)
    torch.testing.assert_close(Flip(1.0)(images, streams(2)), images.flip(3), atol=ROUNDING, rtol=0)
    torch.testing.assert_close(Flip(0.0)(images, streams(2)), images, atol=ROUNDING, rtol=0)
    many = torch.rand(1, 1, 3, 4).expand(400, 1, 3, 4)
    flipped = (Flip(0.3)(many, streams(400)) - many.flip(3)).abs().amax((1, 2, 3)) < 1e-3
    assert 0.22 < flipped.float().mean() < 0.38  # 0.3 and 3.5 standard deviations of 400 draws


def sequential(images: Tensor, moves: list[tuple[Affine, Draws]]) -> Tensor:
    """One sampling per move, by PyTorch's own affine_grid."""
    for move, draws in moves:
        matrix = move.sources(draws, (images.shape[2], images.shape[3])).double()
        height, width = images.shape[2:]
        unit = torch.diag(torch.tensor([2 / width, 2 / height, 1.0])).double()
        theta = (unit @ matrix @ torch.linalg.inv(unit))[:, :2].float()
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        images = F.grid_sample(images - GREY, grid, align_corners=False) + GREY
    return images


def test_a_dot_lands_where_the_sequential_pipeline_puts_it() -> None:
    moves = [Jitter(16), Scale([0.9, 1.1]), Rotate([-20, 20]), Shear([10]), Jitter(9), Rotate([35])]
    # A wide dot: every sampling shifts the centre of a narrow one by some hundredths of a pixel.
    images = dot(72, 104, 30, 44, sd=3).repeat(5, 1, 1, 1)
    draws = streams(5)
    fused = compose(moves)(images, draws)
    one_by_one = sequential(images, [(move, draws.child(str(i))) for i, move in enumerate(moves)])
    torch.testing.assert_close(centroid(fused), centroid(one_by_one), atol=0.02, rtol=0)
    point = torch.tensor([44 - 51.5, 30 - 35.5, 1]).double().expand(5, 3)  # (x, y) from the centre
    for i, move in enumerate(moves):
        forward = torch.linalg.inv(move.sources(draws.child(str(i)), (72, 104)).double())
        point = torch.einsum("bij,bj->bi", forward, point)
    torch.testing.assert_close(centroid(fused), point[:, :2].flip(1) + torch.tensor([35.5, 51.5]), atol=0.02, rtol=0)
    assert (centroid(fused) - centroid(images)).norm(dim=1).min() > 2  # they did move
    # Sampled once, not six times: the dot stays sharper, but never brighter than it was.
    assert (fused.amax((1, 2, 3)) > one_by_one.amax((1, 2, 3))).all()
    assert fused.amax() <= images.amax() + ROUNDING


def test_the_order_of_moves_matters() -> None:
    image = dot(64, 64, 31.5, 31.5)
    draws = streams(1)
    jitter, scale = Jitter(20), Scale([1.5])
    jitter_first = centroid(compose([jitter, scale])(image, draws))[0] - 31.5
    down_right = -jitter.sources(draws.child("0"), (64, 64))[0, :2, 2].flip(0).double()
    torch.testing.assert_close(jitter_first, 1.5 * down_right, atol=0.03, rtol=0)
    jitter_last = centroid(compose([scale, jitter])(image, draws))[0] - 31.5
    down_right = -jitter.sources(draws.child("1"), (64, 64))[0, :2, 2].flip(0).double()
    torch.testing.assert_close(jitter_last, down_right, atol=0.03, rtol=0)


def test_jitter_moves_by_whole_pixels_exactly() -> None:
    images = torch.rand(6, 3, 20, 33)
    jitter, draws = Jitter(8), streams(6)
    moved = compose([jitter])(images, draws)
    shifts = jitter.shifts(draws.child("0"), (20, 33)).tolist()
    assert len(set(map(tuple, shifts))) > 1
    for image, result, (down, right) in zip(images, moved, shifts, strict=True):
        padded = F.pad(image, [8, 8, 8, 8], value=GREY)
        expected = padded[:, 8 - down : 28 - down, 8 - right : 41 - right]
        torch.testing.assert_close(result, expected, atol=6e-8, rtol=0)  # x - 0.5 + 0.5: one rounding of float32
    by_sampling = warp(images, jitter.sources(draws.child("0"), (20, 33)), (20, 33), fill=GREY)
    torch.testing.assert_close(by_sampling, moved, atol=ROUNDING, rtol=0)


def test_jitter_reaches_every_shift_of_its_range_and_no_other() -> None:
    shifts = Jitter(8).shifts(streams(3000), (64, 64))
    assert shifts.unique().tolist() == list(range(-4, 5))
    assert abs(shifts.double().mean()) < 0.15  # centred: 3 standard deviations of the mean are 0.14
    assert (shifts[:, 0] != shifts[:, 1]).any()
    assert Jitter(1).shifts(streams(100), (64, 64)).unique().tolist() == [0, 1]


def test_warp_is_affine_grid_and_grid_sample() -> None:
    images = torch.rand(4, 3, 30, 44)
    sources = composed(Rotate(40).sources(streams(4), (30, 44)), Scale(1.4).sources(streams(4, "s"), (30, 44)))
    unit = torch.diag(torch.tensor([2 / 44, 2 / 30, 1.0]))
    theta = (unit @ sources @ torch.linalg.inv(unit))[:, :2]
    grid = F.affine_grid(theta, [4, 3, 30, 44], align_corners=False)
    expected = F.grid_sample(images - GREY, grid, align_corners=False) + GREY
    torch.testing.assert_close(warp(images, sources, (30, 44), fill=GREY), expected, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("moves", [[Rotate(20), Scale(1.3)], [Jitter(6)]])
def test_gradient_is_the_adjoint_of_the_move(moves: list[Affine]) -> None:
    images = torch.rand(2, 1, 7, 9, dtype=torch.float64, requires_grad=True)
    pipeline, draws = compose(moves), streams(2)
    assert torch.autograd.gradcheck(lambda x: pipeline(x, draws), (images,))


def test_the_frame_of_grey_comes_in_per_channel() -> None:
    images = torch.zeros(1, 2, 16, 16)
    moved = compose([Scale([0.5])], fill=(0.25, -3.0))(images, streams(1))
    torch.testing.assert_close(moved[0, :, 0, 0], torch.tensor([0.25, -3.0]))
    torch.testing.assert_close(moved[0, :, 8, 8], torch.zeros(2))
    with pytest.raises(RecipeError, match=r"2 fill values for 3 channels. Give one value, or one per channel"):
        compose([Rotate(5)], fill=(0.0, 1.0))(torch.zeros(1, 3, 8, 8), streams(1))


def test_half_precision_is_sampled_in_full() -> None:
    images = torch.rand(2, 3, 40, 40)
    pipeline, draws = compose([Rotate(20), Scale(1.2)]), streams(2)
    halved = pipeline(images.bfloat16(), draws)
    assert halved.dtype == torch.bfloat16
    torch.testing.assert_close(halved.float(), pipeline(images, draws), atol=0.006, rtol=0)  # 2^-9 in, 2^-9 out


def test_a_padded_canvas_is_the_same_plane() -> None:
    images = torch.rand(3, 3, 20, 28)
    draws = streams(3)
    rotate = Rotate(30)
    whole = warp(images, rotate.sources(draws, (20, 28)), (32, 40), fill=GREY)
    plain = warp(images, rotate.sources(draws, (20, 28)), (20, 28), fill=GREY)
    torch.testing.assert_close(whole[:, :, 6:26, 6:34], plain, atol=ROUNDING, rtol=0)
    framed = Pad(6)(images, draws)
    torch.testing.assert_close(
        warp(framed, rotate.sources(draws, (20, 28)), (32, 40), fill=GREY), whole, atol=ROUNDING, rtol=0
    )
    nothing = torch.zeros(3, 2, dtype=torch.int64)
    torch.testing.assert_close(shift(images, nothing, (32, 40), fill=GREY), framed)


def test_lengths_shrink_with_small_pictures_only() -> None:
    assert [Length(8, 128).on((side, 10)) for side in (512, 224, 128, 64, 32, 10)] == [8, 8, 8, 4, 2, 1]
    assert [Length(8).on((side, side)) for side in (512, 64, 10)] == [8, 8, 8]
    assert Length(0, 128).on((32, 32)) == 0


def test_a_list_draws_each_of_its_numbers_by_its_share() -> None:
    drawn = Choice((-1.0, 0.0, 0.0, 2.0)).draw(streams(4000)).double()
    shares = [(drawn == value).double().mean().item() for value in (-1, 0, 2)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.03)  # 3.8 standard deviations of 4,000 draws


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Jitter(-1), "-1 px is less than nothing"),
        (lambda: Scale([0, 1]), "scale by 0 leaves nothing. Give factors above 0"),
        (lambda: Scale(0.9), r"scale by 0.9 is not possible. Give 1 or more times \(or a range such as 0.9..1\)"),
        (lambda: Rotate(math.nan), "rotate by nan is not possible"),
        (lambda: Rotate([]), "no list of numbers"),
        (lambda: Shear([95]), "shear by 95 degrees is flat. Give angles within 90"),
        (lambda: Flip(1.5), "flip with probability 1.5. Give a number from 0 to 1"),
        (lambda: Jitter(40)(torch.zeros(1, 3, 16, 16), streams(1)), "jitter of 40 px can move a picture of 16 x 16 px"),
    ],
)
def test_impossible_moves_are_refused(make: object, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        make()  # type: ignore[operator]
