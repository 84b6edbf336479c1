"""Similarity, groups, grids, traces and closed forms, on networks whose answers are known by hand."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import pellucid as pl
from pellucid.ascent.source import Portrait
from pellucid.errors import TargetError
from pellucid.explain.closed_forms import closed_form
from pellucid.explain.grids import activation_grid
from pellucid.explain.similarity import correlations, nearest_units, response_matrix
from pellucid.explain.traces import trace
from pellucid.explain.unit_groups import groups
from pellucid.objectives.from_target import objective_of

EXACT = {"steps": 40, "image": "pixels", "squash": "clip", "transforms": "none", "color": "none", "learning_rate": 0.1}
COLORS = [(1.0, 0.0, 0.0), (0.9, 0.1, 0.0), (0.0, 1.0, 0.0), (0.0, 0.9, 0.1), (0.0, 0.0, 1.0)]


def colours(order: Sequence[int] = range(5)) -> pl.Model:
    """Unit i fires for the i-th colour: 0 and 1 for reds, 2 and 3 for greens, 4 for blue."""
    conv = nn.Conv2d(3, len(order), 1, bias=False)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([COLORS[i] for i in order])[:, :, None, None])
    return pl.Model(nn.Sequential(OrderedDict(look=conv, relu=nn.ReLU())), size=8, name="colours")


class Paints:
    """A picture of unit i is the flat colour that excites it most."""

    def portraits(self, targets: Sequence[str]) -> dict[str, Portrait]:
        found = {}
        for target in targets:
            colour = torch.tensor(COLORS[int(target.rpartition(":")[2])])
            image = (colour == colour.max()).float()[:, None, None].expand(3, 8, 8)
            found[target] = Portrait(target, image, 1.0, pl.Status("done", 1))
        return found


def test_the_response_matrix_by_loops() -> None:
    model = colours()
    found = response_matrix(model, "look", Paints())
    for i in range(5):
        image = Paints().portraits([f"look:{i}"])[f"look:{i}"].image
        for j in range(5):
            expected = sum(COLORS[j][channel] * float(image[channel].mean()) for channel in range(3))
            assert found.values[i, j] == pytest.approx(expected, abs=1e-6)


def test_units_of_a_colour_are_nearest_and_lie_side_by_side() -> None:
    found = response_matrix(colours([0, 2, 4, 1, 3]), "look", Painted([0, 2, 4, 1, 3]))
    assert found.nearest(0, 1)[0][0] == "look:3"
    assert found.nearest(1, 1)[0][0] == "look:4"
    places = [found.order.index(row) for row in range(5)]
    assert abs(places[0] - places[3]) == 1
    assert abs(places[1] - places[4]) == 1
    table = found.table(colours([0, 2, 4, 1, 3]), 2)
    assert table["nearest_units"][0][0] == "look:3"
    assert table["nearest_similarity"][0][0] > 0.98
    assert table["own_rank"] == [1, 1, 1, 1, 1]
    assert float(found.own_best) == 1
    assert found.heat_map().width > 500


class Painted(Paints):
    """The same for units in another order."""

    def __init__(self, order: Sequence[int]) -> None:
        self.order = order

    def portraits(self, targets: Sequence[str]) -> dict[str, Portrait]:
        names = {target: f"look:{self.order[int(target.rpartition(':')[2])]}" for target in targets}
        made = super().portraits(list(names.values()))
        return {target: Portrait(target, made[name].image, 1.0, made[name].status) for target, name in names.items()}


def test_the_same_unit_is_found_in_another_network() -> None:
    order = [4, 3, 2, 1, 0]
    pictures = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    near = nearest_units(colours(), "look", colours(order), "look", pictures, 1)
    assert [one[0][0] for one in near] == [f"look:{order.index(unit)}" for unit in range(5)]
    assert all(one[0][1] == pytest.approx(1, abs=1e-5) for one in near)
    with pytest.raises(TargetError, match="three pictures or more, not 2"):
        nearest_units(colours(), "look", colours(), "look", pictures[:2])


def test_a_unit_that_never_changes_is_like_nothing() -> None:
    values = torch.stack([torch.rand(20), torch.full((20,), 0.3)], 1)
    assert correlations(values, values).tolist() == [[pytest.approx(1), 0], [0, 0]]


def test_pictures_that_are_missing_are_left_out() -> None:
    class Few(Paints):
        def portraits(self, targets: Sequence[str]) -> dict[str, Portrait]:
            return super().portraits([t for t in targets if t[-1] in "124"])

    assert response_matrix(colours(), "look", Few()).units == (1, 2, 4)
    with pytest.raises(TargetError, match="pictures of 1 of 2 units"):
        response_matrix(colours(), "look", Few(), [0, 1])
    with pytest.raises(TargetError, match="has units 0 to 4, not 7"):
        response_matrix(colours(), "look", Few(), [7])
    with pytest.raises(TargetError, match="unit 0 of look was not compared"):
        response_matrix(colours(), "look", Few()).nearest(0)


def test_the_trace_shows_the_unit_rise_and_its_like_with_it() -> None:
    found = trace(colours(), "look:0", "look", **{**EXACT, "steps": 12}, snapshots=(0, 6))
    assert found.steps == (0, 6, 12)
    assert found.values.shape == (3, 5)
    assert {name for name, _ in found.risen(2)} == {"look:0", "look:1"}
    assert found.values[-1, 0] > found.values[0, 0] + 0.1
    assert found.chart().width > 500


def test_groups_find_what_fires_together(tmp_path: Path) -> None:
    """Reds fire left, greens right, blue in the middle row: three groups, each of its colour's units."""
    image = torch.zeros(1, 3, 8, 8)
    image[0, 0, :4, :4] = 1
    image[0, 1, :4, 4:] = 0.9
    image[0, 2, 4:] = 0.8
    found = groups(colours(), "look", image, 3)
    members = sorted(sorted(name for name, weight in found.strongest(g) if weight > 0.3) for g in range(3))
    assert members == [["look:0", "look:1"], ["look:2", "look:3"], ["look:4"]]
    assert found.explained > 0.99
    red = next(g for g in range(3) if found.strongest(g)[0][0] in ("look:0", "look:1"))
    assert found.maps[0, red, :4, :4].min() > 10 * found.maps[0, red, :, 4:].max().clamp(min=1e-6)
    rebuilt = torch.einsum("khw,kn->nhw", found.maps[0], found.directions)
    assert torch.allclose(rebuilt, colours().tap(image, ["look"])["look"][0], atol=0.02)
    targets = found.save(tmp_path)
    made = pl.render(colours(), [targets[red], found.objectives()[red]], **EXACT)
    assert made.images[0, 0].mean() > 0.8
    assert made.images[0, 2].mean() < 0.7
    assert made.scores[0] == pytest.approx(float(made.scores[1]), rel=0.05)
    with pytest.raises(TargetError, match="has 1 to 5 groups, not 9"):
        groups(colours(), "look", image, 9)
    with pytest.raises(TargetError, match="does not fire anywhere"):
        groups(colours(), "look", image * 0, 2)


