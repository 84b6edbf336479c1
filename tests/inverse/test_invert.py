"""From a picture back to its objective: found where it can be, and doubted aloud where not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.ascent.rendering import Rendering
from pellucid.errors import InversionError
from pellucid.inverse.answers import Evidence, solution_of
from pellucid.inverse.critical_spaces import CriticalSpace, Plateau
from pellucid.inverse.doubts import doubts_of_answer
from pellucid.inverse.inversion import Inversion
from pellucid.inverse.inverting import _evidence
from pellucid.inverse.linear_algebra import angle_deg
from pellucid.inverse.sampling import sparse_objectives
from pellucid.inverse.solve import solved
from pellucid.inverse.subjects import subjects_of
from pellucid.objectives.response_direction import response_direction

MADE = {
    "image": "pixels",
    "color": "none",
    "transforms": "none",
    "precision": "float64",
    "learning_rate": 0.05,
    "steps": 60,
    "refine": 300,
    "squash": "unbounded",
}


class Sine(nn.Module):
    """Smooth, and with optima inside the range of pixels: monotone units would drive every pixel to its end."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(2 * x)


def smooth_net(num_units: int = 6) -> pl.Model:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), Sine(), nn.Conv2d(8, num_units, 3, padding=1), nn.Softplus())
    return pl.Model(net, size=8, name="smooth").at(precision="float64")


@pytest.fixture(scope="module")
def model() -> pl.Model:
    return smooth_net()


@pytest.fixture(scope="module")
def targets() -> torch.Tensor:
    return sparse_objectives(4, 6, seed=3)


@pytest.fixture(scope="module")
def rendering(model: pl.Model, targets: torch.Tensor) -> Rendering:
    objectives = [response_direction("3", t, aggregation="mean") for t in targets]
    return pl.render(model, objectives, **MADE)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def inversion(model: pl.Model, rendering: Rendering) -> Inversion:
    return pl.inverse.invert(model, rendering)


def kinds(inversion: Inversion, which: int = 0) -> set[str]:
    return {doubt.kind for doubt in inversion.warnings[which]}


def test_a_smooth_networks_objectives_are_found_to_a_hundredth_of_a_degree(
    inversion: Inversion, targets: torch.Tensor
) -> None:
    apart = angle_deg(inversion.objectives, targets)
    assert float(apart.max()) < 0.01
    assert float(angle_deg(inversion.plain, targets).max()) < 0.01
    # The response is another thing: an answer that gave it back would fail here.
    assert float(angle_deg(inversion.responses, targets).min()) > 1


def test_the_certificate_of_a_rendering_bounds_its_angle(inversion: Inversion, targets: torch.Tensor) -> None:
    for row, bound in enumerate(inversion.certificates):
        assert bound is not None
        assert (
            float(angle_deg(inversion.plain[row], targets[row])) <= bound + 1e-5
        )  # what rounding leaves of an eigenvector
        assert bound < 1


def test_what_comes_back_is_consistent(inversion: Inversion) -> None:
    assert torch.allclose(inversion.objectives.norm(dim=1), torch.ones(4, dtype=torch.float64))
    assert float(inversion.objectives.min()) >= 0
    assert bool((inversion.singular_values[:, 1:] >= inversion.singular_values[:, :-1]).all())
    assert bool((inversion.sign_certainty > 0.1).all())
    assert inversion.exploratory == (False,) * 4
    assert inversion.family.cosine_power == 2
    assert len(inversion[1:3]) == 2
    assert inversion[1].as_dict()["units"][0]["unit"] == inversion.ranked(1)[0][0]
    with pytest.raises(IndexError, match="no picture 9 in an inversion of 4"):
        inversion[9]


def test_a_saved_rendering_inverts_as_the_one_in_memory(
    model: pl.Model, rendering: Rendering, inversion: Inversion, tmp_path: Path
) -> None:
    rendering.save(tmp_path / "sheet.png")
    again = pl.inverse.invert(model, Rendering.load(tmp_path / "sheet.png"))
    assert torch.equal(again.objectives, inversion.objectives)
    assert again.certificates == inversion.certificates


