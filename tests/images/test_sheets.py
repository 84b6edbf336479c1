"""Contact sheets: every picture and the whole of every label on the sheet, at any number of pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageFont

from pellucid.errors import ImageError
from pellucid.images.sheets import contact_sheet, grid_shape, picture, show_channels, wrapped

LABELS = [
    "mixed4a:12",
    "-mixed4a/branch3x3.conv:123@4,7",
    "0.7*layer3.1.conv2:3 + layer2:5",
    "Mixed_6a/averylongmodulenamewithoutanybreaks_conv:199",
    "x" * 1000,
    "",
    "two\nlines",
]


@pytest.mark.parametrize("count", [*range(1, 60), 100, 384, 999, 1000])
@pytest.mark.parametrize("aspect", [(1, 1), (2, 1), (1, 2)])
def test_grids_are_full_and_of_a_sheets_shape(count: int, aspect: tuple[int, int]) -> None:
    rows, columns = grid_shape(count, *aspect)
    assert count <= rows * columns < count + columns, "no picture without a place, no empty row"
    if count > 4:
        shape = columns * aspect[1] / (rows * aspect[0])
        assert 0.5 < shape < 4
    if count >= 100:
        assert rows * columns - count <= 0.12 * count
        assert 1 < columns * aspect[1] / (rows * aspect[0]) < 2


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("width_px", [72, 130, 256])
def test_lines_of_a_label_fit_and_keep_its_ends(label: str, width_px: int) -> None:
    font = ImageFont.load_default(13)
    lines = wrapped(label, font, width_px)
    assert len(lines) <= 3
    assert all(font.getbbox(line)[2] <= width_px for line in lines)
    whole, wanted = "".join("".join(lines).split()), "".join(label.split())
    start, mark, end = whole.partition("…")
    assert whole == wanted or (mark and wanted.startswith(start) and wanted.endswith(end))
    if mark:
        assert len(start) > 4
        assert len(end) > 4
        assert len(whole) > 1.5 * width_px / 13, "no shorter than it must be"


@pytest.mark.parametrize("size", [(16, 16), (64, 64), (40, 90)])
@pytest.mark.parametrize("background", ["dark", "light"])
def test_labels_are_drawn_and_never_leave_their_cell(size: tuple[int, int], background: str) -> None:
    images = torch.zeros(7, 3, *size)
    bare = np.asarray(contact_sheet(images, [""] * 7, columns=3, enlarge=1, background=background))  # type: ignore[arg-type]
    paper = bare[0, 0]
    sheet = np.asarray(contact_sheet(images, LABELS, columns=3, enlarge=1, background=background))  # type: ignore[arg-type]
    assert sheet.shape[0] > bare.shape[0] + 20
    cell, margin = (sheet.shape[1] - 12) // 3 - 12, 12
    inked = (sheet != paper).any(2)
    assert inked.any()
    for gutter in range(4):
        left = gutter * (cell + margin)
        assert not inked[:, left : left + margin].any(), "ink between the columns"
    assert not inked[:margin].any()
    assert not inked[-margin:].any()
    contrast = abs(int(sheet[inked].mean(1).max()) - int(paper.mean())) + abs(
        int(sheet[inked].mean(1).min()) - int(paper.mean())
    )
    assert contrast > 150


def test_pictures_are_laid_out_in_reading_order_and_enlarged_sharply() -> None:
    colors = torch.eye(3)[:, :, None, None].expand(3, 3, 2, 2)
    sheet = contact_sheet(colors, columns=2, enlarge=5, resample="nearest")
    assert sheet.size == (2 * 10 + 36, 2 * 10 + 36)
    for place, color in (((12, 12), (255, 0, 0)), ((34, 21), (0, 255, 0)), ((21, 34), (0, 0, 255))):
        assert sheet.getpixel(place) == color
    assert sheet.getpixel((40, 40)) == (24, 24, 27), "the empty place"


def test_small_pictures_are_enlarged_until_the_sheet_is_full() -> None:
    assert contact_sheet(torch.rand(1, 3, 64, 64)).width == 256 + 24
    assert 1400 < contact_sheet(torch.rand(100, 1, 64, 64)).width < 1900
    assert contact_sheet(torch.rand(2, 3, 300, 300)).height == 300 + 24, "large ones stay"


def test_pictures_of_any_size_and_number_of_channels_share_a_sheet() -> None:
    images = [torch.ones(3, 8, 8), torch.ones(1, 4, 12), torch.ones(5, 6, 6), torch.full((3, 2, 2), float("nan"))]
    sheet = np.asarray(contact_sheet(images, list("abcd"), columns=4, enlarge=1, title="four"))
    assert (sheet == 255).all(2).sum() >= 64 + 48 + 5 * 36


def test_sheets_without_sense_are_refused() -> None:
    images = torch.rand(3, 3, 4, 4)
    with pytest.raises(ImageError, match=r"3 pictures need 3 labels, not 1"):
        contact_sheet(images, ["a"])
    with pytest.raises(ImageError, match=r"no pictures"):
        contact_sheet([])
    with pytest.raises(ImageError, match=r"at least 1 column"):
        contact_sheet(images, columns=0)


def test_channels_are_shown() -> None:
    image = torch.rand(5, 4, 6)
    assert torch.equal(show_channels(image, [4, 0, 2]), image[[4, 0, 2]])
    assert torch.equal(show_channels(image, [3]), image[[3, 3, 3]])
    assert torch.equal(show_channels(image[:3]), image[:3])
    grid = show_channels(image)
    rows, columns = grid_shape(5, 4, 6)
    assert grid.shape == (3, rows * 5 - 1, columns * 7 - 1)
    for channel in range(5):
        top, left = channel // columns * 5, channel % columns * 7
        assert torch.equal(grid[:, top : top + 4, left : left + 6], image[channel].expand(3, 4, 6))
    with pytest.raises(ImageError, match=r"choose 1 or 3 of the channels 0 to 4 to show, not \[5\]"):
        show_channels(image, [5])
    with pytest.raises(ImageError, match=r"not \[0, 1\]"):
        show_channels(image, [0, 1])


def test_sheets_are_pictures() -> None:
    assert isinstance(contact_sheet(torch.rand(1, 3, 4, 4)), Image.Image)


def test_what_is_see_through_lies_on_a_checkerboard() -> None:
    image = torch.rand(4, 32, 32)
    image[3] = 0
    image[3, :, 16:] = 1
    for background, darker, lighter in (("dark", 102, 153), ("light", 204, 255)):
        sheet = np.asarray(contact_sheet([image], alpha=True, enlarge=1, background=background))  # type: ignore[arg-type]
        cell = sheet[12:-12, 12:-12].astype(int)
        squares = cell[:, :16].reshape(4, 8, 2, 8, 3)
        assert (
            squares == np.where((np.arange(4)[:, None] + np.arange(2)) % 2, lighter, darker)[:, None, :, None, None]
        ).all()
        opaque = (image[:3, :, 16:].movedim(0, 2) * 255).round().numpy()
        assert np.array_equal(cell[:, 16:], opaque)


def test_half_opaque_is_half_the_checkerboard() -> None:
    image = torch.tensor([1.0, 0, 0, 0.5])[:, None, None].expand(4, 8, 8)
    red = np.asarray(contact_sheet([image], alpha=True, enlarge=1))[12, 12]
    assert red.tolist() == pytest.approx([(255 + 102) / 2, 51, 51], abs=1)


def test_opacity_of_other_than_colour_pictures() -> None:
    opacity = torch.zeros(1, 4, 4)
    opacity[:, :2] = 1
    assert picture(torch.cat([torch.rand(1, 4, 4), opacity]), alpha=True).mode == "LA"
    many = show_channels(torch.cat([torch.rand(5, 4, 4), opacity]), alpha=True)
    side_by_side = show_channels(torch.rand(5, 4, 4))
    assert many.shape == (4, *side_by_side.shape[1:])
    assert many[3, :, 4].eq(1).all(), "the lines between the channels are opaque"
    assert many[3, :4, 5:9].equal(opacity[0])
    assert show_channels(torch.cat([torch.rand(3, 4, 4), opacity]), [1], alpha=True)[3].equal(opacity[0])
    broken = picture(torch.full((4, 2, 2), float("nan")), alpha=True)
    assert broken.getpixel((0, 0)) == (128, 128, 128, 255), "what failed is grey, not invisible"
    with pytest.raises(ImageError, match="a channel of colour and one of alpha at least, not 1"):
        picture(opacity, alpha=True)


def test_sheets_take_finished_pictures_beside_images() -> None:
    clear = Image.new("LA", (4, 4), (255, 0))
    sheet = np.asarray(contact_sheet([torch.zeros(3, 4, 4), clear, Image.new("P", (4, 4))], enlarge=1))
    assert sheet[12, 12 + 4 + 12].tolist() == [102, 102, 102]
