"""The row between two units: its objectives, its one start, and neighbours that resemble each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.ascent.interpolate import ways
from pellucid.errors import RecipeError, TargetError
from pellucid.objectives.from_target import objective_of
from pellucid.objectives.groups import interpolation


@pytest.fixture(scope="module")
def model() -> pl.Model:
    torch.manual_seed(0)
    return pl.Model(nn.Sequential(nn.Conv2d(3, 8, 5, stride=2), nn.Tanh(), nn.Conv2d(8, 4, 3)), size=24)


QUICK = {"steps": 20, "precision": "float32", "batch": 4, "lanes": 1}


def apart(made: pl.Rendering) -> float:
    """How different neighbours are."""
    return float((made.images[1:] - made.images[:-1]).square().mean())


def test_the_row_is_scored_as_the_directions_between_its_ends(model: pl.Model, tmp_path: Path) -> None:
    images = torch.rand(3, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    vector = np.array([0.5, -1, 0, 2], np.float32)
    np.save(tmp_path / "d.npy", vector)
    seen = model.tap(images, ["2"])
    for second, end in (("2:3", 3), (f"dir:2@{tmp_path / 'd.npy'}", torch.from_numpy(vector))):
        wanted = interpolation(model.layer("2"), 1, end, steps=5)
        for target, objective in zip(ways("2:1", second, 5), wanted, strict=True):
            assert torch.allclose(objective_of(target, model)(seen), objective(seen), atol=1e-5)
    assert [str(target) for target in ways("2:1", "2:3", 6)] == [
        "2:1", "0.8*2:1 + 0.2*2:3", "0.6*2:1 + 0.4*2:3", "0.4*2:1 + 0.6*2:3", "0.2*2:1 + 0.8*2:3", "2:3",
    ]  # fmt: skip


def test_all_start_from_the_same_noise(model: pl.Model) -> None:
    made = pl.interpolate(model, "2:0", "2:1", pictures=4, snapshots=(0,), **QUICK)
    assert made.snapshots[0].std(0).max() == 0
    assert made.images.std(0).max() > 0.05
    assert (made.recipe.alignment, made.recipe.shared_start) == (1, True)
    own = pl.interpolate(model, "2:0", "2:1", pictures=4, snapshots=(0,), shared_start=False, **QUICK)
    assert own.snapshots[0].std(0).max() > 0


def test_neighbours_are_aligned_more_by_more_weight_and_not_without(model: pl.Model) -> None:
    row = {"pictures": 4, **QUICK}
    rows = [pl.interpolate(model, "2:0", "2:1", alignment=weight, **row) for weight in (0.0, 1.0, 10.0)]
    free, usual, strong = map(apart, rows)
    assert strong < 0.7 * free
    assert strong < usual < free
    alone = pl.render(model, ways("2:0", "2:1", 4), shared_start=True, **QUICK)
    assert torch.equal(rows[0].images, alone.images), "nothing but the alignment couples them"


def test_a_recipe_that_says_otherwise_is_heard(model: pl.Model) -> None:
    usual = pl.interpolate(model, "2:0", "2:1", pictures=2, recipe=pl.Recipe(**QUICK))
    assert usual.recipe.alignment == 1
    for recipe in ({**QUICK, "alignment": 0.0}, pl.Recipe(**QUICK, alignment=0.25)):
        made = pl.interpolate(model, "2:0", "2:1", pictures=2, recipe=recipe)  # type: ignore[arg-type]
        assert made.recipe.alignment in (0.0, 0.25)


@pytest.mark.parametrize(
    ("first", "second", "pictures", "message"),
    [
        ("2:0", "0:1", 3, "of one layer at one place, not from 2:0 to 0:1"),
        ("2:0@c", "2:1", 3, "of one layer at one place, not from 2:0@c to 2:1"),
        ("2:0", "2", 3, "ends at a channel or a direction, such as mixed4a:3 or dir:mixed4a@FILE.npy, not at 2"),
        ("2:0-2", "2:1", 3, "not at 2:0-2"),
        ("-2:0", "2:1", 3, "not at -2:0"),
        ("2:0 + 2:1", "2:1", 3, "not at 2:0 \\+ 2:1"),
        ("2:1", "2:1", 3, "both ends of the interpolation are 2:1"),
        ("2:1", "2:4", 3, "channel 4 is out of range"),
        ("2:0", "2:1", 1, "two ends, and 1 pictures were asked for"),
    ],
)
def test_ends_without_a_way_between_them_are_named(
    model: pl.Model, first: str, second: str, pictures: int, message: str
) -> None:
    with pytest.raises(TargetError, match=message):
        pl.interpolate(model, first, second, pictures=pictures)


def test_what_a_group_cannot_have_is_named(model: pl.Model) -> None:
    with pytest.raises(RecipeError, match="refine is done picture by picture, and alignment couples"):
        pl.interpolate(model, "2:0", "2:1", refine=3)