def test_a_picture_does_not_depend_on_its_neighbours(
    model: pl.Model, rendering: Rendering, inversion: Inversion, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = pl.inverse.invert(model, rendering[2])
    assert float(angle_deg(alone.objectives[0], inversion.objectives[2])) < 1e-6
    noisy = pl.inverse.invert(model, rendering, noise=0.01)
    monkeypatch.setattr("pellucid.inverse.inverting._TOGETHER_BYTES", 1)
    one_by_one = pl.inverse.invert(model, rendering, noise=0.01)
    assert float(angle_deg(noisy.objectives, one_by_one.objectives).max()) < 1e-6


@pytest.mark.parametrize("aggregation", ["pooled", "centre"])
def test_other_aggregations_come_back_too(model: pl.Model, aggregation: str) -> None:
    """Maxima have kinks of their own, and one position sees few pixels: the certificate says how far off."""
    t = sparse_objectives(1, 6, seed=3)[0]
    objective = response_direction("3", t, aggregation=aggregation)  # type: ignore[arg-type]
    found = pl.inverse.invert(model, pl.render(model, objective, **MADE), noise=0.0)  # type: ignore[arg-type]
    assert found.family.aggregation == aggregation
    (bound,) = found.certificates
    assert bound is not None
    assert float(angle_deg(found.plain[0], t)) <= bound < 15


def test_a_single_channel_is_an_objective_of_cosine_power_0(model: pl.Model) -> None:
    found = pl.inverse.invert(model, pl.render(model, "3:4", **{**MADE, "refine": 0}))  # type: ignore[arg-type]
    assert (found.family.layer, found.family.cosine_power, found.family.aggregation) == ("3", 0, "mean")
    assert found.exploratory == (False,)


def test_noise_matched_pictures_of_a_relu_network_invert_better_than_others() -> None:
    torch.manual_seed(1)
    net = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), Sine(), nn.Conv2d(8, 12, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(12, 6, 3, padding=1), nn.Softplus()),
    )
    relu = pl.Model(net, size=8)
    wanted = sparse_objectives(6, 6, seed=2)
    objectives = [response_direction("5", t, aggregation="mean") for t in wanted]
    plain = {**MADE, "precision": "float32", "refine": 0, "steps": 200}
    sharp = pl.render(relu, objectives, **plain)  # type: ignore[arg-type]
    soft = pl.render(relu, objectives, **plain, parameter_noise=0.02, schedule="cosine")  # type: ignore[arg-type]
    single = angle_deg(pl.inverse.invert(relu, sharp, noise=0.0).objectives, wanted).median()
    matched = pl.inverse.invert(relu, soft)
    assert (matched.noise, matched.noise_draws) == (0.02, 16)
    assert float(angle_deg(matched.objectives, wanted).median()) < min(5.0, float(single) / 2)


def test_verification_marks_what_does_not_stay(model: pl.Model, rendering: Rendering) -> None:
    verified = pl.inverse.invert(model, rendering[0], verify=True).verification
    assert verified is not None
    assert float(verified.ssim.min()) > 0.95
    assert verified.is_outlier == (False,)
    assert replace(verified, threshold=1.1).is_outlier == (True,)


# When it cannot know, it says so: a test for each of its messages.


def constant_net(bias: float, *, scale: float = 1.0) -> pl.Model:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
    torch.manual_seed(0)
    net[0].weight.data = torch.rand(4, 3, 1, 1) * scale
    net[0].bias.data.fill_(bias)
    return pl.Model(net, size=6)


PICTURE = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
NAMED = {"cosine_power": 2, "aggregation": "mean"}


def test_a_zero_response_is_an_error() -> None:
    with pytest.raises(InversionError, match="picture 0: the response of 1 is zero, and the cosine with it undefined"):
        pl.inverse.invert(constant_net(-100.0), PICTURE, "1", **NAMED)  # type: ignore[arg-type]


def test_a_response_that_is_not_finite_is_an_error() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(3, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.convolution(x) / 0

    broken = pl.Model(nn.Sequential(Broken(), nn.Identity()), size=6)
    with pytest.raises(InversionError, match="is not finite"):
        pl.inverse.invert(broken, PICTURE, "1", **NAMED)  # type: ignore[arg-type]


def test_no_gradient_is_an_error() -> None:
    with pytest.raises(InversionError, match="the Jacobian of 1 is zero: no gradient reaches the image"):
        pl.inverse.invert(constant_net(1.0, scale=0.0), PICTURE, "1", **NAMED)  # type: ignore[arg-type]


def test_saturated_pixels_are_a_warning() -> None:
    found = pl.inverse.invert(constant_net(0.1), (PICTURE > 0.5).float(), "1", **NAMED)  # type: ignore[arg-type]
    (doubt,) = [doubt for doubt in found.warnings[0] if "saturated" in str(doubt)]
    assert doubt.kind == "not identifiable"
    assert "only 0 values of the picture are not saturated, fewer than twice the 4 units" in doubt.message


def test_a_singular_jacobian_is_a_warning() -> None:
    """Three units that are the same one: nothing in a picture tells them apart."""
    module = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())
    module.load_state_dict({"0.weight": torch.ones(3, 3, 1, 1), "0.bias": torch.full((3,), 0.1)})
    found = pl.inverse.invert(pl.Model(module, size=6), PICTURE, "1", noise=0.0, **NAMED)  # type: ignore[arg-type]
    (doubt,) = [doubt for doubt in found.warnings[0] if "s2/s_n" in str(doubt)]
    assert doubt.kind == "not identifiable"