def test_a_grid_draws_each_position_s_own() -> None:
    """Red left, blue right: the cells' pictures are red and blue, and the dim half is smaller."""
    photo = torch.zeros(3, 8, 8)
    photo[0, :, :4], photo[2, :, 4:] = 1, 0.25
    found = activation_grid(colours(), photo, "look", most_cells=2, **EXACT)
    assert found.pictures.shape[:2] == (2, 2)
    red, blue = found.pictures[0, 0].mean((1, 2)), found.pictures[1, 1].mean((1, 2))
    assert red[0] > red[2] + 0.2
    assert blue[2] > blue[0] + 0.2
    assert found.strength[0, 0] == 1
    assert found.strength[0, 1] < 0.3
    assert found.mosaic(16).size == (32, 32)
    with pytest.raises(TargetError, match="is silent on this photo"):
        activation_grid(colours(), photo * 0, "look", steps=1)


def kernel() -> tuple[pl.Model, Tensor]:
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4)
    norm.running_mean.normal_()
    module = nn.Sequential(OrderedDict(conv=conv, norm=norm, relu=nn.ReLU()))
    return pl.Model(module, mean=(0.4,) * 3, std=(0.3,) * 3, size=9), conv.weight.detach()


@pytest.mark.parametrize("target", ["norm:2", "norm:2@2,3", "-norm:1", "conv:0"])
def test_no_picture_beats_the_closed_form(target: str) -> None:
    model, _ = kernel()
    found = closed_form(model, target)
    made = pl.render(model, target, **EXACT)
    assert found.score >= float(made.scores[0]) - 1e-5
    assert found.score == pytest.approx(float(made.scores[0]), rel=0.02)  # the ascent comes close
    others = (torch.rand(200, 3, 9, 9, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    objective = objective_of(pl.Target.parse(target), model)
    assert found.score >= float(objective(model.tap(others, objective.taps)).amax())


def test_a_neurons_closed_form_is_its_kernel_and_the_score_is_affine() -> None:
    model, weight = kernel()
    found = closed_form(model, "conv:1@2,2")
    assert torch.allclose(found.slope[:, 3:6, 3:6], weight[1] / 0.3, atol=1e-5)
    assert (found.image[:, :3] == 0.5).all()  # what it does not see stays grey
    assert set(found.image[:, 3:6, 3:6].unique().tolist()) == {0.0, 1.0}
    assert found.score == pytest.approx(float((found.slope * found.image).sum()) + found.offset, abs=1e-4)


def test_what_is_not_linear_is_refused() -> None:
    with pytest.raises(TargetError, match="relu:1 is not linear in the pixels of Sequential: a closed form exists for"):
        closed_form(kernel()[0], "relu:1")
