"""Each measure alone: against loops, known answers and its own promises."""

from __future__ import annotations

import math
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

import pellucid as pl
from pellucid.errors import MissingExtra, ModelError
from pellucid.measure.agreement import model_randomisation, seed_agreement
from pellucid.measure.interpretability import (
    DREAMSIM_SCALE,
    differences,
    fitted_scale,
    machine_interpretability,
)
from pellucid.measure.likeness import DreamSim, Features, Lpips, Ssim, best_likeness
from pellucid.measure.manipulation import likeness_to_examples, suspicion
from pellucid.measure.paths import held_together, path_similarity, ranked, ranks_at, similarity_of_paths
from pellucid.measure.randomisation import reinitialised
from pellucid.measure.strength import HELD_OUT, clean_scores, held_out, reach, robustness
from pellucid.measure.transfer import transferability
from pellucid.objectives.units import channel

SIDE = 12


def made(seed: int = 0, name: str = "tiny") -> pl.Model:
    torch.manual_seed(seed)
    parts = OrderedDict(
        conv=nn.Conv2d(3, 6, 3, padding=1),
        norm=nn.BatchNorm2d(6),
        relu=nn.ReLU(),
        deep=nn.Conv2d(6, 8, 3),
        last=nn.ReLU(),
    )
    return pl.Model(nn.Sequential(parts), size=SIDE, name=name)


