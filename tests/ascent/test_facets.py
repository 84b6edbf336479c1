"""Facets: of what excites a unit, starts that differ, and a direction towards each cluster."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import pellucid as pl
from pellucid.ascent.facets import diverse_starts, towards_facets
from pellucid.errors import RecipeError, TargetError
from pellucid.images import files


class Bright(nn.Module):
    """`seen`: channel 0 is how bright a picture is, channels 1 to 3 its colours."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = nn.Conv2d(3, 4, 1, bias=False)
        with torch.no_grad():
            self.seen.weight.copy_(torch.cat([torch.ones(1, 3), torch.eye(3)])[:, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        return self.seen(x).mean((2, 3))


@pytest.fixture(scope="module")
def model() -> pl.Model:
    return pl.Model(Bright(), size=8)


def pictures() -> Tensor:
    """Ten dark ones, and bright ones of three colours, eight of each, a little different, the reds brightest."""
    noise = 0.02 * torch.rand(34, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    bright = torch.eye(3)[[0] * 8 + [1] * 8 + [2] * 8][:, :, None, None] * 0.9
    bright[:8] += 0.02
    return torch.cat([noise[:10], (noise[10:] + bright).clamp(0, 1)])


def test_starts_excite_the_unit_and_differ(model: pl.Model) -> None:
    starts = diverse_starts(model, "seen:0", pictures(), 3, top=24)
    assert sorted(starts.mean((2, 3)).argmax(1).tolist()) == [0, 1, 2], "one of each colour"
    assert starts.sum((1, 2, 3)).min() > 40, "none of the dark ones"
    strongest = pictures().sum((1, 2, 3)).argmax()
    assert torch.equal(starts[0], pictures()[strongest])
    reds = diverse_starts(model, "seen:0", pictures(), 3, top=8)
    assert reds.mean((2, 3)).argmax(1).tolist() == [0, 0, 0], "the eight that excite it most are red"


def test_a_facet_is_the_target_and_a_direction_of_length_one_to_a_cluster(model: pl.Model) -> None:
    facets = towards_facets(model, "seen:0", pictures(), 3, weight=2.0, top=24)
    flat = torch.eye(3)[:, :, None, None].expand(3, 3, 8, 8) * 0.5
    seen = model.tap(flat, ["seen"])
    scores = torch.stack([facet(seen) for facet in facets])  # [facet, colour]
    assert sorted(scores.argmax(1).tolist()) == [0, 1, 2], "each leans to a colour of its own"
    own = 0.5  # the unit's own score for each of these pictures
    centres = torch.cat([torch.full((3, 1), 0.9), 0.9 * torch.eye(3)], 1)
    ways = torch.nn.functional.normalize(centres - centres.mean(0), dim=1)
    values = torch.cat([torch.full((3, 1), 0.5), 0.5 * torch.eye(3)], 1)
    by_hand = own + 2 * ways @ values.T
    order = scores.argmax(1).argsort()
    assert (scores[order] - by_hand).abs().max() < 0.1


def test_pictures_by_facets_and_starts_differ_more_than_repeats(model: pl.Model) -> None:
    settings = {"steps": 20, "transforms": "none", "color": "none", "precision": "float32"}
    made = pl.render(model, towards_facets(model, "seen:0", pictures(), 3, weight=3.0, top=24), **settings)
    assert sorted(made.images.mean((2, 3)).argmax(1).tolist()) == [0, 1, 2]


def test_a_folder_of_pictures_gives_each_member_a_start(model: pl.Model, tmp_path: object) -> None:
    for number, picture in enumerate(pictures()):
        files.write(tmp_path / f"{number:02}.png", picture)  # type: ignore[operator]
    settings = {"steps": 1, "learning_rate": 1e-6, "transforms": "none", "color": "none", "members": 3}
    made = pl.render(model, ["seen:0", "seen:2"], start=None, recipe={"start": str(tmp_path)}, **settings)
    colours = made.images.mean((2, 3)).argmax(1).tolist()
    assert colours == [0, 0, 0, 1, 1, 1], "a quarter of them: the reds for the sum, the greens for channel 2"
    assert torch.pdist(made.images.flatten(1)).min() > 0.01, "each from its own"
    with pytest.raises(RecipeError, match=r"start: .* no pictures"):
        pl.render(model, "seen:0", recipe={"start": str(tmp_path / "..")}, **settings)


def test_mistakes_are_named(model: pl.Model) -> None:
    with pytest.raises(TargetError, match="40 different pictures cannot be chosen among 34"):
        diverse_starts(model, "seen:0", pictures(), 40)
    with pytest.raises(TargetError, match="fewer than 2 clusters"):
        towards_facets(model, "seen:0", torch.full((4, 3, 8, 8), 0.5), 2)
