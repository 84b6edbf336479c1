"""Laws of tiles: every pixel is covered, all shares add up to one, and a network sees the sizes it can run on."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.ascent.tiles import MARGIN_PX, Tiles, find_tiles


@pytest.mark.parametrize("size", [(40, 61), (64, 64), (33, 200), (130, 97)])
@pytest.mark.parametrize("tile", [(16, 16), (40, 24), (33, 64)])
@pytest.mark.parametrize("margin", [0, 5, 31])
def test_tiles_cover_every_pixel_once_in_all(size: tuple[int, int], tile: tuple[int, int], margin: int) -> None:
    tile = (min(tile[0], size[0] + margin), min(tile[1], size[1] + margin))
    tiles = Tiles(size, tile, margin)
    frame = torch.rand(2, size[0] + margin, size[1] + margin, generator=torch.Generator().manual_seed(0)) + 0.1
    covered, together = torch.zeros_like(frame), torch.zeros_like(frame)
    for place in tiles.places:
        cut = tiles.cut(frame, [place])
        assert cut.shape == (1, 2, *tile)
        covered[:, place[0] : place[0] + tile[0], place[1] : place[1] + tile[1]] += 1
        tiles.add(together, cut, [place])
    assert covered.min() >= 1
    torch.testing.assert_close(together, frame)


def test_as_few_tiles_as_cover_a_picture() -> None:
    assert len(Tiles((64, 64), (32, 32), 0)) == 4
    assert len(Tiles((64, 65), (32, 32), 0)) == 6
    assert Tiles((10, 10), (4, 10), 0).places == ((0, 0), (3, 0), (6, 0))


def test_a_picture_comes_out_of_its_frame_as_it_went_in() -> None:
    picture = torch.rand(3, 20, 31, generator=torch.Generator().manual_seed(0))
    tiles = Tiles((20, 31), (16, 16), 9)
    for shift in [(0, 0), (9, 9), (4, 7)]:
        frame = tiles.framed(picture, shift)
        assert frame.shape == (3, 29, 40)
        assert torch.equal(tiles.unframed(frame, shift), picture)
    # What is around it is the picture mirrored, so that its edge is no edge.
    assert torch.equal(tiles.framed(picture, (4, 0))[:, 3, :31], picture[:, 1])


class FixedSize(nn.Module):
    """Takes 48 x 48 px only, as a vision transformer takes its own size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 8, 8)
        self.fc = nn.Linear(4 * 36, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(x).flatten(1))


def test_a_network_of_one_size_sees_tiles_of_that_size_only() -> None:
    model = pl.Model(FixedSize(), size=48)
    for size in [(48, 48), (60, 300), (200, 170), (40, 40)]:
        tiles = find_tiles(model, size, None)
        assert tiles is not None
        assert tiles.tile == (48, 48)
    assert find_tiles(model, (12, 12), None) is None  # not even with its frame


def test_tiles_of_any_network_are_bounded_and_cover_the_frame_without_much_overlap() -> None:
    model = pl.Model(nn.Sequential(nn.Conv2d(3, 2, 3)), size=32)
    for size in [(1500, 2000), (90, 70), (300, 301), (64, 4000)]:
        tiles = find_tiles(model, size, None)
        assert tiles is not None
        assert max(tiles.tile) <= 256
        frame = (size[0] + tiles.margin) * (size[1] + tiles.margin)
        assert len(tiles) * tiles.tile[0] * tiles.tile[1] < 1.5 * frame
        assert tiles.margin == min(MARGIN_PX, min(size) - 1)
