"""Laws of masks and rasters: the cells they name and no other, in every objective on places, and as targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.errors import TargetError
from pellucid.models.layers import Layer
from pellucid.models.model import Model
from pellucid.models.positions import Mask, Position
from pellucid.models.taps import Activations, Tap
from pellucid.models.targets import Target
from pellucid.objectives.from_target import objective_of
from pellucid.objectives.masks import masked, raster, read_mask
from pellucid.objectives.objective import per_image
from pellucid.objectives.units import channel, direction, layer, neuron, region

MASK = np.array([[True, False, False], [False, True, True]])
Z = torch.randn(2, 2, 2, 3, generator=torch.Generator().manual_seed(0))
ACTS = Activations({Tap("l"): Z}, {"l": Layer("l", "Conv2d", "bchw", (2, 2, 3), 2)}, torch.zeros(2, 3, 2, 2))
IDENTITY = nn.Conv2d(3, 3, 1, bias=False)
with torch.no_grad():
    IDENTITY.weight.copy_(torch.eye(3)[:, :, None, None])
COLORS = Model(nn.Sequential(IDENTITY), size=(4, 5), name="colors")


def test_a_mask_picks_its_cells_in_every_objective_on_places() -> None:
    inside = Z[:, :, torch.tensor(MASK)]  # [b, c, 3]
    place = masked(MASK)
    for objective, by_hand in (
        (region("l", 1, place), inside[:, 1].mean(1)),
        (region("l", 1, place, reduction="sum"), inside[:, 1].sum(1)),
        (region("l", 1, place, reduction="norm"), inside[:, 1].norm(dim=1)),
        (region("l", 0, place, reduction="max"), inside[:, 0].amax(1)),
        (layer("l", place), inside.square().mean((1, 2))),
        (direction("l", [1.0, -2.0], position=place), (inside[:, 0] - 2 * inside[:, 1]).mean(1)),
    ):
        assert torch.allclose(objective(ACTS), by_hand)


def test_only_the_masked_cells_have_a_gradient() -> None:
    z = Z.clone().requires_grad_()
    acts = Activations({Tap("l"): z}, ACTS.layers, ACTS.image)
    (gradient,) = torch.autograd.grad(region("l", 0, masked(MASK))(acts).sum(), z)
    assert torch.allclose(gradient[:, 0], torch.tensor(MASK).expand(2, 2, 3) / 3)
    assert gradient[:, 1].eq(0).all()


@pytest.mark.parametrize("count", range(1, 7))
def test_a_raster_is_read_like_a_page(count: int) -> None:
    cells = [(row, col) for row in range(2) for col in range(3)][:count]
    by_hand = torch.stack([Z[:, 1, row, col] for row, col in cells]).mean(0)
    assert torch.allclose(raster("l", 1, count)(ACTS), by_hand)
    # As the source has it: a rectangle of whole rows, and the rest of the next.
    rows, rest = divmod(count, 3)
    total = Z[:, 1, :rows].sum((1, 2)) + Z[:, 1, rows : rows + 1, :rest].sum((1, 2))
    assert torch.allclose(raster("l", 1, count, reduction="sum")(ACTS), total)


def test_the_whole_map_and_one_cell_are_the_channel_and_the_neuron() -> None:
    assert torch.allclose(raster("l", 1, 6)(ACTS), channel("l", 1)(ACTS))
    assert torch.allclose(raster("l", 1, 1)(ACTS), neuron("l", 1, 0, 0)(ACTS))
    mixed = per_image([region("l", 0, masked(MASK)), raster("l", 0, 2)])(ACTS)
    assert torch.allclose(mixed[1], Z[1, 0, 0, :2].mean())


def test_tokens_are_masked_on_their_grid() -> None:
    tokens = torch.cat([torch.full((2, 1, 2), 100.0), Z.flatten(2).transpose(1, 2)], 1)
    acts = Activations({Tap("t"): tokens}, {"t": Layer("t", "Block", "bnc", (7, 2), 2, 1, (2, 3))}, ACTS.image)
    assert torch.allclose(region("t", 1, masked(MASK))(acts), region("l", 1, masked(MASK))(ACTS))


def test_masks_are_equal_by_their_cells_and_hashes_tell_them_apart(tmp_path: Path) -> None:
    np.save(tmp_path / "mask.npy", MASK)
    objectives = [region("l", 0, masked(MASK)), region("l", 0, masked(MASK.astype(int).tolist()))]
    objectives.append(region("l", 0, read_mask(tmp_path / "mask.npy")))
    assert len({*objectives}) == len({objective.hash for objective in objectives}) == 1
    others = [raster("l", 0, 2), raster("l", 0, 3), region("l", 0, masked(~MASK)), region("l", 0, masked(MASK.T))]
    assert len({objective.hash for objective in (*objectives, *others, channel("l", 0))}) == 6
    # What was hashed before there were masks keeps its hash, and so its pictures.
    assert repr(Position.cell(1, 2)) == "Position(kind='cell', rows=(1, 2), cols=(2, 3))"


def test_masks_and_rasters_as_targets(tmp_path: Path) -> None:
    mask = np.zeros((4, 5), bool)
    mask[1, 2:4] = mask[3, 0] = True
    np.save(tmp_path / "my mask.npy", mask)
    images = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    inside = images[:, :, torch.tensor(mask)].mean(2)
    seven = images[:, 0].flatten(1)[:, :7].mean(1)
    np.save(tmp_path / "d.npy", np.array([1.0, 0.0, -1.0]))
    for text, by_hand in (
        (f'0:1@mask:"{tmp_path}/my mask.npy"', inside[:, 1]),
        (f'2*0:1@mask:"{tmp_path}/my mask.npy" - 0:0@raster:7', 2 * inside[:, 1] - seven),
        (f'dir:0@{tmp_path}/d.npy@mask:"{tmp_path}/my mask.npy"', inside[:, 0] - inside[:, 2]),
        ("0@raster:3", images[:, :, 0, :3].square().mean((1, 2))),
    ):  # fmt: skip
        objective = objective_of(Target.parse(text), COLORS)
        assert torch.allclose(objective(COLORS.tap(images, objective.taps)), by_hand, atol=1e-6), text
        assert Target.parse(str(Target.parse(text))) == Target.parse(text)


def test_what_does_not_fit_is_an_error_before_the_first_step(tmp_path: Path) -> None:
    np.save(tmp_path / "small.npy", MASK)
    np.save(tmp_path / "empty.npy", np.zeros((4, 5), bool))
    np.save(tmp_path / "numbers.npy", np.full((4, 5), 0.5))
    for text, message in (
        (f"0:1@mask:{tmp_path}/small.npy", "a mask of 2x3 cells does not fit the 4x5 map"),
        (f"0:1@mask:{tmp_path}/empty.npy", "empty.npy: a mask of a 4x5 map holds some of its 20 cells, at least one"),
        (f"0:1@mask:{tmp_path}/numbers.npy", r"numbers.npy: a mask is a boolean array \[h, w\], not float64 \[4, 5\]"),
        (f"0:1@mask:{tmp_path}/gone.npy", "cannot read the mask .*gone.npy"),
        ("0:1@raster:21", "@raster:21 is more than the 20 cells of the 4x5 map"),
    ):
        with pytest.raises(TargetError, match=message):
            objective_of(Target.parse(text), COLORS)
    with pytest.raises(TargetError, match="a mask of 2x3 cells does not fit the 4x5 map"):
        region("0", 0, masked(MASK))(COLORS.tap(torch.rand(1, 3, 4, 5), ["0"]))
    with pytest.raises(TargetError, match=r"the mask @mask:m\.npy has not been read; masks\.read_mask does"):
        region("l", 0, Position("mask", file="m.npy"))(ACTS)
    with pytest.raises(TargetError, match=r"a mask is a boolean array \[h, w\], not bool \[3\]"):
        masked([True, False, True])


@pytest.mark.parametrize(
    "make",
    [
        lambda: Position("mask"),
        lambda: Position("mask", file="m.npy", mask=Mask((1, 1), (0,))),
        lambda: Position("centre", file="m.npy"),
        lambda: Position("raster"),
        lambda: Position("cell", (0, 1), (0, 1), count=3),
        lambda: Mask((2, 2), ()),
        lambda: Mask((2, 2), (4,)),
        lambda: Position("raster", count=3).window(4, 4),
    ],
)
def test_parts_that_make_no_place_are_errors(make: object) -> None:
    with pytest.raises(TargetError):
        make()  # type: ignore[operator]
