"""Laws of MACO's boxes: what is cut, how large, where, and that it fuses with the other moves."""

from __future__ import annotations

import torch

from pellucid.draws import Draws
from pellucid.transforms.affine import Rotate, Scale
from pellucid.transforms.boxes import Box
from pellucid.transforms.compose import FusedWarp, compose
from pellucid.transforms.crops import Pad

MANY = Draws.from_keys([str(i) for i in range(4000)])


def ramp(height: int, width: int) -> torch.Tensor:
    """Two channels that hold each pixel's row and column, as shares of the picture."""
    rows = ((torch.arange(height) + 0.5) / height)[:, None].expand(height, width)
    cols = ((torch.arange(width) + 0.5) / width)[None].expand(height, width)
    return torch.stack([rows, cols])[None]


def test_a_box_shows_the_middle_share_of_both_sides() -> None:
    seen = Box(0.5, 0, 0)(ramp(32, 64), Draws.from_keys(["a"]))[0]
    assert seen.shape == (2, 32, 64)
    assert torch.allclose(seen[0, :, 5], 0.25 + (torch.arange(32) + 0.5) / 64, atol=1e-6)
    assert torch.allclose(seen[1, 7], 0.25 + (torch.arange(64) + 0.5) / 128, atol=1e-6)


def test_a_box_is_enlarged_to_the_size_asked_for() -> None:
    seen = Box(0.5, 0, 0, px=8)(ramp(32, 64), Draws.from_keys(["a"]))[0]
    assert seen.shape == (2, 8, 8)
    shares = 0.25 + (torch.arange(8) + 0.5) / 16
    assert torch.allclose(seen[0], shares[:, None].expand(8, 8), atol=1e-6)
    assert torch.allclose(seen[1], shares.expand(8, 8), atol=1e-6)


def test_sizes_and_centres_are_normal_and_sizes_are_kept_in_bounds() -> None:
    sources = Box(0.4, 0.1, 0.15).sources(MANY, (100, 200))
    share, centre = sources[:, 0, 0], sources[:, 0, 2] / 200
    assert torch.equal(share, sources[:, 1, 1])  # one box of the picture's own shape
    # Standard errors over 4,000 draws: 0.0016, 0.0011, 0.0024, 0.0017; four of them.
    assert abs(share.mean() - 0.4) < 0.0064
    assert abs(share.std() - 0.1) < 0.0045
    assert abs(centre.mean()) < 0.0095
    assert abs(centre.std() - 0.15) < 0.0067
    assert abs(torch.corrcoef(torch.stack([share, centre]))[0, 1]) < 0.064
    wild = Box(0.5, 1.0).sources(MANY, (10, 10))[:, 0, 0]
    assert wild.min() == torch.tensor(0.05)
    assert wild.max() == 1


def test_a_box_fuses_with_its_neighbours() -> None:
    box = Box(0.5, 0.1, 0.1)
    pipeline = compose([Pad(2), Rotate(9), box, Scale(1.1)])
    assert [type(stage) for _, stage in pipeline.stages] == [FusedWarp]
    smooth = ramp(33, 41).sin()
    draws = Draws.from_keys(["a"])
    apart = Scale(1.1)(box(Rotate(9)(smooth, draws.child("1")), draws.child("2")), draws.child("3"))
    fused = pipeline(smooth, draws)
    middle = (slice(None), slice(None), slice(10, 23), slice(12, 29))  # away from what each warp blurs at the rim
    assert torch.allclose(fused[middle], apart[middle], atol=2e-3)
    assert compose([Rotate(9), Box(0.5, px=16)])(smooth, draws).shape == (1, 2, 16, 16)
    assert compose([Pad(4), Box(0.5, px=16), Rotate(3), Pad(2)])(smooth, draws).shape[2:] == (16, 16)
