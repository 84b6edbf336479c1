"""What is seen of the maps of one forward: large ones with the rectifier behind them, a few pictures at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import pellucid as pl
from pellucid.survey.clipping import clip_by_bits, clips_by_bits
from pellucid.survey.looks import Looks
from pellucid.survey.streaming import survey
from pellucid.survey.summary import summarise

PX = 96
PICTURES = 3
CHANNELS = 64  # 7 MB of float32: a map that waits for the rectifier


class Behind(nn.Module):
    """A convolution with something behind it, and a second one that shows what the first handed on."""

    def __init__(self, then: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.first, self.then = nn.Sequential(nn.Conv2d(3, CHANNELS, 3, padding=1)), then
        self.second = nn.Conv2d(CHANNELS, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen: torch.Tensor = self.second(self.then(self.first(x)))
        return seen


def unseen(x: torch.Tensor) -> torch.Tensor:
    """Writes over its input as compiled code does: unseen by any mode."""
    with torch._C.DisableTorchFunction():
        return x.relu_()


@pytest.mark.parametrize(
    "then",
    [
        pytest.param(nn.ReLU(inplace=True), id="module"),
        pytest.param(torch.relu_, id="function"),
        pytest.param(lambda x: F.relu(input=x, inplace=True), id="by name"),
        pytest.param(lambda x: F.hardtanh_(x, 0.0, 0.3), id="bounded"),
        pytest.param(F.relu, id="not in place"),
        pytest.param(lambda x: x.mul_(2), id="no rectifier"),
        pytest.param(lambda x: x.clone().relu_(), id="of another"),
        pytest.param(unseen, id="unseen"),
    ],
)
@pytest.mark.parametrize("is_channels_last", [True, False])
def test_a_large_map_is_seen_as_it_was(then: Callable[[torch.Tensor], torch.Tensor], is_channels_last: bool) -> None:
    torch.manual_seed(0)
    model = pl.Model(Behind(then), size=PX)
    if is_channels_last:
        model = model.at(precision="float32")
    pictures = torch.rand(PICTURES, 3, PX, PX)
    layers = ("first.0", "first", *(["then"] if isinstance(then, nn.Module) else []), "second")
    found = summarise(model, pictures, layers).by_unit()
    at = 0
    for name in layers:
        value = model.tap(pictures, [name])[name]
        own = slice(at, at := at + value.shape[1])
        torch.testing.assert_close(found.means[:, own], value.mean((2, 3)), atol=1e-5, rtol=1e-4)
        before = model.tap(pictures, ["first"])["first"] if name == "then" else value
        torch.testing.assert_close(found.peaks[:, own], before.amax((2, 3)))
        assert torch.equal(found.places[:, own].long(), before.flatten(2).argmax(2))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("is_broken", [False, True], ids=["numbers", "NaN"])
@pytest.mark.parametrize("then", [nn.ReLU(inplace=True), nn.ReLU(), nn.ReLU6(inplace=True)], ids=str)
@pytest.mark.parametrize("px", [PX, 8], ids=["large", "small"])
def test_looks_change_nothing_that_the_network_computes(
    then: nn.Module, precision: Literal["float32", "bfloat16"], is_broken: bool, px: int
) -> None:
    """Not even where a map holds a NaN whose sign is set, which a CPU's own are."""
    torch.manual_seed(0)
    spoil = torch.zeros(1, CHANNELS, 1, 1)
    spoil[:, 3] = -torch.nan if is_broken else 0.0
    model = pl.Model(Behind(lambda x: then(x.add_(spoil.to(x.dtype)))), size=px).at(precision=precision)
    pictures = torch.rand(PICTURES, 3, px, px)
    with torch.no_grad():
        plain = model(pictures)
        assert bool(plain.isnan().any()) == is_broken
        with Looks() as looks:
            assert torch.equal(model(pictures).nan_to_num(7.0), plain.nan_to_num(7.0))
            looks.finish()


def test_clipping_by_bits_is_a_relu() -> None:
    """Of every bfloat16 that there is, but for NaN with the sign set."""
    every = torch.arange(-(2**15), 2**15).to(torch.int16).view(torch.bfloat16)
    every = every[~(every.isnan() & every.signbit())]
    assert len(every) == 2**16 - 127
    assert clips_by_bits(every)
    assert not clips_by_bits(every.half())
    expected = every.clone().relu_()
    for in_place in (False, True):
        source = every.clone()
        clipped = clip_by_bits(source, in_place=in_place)
        assert (clipped is source) == in_place
        assert torch.equal(clipped.nan_to_num(7.0, 9.0), expected.nan_to_num(7.0, 9.0))


def test_of_equal_peaks_the_first_position_counts() -> None:
    """Row by row, whichever kernel looks: flat maps, of which every position is the highest."""
    model = pl.Model(Behind(lambda x: (x * 0).relu_()), size=PX)
    for one in (model, model.at(precision="float32"), model.at(precision="bfloat16")):
        found = summarise(one, torch.rand(PICTURES, 3, PX, PX), ["second"])
        assert found.places.unique().tolist() == [0]


@pytest.mark.parametrize("changes", [lambda x: False, lambda x: bool(x.mean() > 0.5)], ids=["never", "by picture"])
def test_what_layers_share_is_the_same_however_a_network_is_wired(changes: Callable[[torch.Tensor], bool]) -> None:
    """Layers that share a column on one picture, and on the next do not, end with the same numbers."""

    class Wired(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Conv2d(3, 4, 1))
            self.then = nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen = self.inner(x)
            return cast("torch.Tensor", self.then(seen.clone() if changes(x) else seen))

    torch.manual_seed(0)
    pictures = [torch.rand(3, 8, 8) * (0.4 + 0.1 * number) for number in range(12)]
    found = survey(pl.Model(Wired(), size=8), pictures, k=3, batch=1, precision="float32").table
    assert len(found) == 3 * 4
    for unit in range(4):
        rows = [found.row(f"{layer}:{unit}") for layer in ("inner.0", "inner", "then")]
        assert rows[0] is not None
        for facet in ("highest", "lowest", "slightly_positive", "max_histogram", "fires"):
            assert all(row is not None and row[facet] == rows[0][facet] for row in rows)
        means = [row["mean_activation"] for row in rows if row is not None]
        assert means[0] == means[1] < means[2]
