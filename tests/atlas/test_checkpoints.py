"""A training run watched: an atlas a checkpoint, and a training that does not notice."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import pellucid as pl
from atlas_networks import QUICK, SIZE, Tiny
from pellucid.atlas.checkpoints import Checkpoints
from pellucid.atlas.store import Atlas
from pellucid.errors import AtlasError


def trained(url: Path | None) -> torch.Tensor:
    """Three steps of training, watched or not: the weights after them."""
    torch.manual_seed(0)
    net = Tiny()
    net.train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    watch = Checkpoints(url, every=2, layers="one", units="0-1", size=SIZE, **QUICK) if url else None
    for step in range(3):
        optimizer.zero_grad()
        net(torch.rand(2, 3, SIZE, SIZE)).square().mean().backward()
        optimizer.step()
        if watch is not None:
            report = watch(step, net, loss=0.5)
            assert (report is None) == (step == 1)
            assert net.training
            assert not net.one._forward_hooks
    return net.one.weight.detach().clone()


def test_each_checkpoint_is_an_atlas_and_the_training_does_not_notice(tmp_path: Path) -> None:
    assert torch.equal(trained(tmp_path), trained(None))
    assert [folder.name for folder in sorted(tmp_path.iterdir())] == ["step-00000000", "step-00000002"]
    first, last = (Atlas.open(folder) for folder in sorted(tmp_path.iterdir()))
    assert (first.card.about, last.card.about) == ({"step": 0, "loss": 0.5}, {"step": 2, "loss": 0.5})
    assert len(first) == len(last) == 2
    assert first.card.model.hash != last.card.model.hash


def test_steps_between_checkpoints_are_one_or_more() -> None:
    with pytest.raises(AtlasError, match="1 step or more apart, not 0"):
        Checkpoints("x", every=0)


def test_a_source_gives_what_the_atlas_has(tmp_path: Path) -> None:
    from pellucid.ascent.source import RenderingSource

    model = pl.Model(Tiny(), size=SIZE, value_range=(-1.0, 3.0))
    pl.atlas.sweep(model, tmp_path, layers="one", units="0-3", negative=True, **QUICK)
    source = pl.atlas.AtlasSource(Atlas.open(tmp_path), model.weights_hash)
    assert isinstance(source, RenderingSource)
    found = source.portraits(["one:2", "-one:3", "two:0", "one", "nonsense::"])
    assert list(found) == ["one:2", "-one:3"]
    rendered = pl.render(model, ["one:2", "-one:3"], **QUICK)
    for portrait, image in zip(found.values(), rendered.images, strict=True):
        assert portrait.image.shape == (3, SIZE, SIZE)
        torch.testing.assert_close(portrait.image, image, atol=4 / 255, rtol=0)  # 8 bits over a range of 4
    with pytest.raises(AtlasError, match="and not 0123"):
        pl.atlas.AtlasSource(source.atlas, "0123")