def test_dead_units_are_named_and_left_out(model: pl.Model, rendering: Rendering) -> None:
    """A seventh unit that never fires: the answer is as if it were not there, and without the rule it would be it."""

    (evidence,) = _evidence(model, subjects_of(model, rendering, None, None, None, None), [0], [None])
    larger = torch.zeros(7, 7, dtype=torch.float64)
    larger[:6, :6] = evidence.gram
    response = torch.cat([evidence.response, torch.zeros(1, dtype=torch.float64)])
    with_dead = Evidence(response, larger, 0, True)
    assert with_dead.dead == (6,)
    naive = solved(larger, response, 2, torch.zeros(7, 0, dtype=torch.float64), nonnegative=False)
    assert abs(float(naive.plain[6])) > 0.999
    ruled = solution_of(with_dead, 2, None, nonnegative=True)
    without = solution_of(evidence, 2, None, nonnegative=True)
    for found, expected in ((ruled.plain, without.plain), (ruled.nonnegative, without.nonnegative)):
        assert found is not None
        assert expected is not None
        assert float(found[6].abs()) < 1e-9
        assert float(angle_deg(found[:6], expected)) < 1e-3


@pytest.mark.parametrize(("response", "length", "is_off"), [(1e-6, 1e-2, True), (1e-6, 1.0, False), (0.1, 1e-2, False)])
def test_a_unit_that_fires_but_here_and_there_and_hardly_moves_is_off(
    response: float, length: float, is_off: bool
) -> None:
    """Neither a logit near zero nor a weak unit that fires is."""
    gram = torch.diag(torch.tensor([1.0, 4.0, length**2], dtype=torch.float64))
    evidence = Evidence(torch.tensor([2.0, 1.0, response], dtype=torch.float64), gram, 0, True)
    assert evidence.dead == ((2,) if is_off else ())


def test_a_dead_unit_of_a_network_is_a_warning_that_names_it() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
    module.load_state_dict({"0.weight": torch.rand(4, 3, 1, 1), "0.bias": torch.tensor([0.1, 0.1, -100, 0.1])})
    found = pl.inverse.invert(pl.Model(module, size=6), PICTURE, "1", **NAMED)  # type: ignore[arg-type]
    assert found.dead_units == ((2,),)
    assert float(found.objectives[0, 2]) == 0
    (doubt,) = [doubt for doubt in found.warnings[0] if doubt.kind == "dead units"]
    assert doubt.message.startswith("no gradient reaches unit 2 here, or one in a few of the noisy places only: ")


def test_two_objectives_that_explain_the_image_alike_are_both_returned() -> None:

    matrix = torch.diag(torch.tensor([1.0, 1.21, 9.0], dtype=torch.float64))
    r = torch.tensor([1.0, 1.0, 1.0], dtype=torch.float64)
    solution = solved(matrix, r, 0, torch.zeros(3, 0, dtype=torch.float64), nonnegative=False)
    (doubt,) = doubts_of_answer(solution, single=None, dead=(), num_free=100, num_units=3)
    assert doubt.kind == "two objectives"
    assert "s2/s1 is 1.10, below 1.5" in doubt.message
    assert float(solution.plain[0]) == pytest.approx(1)
    assert float(solution.second[1]) == pytest.approx(1)


def test_kinks_and_a_nonnegative_answer_that_differs_are_warnings() -> None:

    r = torch.tensor([1.0, 0.2, 0.2], dtype=torch.float64)
    none = torch.zeros(3, 0, dtype=torch.float64)
    mean = solved(torch.diag(torch.tensor([0.1, 4.0, 9.0], dtype=torch.float64)), r, 0, none, nonnegative=False)
    alone = solved(torch.diag(torch.tensor([9.0, 4.0, 0.1], dtype=torch.float64)), r, 0, none, nonnegative=False)
    (doubt,) = doubts_of_answer(mean, single=alone, dead=(), num_free=100, num_units=3)
    assert doubt.kind == "kinks"
    assert "differ by 90 degrees: the picture lies on activation kinks" in doubt.message
    mixed = torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64)
    matrix = 5 * torch.eye(3, dtype=torch.float64) - 2 * torch.outer(mixed, mixed)
    both = solved(matrix, r, 0, none, nonnegative=True)
    (doubt,) = doubts_of_answer(both, single=None, dead=(), num_free=100, num_units=3)
    assert doubt.kind == "nonnegative differs"
    assert "the nonnegative and the plain answer differ by 45 degrees" in doubt.message


