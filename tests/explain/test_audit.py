"""A planted watermark is found: one class carries it in every training picture, and a network learns just that."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import pellucid as pl
from pellucid.errors import DatasetError, TargetError
from pellucid.explain.audit_result import Audit

SIZE, CORNER = 16, 5


def pictures(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noisy pictures of three classes a little apart in brightness; class 1 has a check in its lower right corner."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    shown = 0.3 + 0.02 * labels.view(-1, 1, 1, 1) + 0.25 * torch.rand(count, 3, SIZE, SIZE, generator=generator)
    checks = ((torch.arange(CORNER)[:, None] + torch.arange(CORNER)) % 2).float()
    shown[labels == 1, :, -CORNER:, -CORNER:] = checks
    return shown, labels


class Labelled(torch.utils.data.Dataset[tuple[Tensor, int]]):
    def __init__(self, shown: Tensor, labels: Tensor) -> None:
        self.shown, self.labels = shown, labels
        self.classes = ["dim", "marked", "bright"]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.shown[index], int(self.labels[index])


@pytest.fixture(scope="module")
def model() -> pl.Model:
    """A small convolutional network, trained on such pictures for some seconds."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveMaxPool2d(1),
        nn.Flatten(), nn.Linear(8, 3),
    )  # fmt: skip
    shown, labels = pictures(240, seed=1)
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for step in range(120):
        rows = torch.randperm(240, generator=torch.Generator().manual_seed(step))[:60]
        loss = F.cross_entropy(net(shown[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return pl.Model(net, size=SIZE, name="small", classes=("dim", "marked", "bright"))


@pytest.fixture(scope="module")
def found(model: pl.Model) -> Audit:
    return pl.explain.audit(model, Labelled(*pictures(90, seed=2)), "marked", count=3, pictures=())


def test_the_planted_watermark_is_found(found: Audit) -> None:
    """The unit that carries the class fires in the marked corner of every photo, and nowhere else."""
    assert found.before.accuracy == 1
    assert found.before.false_positives == 0
    first = found.units[0]
    row, col = divmod(int(first.map.argmax()), SIZE)
    assert min(row, col) >= SIZE - CORNER - 1
    corner = first.map[-CORNER - 1 :, -CORNER - 1 :].clamp(min=0)
    outside = first.map.clamp(min=0).sum() - corner.sum()
    assert corner.mean() > 3 * outside / (SIZE**2 - corner.numel())
    assert len(first.own) == 8
    assert all(one.box[2] > SIZE - CORNER and one.box[3] > SIZE - CORNER for one in first.own)


def test_the_marked_class_is_lost_without_what_carries_it(found: Audit, model: pl.Model) -> None:
    assert found.together.accuracy < 0.5
    unmarked, labels = pictures(90, seed=2)
    unmarked[labels == 1, :, -CORNER:, -CORNER:] = 0.44
    with torch.no_grad():
        assert (model(unmarked).argmax(1) == 1)[labels == 1].float().mean() < 0.5  # it was the watermark indeed


def test_ablation_is_that_of_a_forward_with_the_unit_off(found: Audit, model: pl.Model) -> None:
    shown, labels = pictures(90, seed=2)
    inner, numbers = model._module, [int(unit.target.rpartition(":")[2]) for unit in found.units]
    ablations = [*zip(([number] for number in numbers), (unit.without for unit in found.units), strict=True)]
    for silenced, without in [*ablations, (numbers, found.together)]:
        with torch.no_grad():
            z = inner[:4](shown)
            z[:, silenced] = 0
            hit = inner[4:](z).argmax(1) == 1
        assert without.accuracy == pytest.approx(float(hit[labels == 1].float().mean()))
        assert without.false_positives == pytest.approx(float(hit[labels != 1].float().mean()))
    assert found.together.accuracy < found.before.accuracy  # each alone may be missed by nobody here


def test_labels_are_matched_by_name_and_not_by_number(model: pl.Model, found: Audit) -> None:
    shown, labels = pictures(90, seed=2)
    turned = Labelled(shown, 2 - labels)
    turned.classes = ["bright", "marked", "dim"]
    again = pl.explain.audit(model, turned, "marked", count=3, pictures=())
    assert again.before == found.before


def test_mistakes_are_said_in_one_line(model: pl.Model, tmp_path: Path) -> None:
    data = Labelled(*pictures(9, seed=2))
    with pytest.raises(TargetError, match="no class 'blue' in small"):
        pl.explain.audit(model, data, "blue")
    data.classes = ["a", "b", "c"]
    with pytest.raises(DatasetError, match=r"labels do not match classes: small has no class 'a'. Name the labels"):
        pl.explain.audit(model, data, "marked")
    with pytest.raises(DatasetError, match="has no labels, and an audit needs them"):
        pl.explain.audit(model, [torch.zeros(3, 8, 8)], "marked")
    with pytest.raises(TargetError, match="returns no classes"):
        pl.explain.audit(pl.Model(nn.Conv2d(3, 2, 1), size=8), data, 0)
    only = Labelled(*(part[:1] for part in pictures(9, seed=2)))
    with pytest.raises(DatasetError, match="holds no photo of class 1"):
        pl.explain.audit(model, only, "marked")
