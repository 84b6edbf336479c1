"""Crops are pieces of the picture, at every place; frames are grey or mirrored."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from pellucid.draws import Draws
from pellucid.errors import RecipeError
from pellucid.transforms.crops import Pad, RandomCrop, central


def streams(count: int) -> Draws:
    return Draws.from_keys([f"image {i}" for i in range(count)])


def test_a_crop_is_a_piece_of_the_picture_and_every_place_comes_up() -> None:
    picture = torch.arange(5 * 7.0).view(1, 1, 5, 7)
    pieces = RandomCrop((3, 4))(picture.expand(400, 1, 5, 7), streams(400))
    corners = set()
    for piece in pieces[:, 0]:
        top, left = divmod(int(piece[0, 0]), 7)
        assert torch.equal(piece, picture[0, 0, top : top + 3, left : left + 4])
        corners.add((top, left))
    assert corners == {(top, left) for top in range(3) for left in range(4)}


def test_frames() -> None:
    images = torch.rand(2, 3, 6, 8)
    torch.testing.assert_close(Pad(2, fill=0.25)(images, streams(2)), F.pad(images, [2] * 4, value=0.25))
    assert torch.equal(Pad(2, "reflect")(images, streams(2)), F.pad(images, [2] * 4, mode="reflect"))
    assert Pad(0)(images, streams(2)) is images
    torch.testing.assert_close(central(Pad(2)(images, streams(2)), (6, 8)), images)


def test_impossible_sizes_are_refused() -> None:
    images = torch.rand(1, 3, 8, 10)
    with pytest.raises(RecipeError, match=r"a crop of 9 x 9 px does not fit into a picture of 8 x 10 px. Crop less"):
        RandomCrop(9)(images, streams(1))
    with pytest.raises(RecipeError, match=r"8 x 10 px cannot be reflected over 8 px. Give 7 px or less"):
        Pad(8, "reflect")(images, streams(1))
    with pytest.raises(RecipeError, match=r"is empty"):
        RandomCrop(0)
    with pytest.raises(RecipeError, match=r"pad cannot fill with 'black'. Possible: 'grey', 'reflect'"):
        Pad(8, "black")