def images(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def test_reach_by_loops() -> None:
    natural = torch.tensor([0.0, 1.0, 2.0, 2.0, 4.0])
    assert reach(2.0, natural).percentile == pytest.approx(100 * (2 + 1) / 5)
    assert reach(2.0, natural).ratio == pytest.approx(0.5)
    assert reach(9.0, natural).percentile == 100
    assert reach(-1.0, natural).percentile == 0
    assert math.isnan(reach(1.0, torch.tensor([-1.0, -2.0])).ratio)


def test_clean_scores_by_loops() -> None:
    model, shown = made(), images(5)
    objectives = [channel("last", unit) for unit in (0, 3, 3, 7, 1)]
    found = clean_scores(model, shown, objectives)
    for row, unit in enumerate((0, 3, 3, 7, 1)):
        assert float(found[row]) == pytest.approx(float(model.tap(shown, ["last"])["last"][row, unit].mean()), abs=1e-6)


def test_robustness_is_one_where_nothing_disturbs_and_falls_where_something_does() -> None:
    """A mean of all pixels does not mind a flip; a detector of one pixel's noise minds a blur."""
    conv = nn.Conv2d(3, 2, 3, padding=1, bias=False)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[0, :, 1, 1] = 1
        conv.weight[1, :, 1, 1], conv.weight[1, :, 1, 2] = 1, -1
    model = pl.Model(nn.Sequential(OrderedDict(conv=conv, relu=nn.ReLU())), size=SIDE)
    board = ((torch.arange(SIDE)[:, None] + torch.arange(SIDE)) % 2).float().expand(2, 3, -1, -1).contiguous()
    objectives = [channel("relu", 0), channel("relu", 1)]
    assert torch.allclose(robustness(model, board, objectives, "flip"), torch.ones(2), atol=0.2)
    blurred = robustness(model, board, objectives, "blur:1", draws=2)
    assert blurred[0] == pytest.approx(1, abs=0.1)
    assert blurred[1] < 0.3
    assert torch.equal(robustness(model, board, objectives, seed=3), robustness(model, board, objectives, seed=3))
    assert robustness(model, board * 0, objectives).isnan().all()


def test_what_was_used_while_optimising_is_held_out() -> None:
    assert held_out("lucid") == HELD_OUT  # shifts, turns and scales
    assert held_out("flip:0.3 blur:2 lucid") == "shear:8 noise:0.04 brightness:1.15 contrast:1.15 hue:8"


def test_ranks_are_spearmans_with_ties() -> None:
    values = torch.tensor([[0.0, 0.0, 0.0, 3.0, 1.0, 2.0], [5.0, 0.0, 0.0, 1.0, 1.0, 2.0]])
    ready = ranked(values)
    assert float(ready[0] @ ready[1]) == pytest.approx(spearmanr(values[0], values[1]).statistic, abs=1e-6)
    assert float(ready[0] @ ready[0]) == pytest.approx(1, abs=1e-6)
    assert not ranked(torch.ones(1, 5)).any()


def test_paths_are_compared_over_the_whole_layer() -> None:
    model, first, second = made(), images(3), images(2, 1)
    found = similarity_of_paths(model, "last", first, second)
    for i in range(3):
        for j in range(2):
            a, b = (model.tap(one[None], ["last"])["last"].flatten() for one in (first[i], second[j]))
            assert float(found[i, j]) == pytest.approx(spearmanr(a, b).statistic, abs=1e-5)


def test_one_forward_gives_the_ranks_of_many_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    model, shown = made(), images(3)
    together = ranks_at(model, ["conv", "relu", "last"], shown)
    for layer, found in together.items():
        torch.testing.assert_close(found, ranks_at(model, [layer], shown)[layer])
    assert list(held_together(model, ["conv", "relu", "last"], 500)) == [["conv", "relu", "last"]]
    monkeypatch.setattr("pellucid.measure.paths._MOST_FLOATS", 3 * 2 * 6 * SIDE * SIDE)
    assert list(held_together(model, ["conv", "relu", "last"], 3)) == [["conv", "relu"], ["last"]]
    assert list(held_together(model, ["conv", "relu", "last"], 9)) == [["conv"], ["relu"], ["last"]]


def test_path_similarity_by_loops_leaves_self_pairs_out() -> None:
    g = torch.Generator().manual_seed(0)
    natural = torch.rand(6, 6, generator=g)
    natural = ((natural + natural.T) / 2 + torch.tensor([[0.5] * 3 + [0.0] * 3] * 3 + [[0.0] * 6] * 3)).fill_diagonal_(
        1
    )
    to_natural, own = torch.rand(1, 6, generator=g), torch.tensor([[True] * 3 + [False] * 3])
    same = sum(float(natural[i, j]) for i in range(3) for j in range(3) if i != j) / 6
    other = sum(float(natural[i, j]) for i in range(3) for j in range(3, 6)) / 9
    picture = sum(float(to_natural[0, i]) for i in range(3)) / 3
    assert float(path_similarity(to_natural, natural, own)) == pytest.approx(
        (picture - other) / (same - other), abs=1e-5
    )


def two_classes(seed: int, count: int) -> tuple[Tensor, Tensor]:
    """Noisy pictures of a class with a bright top, and of one with a bright left."""
    g = torch.Generator().manual_seed(seed)
    shown = 0.3 * torch.rand(2 * count, 3, SIDE, SIDE, generator=g)
    shown[:count, :, : SIDE // 2] += 0.6
    shown[count:, :, :, : SIDE // 2] += 0.6
    return shown, torch.arange(2 * count) < count


@pytest.mark.parametrize("layer", ["conv", "last"])
def test_a_held_out_image_of_the_class_scores_one_and_of_another_zero(layer: str) -> None:
    model = made()
    natural, first_class = two_classes(0, 20)
    held, _ = two_classes(1, 30)
    among = similarity_of_paths(model, layer, natural, natural)
    found = path_similarity(
        similarity_of_paths(model, layer, held, natural), among, first_class.expand(len(held), -1).contiguous()
    )
    assert found[:30].mean() == pytest.approx(1, abs=0.1)
    assert found[30:].mean() == pytest.approx(0, abs=0.1)


def test_a_path_that_tells_nothing_apart_has_no_similarity() -> None:
    natural, own = (
        torch.full((6, 6), 0.4),
        torch.tensor([[True, True, False, False, False, False], [True] + [False] * 5]),
    )
    assert path_similarity(torch.rand(2, 6), natural, own).isnan().all()


def test_machine_interpretability_by_hand() -> None:
    plus, minus = torch.tensor([[0.8, 0.6]]), torch.tensor([[0.2]])
    other_plus, other_minus = torch.tensor([[0.3, 0.3]]), torch.tensor([[0.5]])
    found = differences(plus, minus, other_plus, other_minus)
    assert float(found) == pytest.approx((0.7 - 0.2) - (0.3 - 0.5))
    result = machine_interpretability(found)
    assert result.score == pytest.approx(1 / (1 + math.exp(-0.7 / 0.16)))
    assert result.accuracy == 1
    assert pytest.approx(6.25) == DREAMSIM_SCALE
    assert machine_interpretability(torch.tensor([0.0, 0.0])).accuracy == 0.5
    assert machine_interpretability(torch.tensor([-1.0, 1.0])).score == pytest.approx(0.5)


def test_the_scale_of_another_similarity_is_calibrated() -> None:
    values = torch.randn(2000, generator=torch.Generator().manual_seed(0)) * 0.01 + 0.01
    scale = fitted_scale(values)
    result = machine_interpretability(values, scale)
    assert result.score == pytest.approx(result.accuracy, abs=0.01)
    assert 50 < scale < 1e4  # small differences need a large scale
    assert fitted_scale(torch.tensor([0.1, 0.2])) == math.inf
    assert fitted_scale(torch.tensor([-0.1, 0.1])) == 0


def test_ssim_and_features_know_equal_pictures() -> None:
    shown = images(3)
    for likeness in (Ssim(), Features(made(), "last", images(40, 2))):
        found = likeness(shown, shown)
        assert torch.allclose(found.diagonal(), torch.ones(3), atol=1e-5)
        assert (found - torch.eye(3)).amax() < 0.9
        assert likeness.name


def test_features_by_loops_do_not_mind_where_a_thing_lies() -> None:
    model, base = made(), images(20, 5)
    likeness = Features(model, "last", base)

    def mean(one: Tensor) -> Tensor:
        return model.tap(one[None], ["last"])["last"].mean((2, 3))[0]

    centre = torch.stack([mean(one) for one in base]).mean(0)
    a, b = images(2, 6)
    expected = torch.cosine_similarity(mean(a) - centre, mean(b) - centre, dim=0)
    assert float(likeness(a[None], b[None])) == pytest.approx(float(expected), abs=1e-5)
    shifted = a.roll(4, 2)
    assert likeness(a[None], shifted[None]) > Ssim()(a[None], shifted[None])


def test_a_perceptual_likeness_is_taken_only_where_its_weights_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    monkeypatch.delenv("PELLUCID_DREAMSIM", raising=False)
    for make in (DreamSim, Lpips):
        with pytest.raises(
            (MissingExtra, ModelError), match=r"pellucid\[perceptual\]|nothing is downloaded|not downloaded"
        ):
            make()
    assert best_likeness(made()).name == "cosine of last's mean activations in tiny"


def test_lpips_by_the_library_itself_on_a_backbone_of_random_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lpips")
    from torchvision.models import alexnet

    with torch.device("meta"):
        shapes = {name: value.shape for name, value in alexnet(weights=None).state_dict().items()}
    torch.manual_seed(0)
    weights = {  # of the classifier, which is not used, one number for all, so that the file is small
        name: 0.05 * torch.randn(shape) if "features" in name else torch.zeros(1).expand(shape)
        for name, shape in shapes.items()
    }
    (tmp_path / "checkpoints").mkdir()
    torch.save(weights, tmp_path / "checkpoints/alexnet-owt-7be5be79.pth")
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    likeness = best_likeness(made())
    assert likeness.name == "1 - LPIPS (AlexNet)"
    shown = images(3, 2)
    pairs = likeness(shown, shown)
    torch.testing.assert_close(pairs.diagonal(), torch.ones(3))
    torch.testing.assert_close(pairs, pairs.T, atol=1e-5, rtol=0)
    nearly = shown[:1] * 0.95 + 0.05 * shown[1:2]
    assert pairs[0, 1] < likeness(shown[:1], nearly)[0, 0] < 1


def test_seed_agreement_by_loops() -> None:
    shown, likeness = images(3), Ssim()
    pairs = [float(likeness(shown[i : i + 1], shown[j : j + 1])) for i in range(3) for j in range(3) if i != j]
    assert seed_agreement(shown, likeness) == pytest.approx(sum(pairs) / 6, abs=1e-6)
    assert seed_agreement(shown[:1].expand(4, -1, -1, -1), likeness) == pytest.approx(1)
    assert math.isnan(seed_agreement(shown[:1], likeness))


def test_a_reinitialised_network_is_another_with_the_same_layers() -> None:
    model = made()
    with torch.no_grad():
        model._module.norm.running_mean.fill_(5)
    before = torch.get_rng_state()
    other, again = reinitialised(model), reinitialised(model)
    assert torch.equal(torch.get_rng_state(), before)
    assert other.weights_hash == again.weights_hash != model.weights_hash
    assert reinitialised(model, 1).weights_hash != other.weights_hash
    assert list(other.layers) == list(model.layers)
    assert not other._module.norm.running_mean.any()
    assert not torch.allclose(other._module.conv.weight, model._module.conv.weight)


def test_a_reinitialised_network_is_told_apart() -> None:
    """A network that learnt one colour paints it from every seed; its re-initialised self paints something else."""
    conv = nn.Conv2d(3, 1, 3, padding=1)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[0, 0] = 0.2
        conv.weight[0, 1:] = -0.2
    model = pl.Model(nn.Sequential(OrderedDict(conv=conv)), size=SIDE, name="red")
    recipe = {"steps": 24, "image": "pixels", "squash": "clip", "transforms": "none", "color": "none"}
    trained = [pl.render(model, "conv:0", recipe=recipe, seed=seed).images[0] for seed in range(3)]
    untrained = pl.render(reinitialised(model), "conv:0", recipe=recipe).images[0]
    likeness = Ssim()
    assert seed_agreement(torch.stack(trained), likeness) > 0.95
    assert model_randomisation(trained[0], untrained, likeness) < 0.5


def test_weights_without_a_start_of_their_own_are_drawn_alike() -> None:
    class Token(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Parameter(3 + 0.5 * torch.randn(1, 3, SIDE, SIDE))
            self.conv = nn.Conv2d(3, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x + self.token)

    model = pl.Model(Token(), size=SIDE)
    drawn = reinitialised(model)._module.token
    assert not torch.equal(drawn, model._module.token)
    assert float(drawn.mean()) == pytest.approx(3, abs=0.2)
    assert float(drawn.std()) == pytest.approx(0.5, abs=0.1)


def test_transfer_by_hand() -> None:
    """The judge sees the brightest of eight columns."""

    class Columns(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean((1, 2)).unflatten(1, (8, -1)).mean(2)

    judge = pl.Model(Columns(), size=16)
    shown = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.1
    for row, column in enumerate((2, 5, 7)):
        shown[row, :, :, column] = 1
    found = transferability(shown, torch.tensor([2, 5, 0]), judge)
    assert found.top1 == (True, True, False)
    assert found.rates[0] == pytest.approx(2 / 3)
    assert found.top5[:2] == (True, True)


def test_a_fooling_picture_is_flagged_and_an_honest_one_is_not() -> None:
    natural, first_class = two_classes(0, 10)
    examples, others = natural[first_class], natural[~first_class]
    honest, fooling = two_classes(9, 1)[0]
    near, far = (likeness_to_examples(one, examples, others, Ssim()) for one in (honest, fooling))
    assert near > 0 > far
    assert suspicion(99.0, 0.1, far).is_flagged
    assert not suspicion(99.0, 0.1, near).is_flagged
    assert not suspicion(99.0, 0.9, far).is_flagged
    assert not suspicion(50.0, 0.1, far).is_flagged
    assert not suspicion(99.0, math.nan, far).is_flagged