def test_a_critical_space_without_a_wide_plateau_is_a_warning(model: pl.Model, rendering: Rendering) -> None:

    basis = torch.full((6, 1), 6**-0.5, dtype=torch.float64)
    narrow = CriticalSpace(basis, (Plateau(0.1, 0.2, basis),), 4)
    found = pl.inverse.invert(model, rendering[0], critical_space=narrow)
    assert "no clear critical space" in kinds(found)
    wide = CriticalSpace(basis, (Plateau(0.1, 0.4, basis),), 4)
    assert "no clear critical space" not in kinds(pl.inverse.invert(model, rendering[0], critical_space=wide))


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"cosine_power": 2}, "the aggregation that the picture was made with is not known"),
        ({"aggregation": "mean"}, "the cosine power that the picture was made with is not known"),
        ({}, "the cosine power and the aggregation that the picture was made with are not known"),
        ({"cosine_power": 2, "aggregation": "meen"}, "no aggregation 'meen'. Did you mean 'mean'?"),
        ({"cosine_power": -1, "aggregation": "mean"}, "the cosine power is a whole number from 0, not -1"),
        ({"noise": -1.0, **NAMED}, "noise is a number from 0, not -1.0"),
        ({"noise_draws": 3, **NAMED}, "noise_draws come in pairs: an even number from 2, not 3"),
    ],
)
def test_what_is_not_known_has_to_be_named(named: dict[str, object], message: str) -> None:
    with pytest.raises(InversionError, match=message.replace("?", r"\?")):
        pl.inverse.invert(constant_net(0.1), PICTURE, "1", **named)  # type: ignore[arg-type]


def test_a_layer_has_to_be_named_for_a_picture_from_elsewhere() -> None:
    with pytest.raises(InversionError, match="whose units the picture shows is not known: name a layer"):
        pl.inverse.invert(constant_net(0.1), PICTURE)


def test_pictures_that_are_none_are_refused() -> None:
    with pytest.raises(InversionError, match=r"takes pictures \[b, 3, h, w\], not \[1, 1, 6, 6\]"):
        pl.inverse.invert(constant_net(0.1), PICTURE[:, :1], "1", **NAMED)  # type: ignore[arg-type]
    with pytest.raises(InversionError, match="hold finite values from 0 to 1, and these do not"):
        pl.inverse.invert(constant_net(0.1), PICTURE * 255, "1", **NAMED)  # type: ignore[arg-type]


def test_a_picture_from_elsewhere_is_exploratory(model: pl.Model, rendering: Rendering) -> None:
    found = pl.inverse.invert(model, PICTURE.double(), "3", cosine_power=2, aggregation="pooled")
    assert found.exploratory == (True,)
    assert any("cannot be tested from one picture" in str(doubt) for doubt in found.warnings[0])
    other = smooth_net(5)
    elsewhere = pl.inverse.invert(other, rendering[0], "3")
    assert elsewhere.exploratory == (True,)
    assert any("made by smooth, another network" in str(doubt) for doubt in elsewhere.warnings[0])
    assert elsewhere.certificates == (None,)
    otherwise = pl.inverse.invert(model, rendering[0], aggregation="pooled")
    assert otherwise.exploratory == (True,)
    shaken = pl.render(model, "3:1", steps=2, transforms="jitter:1", image="pixels", precision="float64")
    assert any("moved by random transforms" in str(doubt) for doubt in pl.inverse.invert(model, shaken).warnings[0])


def test_a_jacobian_larger_than_memory_lives_in_a_file(
    model: pl.Model, rendering: Rendering, inversion: Inversion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pellucid.inverse.jacobians._MEMORY_SHARE", 0.0)
    found = pl.inverse.invert(model, rendering)
    assert torch.equal(found.objectives, inversion.objectives)
    (doubt,) = [doubt for doubt in found.warnings[0] if doubt.kind == "on disk"]
    assert "GiB did not fit into memory: it lay in a file" in doubt.message


def test_an_odd_cosine_power_leaves_the_sign_open_unless_weights_are_nonnegative(model: pl.Model) -> None:
    t = sparse_objectives(1, 6, seed=3)[0]
    made = pl.render(model, response_direction("3", t, cosine_power=1, aggregation="mean"), **MADE)  # type: ignore[arg-type]
    plain = pl.inverse.invert(model, made, nonnegative=False)
    assert "ambiguous sign" in kinds(plain)
    assert plain.sign_certainty.tolist() == [0.0]
    assert plain.nonnegative is None
    decided = pl.inverse.invert(model, made)
    assert "ambiguous sign" not in kinds(decided)
    assert float(decided.sign_certainty[0]) > 0.1
    assert float(angle_deg(decided.objectives[0], t)) < 0.1
