"""Many pictures on one sheet, each with its label; and pictures that are not RGB made visible."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from pellucid.errors import ImageError

__all__ = ["contact_sheet", "grid_shape", "over_checks", "picture", "show_channels"]

# Colours of sheet and text. Dark is not black and light is not white, so that the edges of pictures stay visible.
_COLORS = {"dark": ((24, 24, 27), (212, 212, 216)), "light": ((250, 250, 250), (39, 39, 42))}
# Behind what is see-through: two greys between which no picture disappears.
_CHECKS = {"dark": (102, 153), "light": (204, 255)}
_CHECK_PX = 8
_MARGIN_PX = 12
_GAP_PX = 4  # between a picture and its label
_LABEL_PX = 72
_MAX_LINES = 3
# A sheet is about this wide before small pictures are no longer enlarged, and no picture is enlarged beyond 256 px.
_SHEET_PX, _LARGEST_PX = 1600, 256

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def picture(image: Float[Tensor, "c h w"], *, alpha: bool = False) -> Image.Image:
    """An image as an 8-bit picture: values cut to [0, 1]; grey for 1 channel, `show_channels` for other than 3.

    With `alpha` the last channel is opacity, and the picture has it too (modes LA and RGBA). What is not a number
    becomes opaque mid-grey, so that one failed image does not cost the others their sheet.

    Raises:
        ImageError: alpha and no colour.
    """
    if len(image) - alpha not in (1, 3):
        image = show_channels(image, alpha=alpha)
    missing = image.new_full((len(image), 1, 1), 0.5)
    missing[len(image) - alpha :] = 1
    values = torch.where(image.isnan(), missing, image).detach().float().clamp(0, 1)
    array = (values * 255).round().to(torch.uint8).movedim(0, -1).cpu().numpy()
    return Image.fromarray(array[..., 0] if len(image) == 1 else array)


def show_channels(
    image: Float[Tensor, "c h w"], channels: Sequence[int] | None = None, *, alpha: bool = False
) -> Float[Tensor, "_ h2 w2"]:
    """Make an image of any number of channels visible as RGB [3, h2, w2], with `alpha` as RGBA [4, h2, w2].

    One channel is shown as grey and three as they are; of others, three chosen `channels` become red, green and blue,
    one chosen becomes grey, and with none chosen all are shown as greys side by side, row by row, with a mid-grey line
    between them (then the result is larger than the image). With `alpha` the last channel is the opacity of the others.

    Raises:
        ImageError: a channel does not exist, or other than 1 or 3 are chosen, or alpha and no colour.
    """
    if alpha and len(image) < 2:
        raise ImageError(f"an image with alpha has a channel of colour and one of alpha at least, not {len(image)}")
    color, opacity = (image[:-1], image[-1]) if alpha else (image, None)
    if channels is not None:
        if len(channels) not in (1, 3) or not all(0 <= channel < len(color) for channel in channels):
            raise ImageError(f"choose 1 or 3 of the channels 0 to {len(color) - 1} to show, not {list(channels)}")
        color = color[list(channels)]
    if len(color) not in (1, 3):
        opacity = None if opacity is None else _side_by_side(opacity.expand(len(color), -1, -1), line=1.0)
        color = _side_by_side(color, line=0.5)[None]
    shown = color.expand(3, -1, -1)
    return shown if opacity is None else torch.cat([shown, opacity[None]])


def _side_by_side(image: Float[Tensor, "c h w"], *, line: float) -> Float[Tensor, "h2 w2"]:
    """All channels on one map, row by row, with a line of this value between them."""
    count, height, width = image.shape
    rows, columns = grid_shape(count, height, width)
    sheet = image.new_full((rows * (height + 1) - 1, columns * (width + 1) - 1), line)
    for index in range(count):
        top, left = index // columns * (height + 1), index % columns * (width + 1)
        sheet[top : top + height, left : left + width] = image[index]
    return sheet


def over_checks(shown: Image.Image, background: Literal["dark", "light"] = "dark") -> Image.Image:
    """A picture with transparency laid over a checkerboard, the sign of what is see-through; any other as it is."""
    if "A" not in shown.getbands():
        return shown
    squares = np.indices((shown.height, shown.width)) // _CHECK_PX
    checks = Image.fromarray(np.array(_CHECKS[background], dtype=np.uint8)[squares.sum(0) % 2]).convert("RGB")
    checks.paste(shown.convert("RGBA"), mask=shown.getchannel("A"))
    return checks


def contact_sheet(
    images: Float[Tensor, "b c h w"] | Sequence[Float[Tensor, "_ _ _"] | Image.Image],
    labels: Sequence[str] | None = None,
    *,
    alpha: bool = False,
    columns: int | None = None,
    enlarge: int | None = None,
    resample: Literal["nearest", "bicubic"] = "bicubic",
    background: Literal["dark", "light"] = "dark",
    title: str = "",
) -> Image.Image:
    """Lay pictures out on one sheet, in reading order, each with its label below it.

    Pictures may differ in size; each lies in the middle of its cell. Small ones are enlarged by the whole number
    `enlarge` (chosen so that the sheet is about 1600 px wide), with sharp pixels ("nearest") or smoothly. Labels are
    broken into lines at their signs and, where that is not enough, shortened in the middle; they never overlap. With
    `alpha` the last channel of an image is its opacity; what is see-through lies on a checkerboard.

    Raises:
        ImageError: there are no pictures, or not one label for each, or `columns` or `enlarge` is below 1.
    """
    shown = [image if isinstance(image, Image.Image) else picture(image, alpha=alpha) for image in images]
    if not shown:
        raise ImageError("no pictures for a contact sheet; give at least one")
    if labels is not None and len(labels) != len(shown):
        raise ImageError(f"{len(shown)} pictures need {len(shown)} labels, not {len(labels)}")
    if (columns is not None and columns < 1) or (enlarge is not None and enlarge < 1):
        raise ImageError("a contact sheet needs at least 1 column and an enlargement of at least 1")
    if columns is None:
        columns = grid_shape(len(shown), shown[0].height, shown[0].width)[1]
    if enlarge is None:
        largest = max(max(one.size) for one in shown)
        enlarge = max(1, min(_SHEET_PX // columns, _LARGEST_PX) // largest)
    method = Image.Resampling.NEAREST if resample == "nearest" else Image.Resampling.BICUBIC
    large = [over_checks(one.resize((one.width * enlarge, one.height * enlarge), method), background) for one in shown]
    # Tiny pictures get wider cells when they have labels: a label needs room for some letters.
    cell_px = max(*(one.width for one in large), _LABEL_PX if labels is not None else 1)
    text = _Text(ImageFont.load_default(max(11, min(15, cell_px // 12))), _COLORS[background])
    rows = [
        _row(large[start : start + columns], labels[start : start + columns] if labels else (), cell_px, text)
        for start in range(0, len(large), columns)
    ]
    width = columns * (cell_px + _MARGIN_PX) - _MARGIN_PX
    if title:
        rows.insert(0, text.block(title, width, centred=False))
    sheet = Image.new(
        "RGB", (width + 2 * _MARGIN_PX, sum(row.height + _MARGIN_PX for row in rows) + _MARGIN_PX), text.colors[0]
    )
    top = _MARGIN_PX
    for row in rows:
        sheet.paste(row, (_MARGIN_PX, top))
        top += row.height + _MARGIN_PX
    return sheet


def _row(pictures: Sequence[Image.Image], labels: Sequence[str], cell_px: int, text: _Text) -> Image.Image:
    """One row of a sheet: pictures in the middle of their cells, labels in lines of their own below."""
    blocks = [text.block(label, cell_px) for label in labels]
    height = max(one.height for one in pictures)
    width = len(pictures) * (cell_px + _MARGIN_PX) - _MARGIN_PX
    row = Image.new("RGB", (width, height + max((block.height for block in blocks), default=0)), text.colors[0])
    for index, one in enumerate(pictures):
        left = index * (cell_px + _MARGIN_PX)
        row.paste(one, (left + (cell_px - one.width) // 2, (height - one.height) // 2))
        if blocks:
            row.paste(blocks[index], (left, height))
    return row


@dataclass(frozen=True)
class _Text:
    """How labels are written: `colors` are those of paper and ink."""

    font: _Font
    colors: tuple[tuple[int, int, int], tuple[int, int, int]]

    def block(self, label: str, width_px: int, *, centred: bool = True) -> Image.Image:
        """A label as a picture of this width, as high as its lines need."""
        lines = wrapped(label, self.font, width_px)
        line_px = sum(self.font.getmetrics()) if isinstance(self.font, ImageFont.FreeTypeFont) else 11
        block = Image.new("RGB", (width_px, _GAP_PX + len(lines) * line_px if lines else 1), self.colors[0])
        draw = ImageDraw.Draw(block)
        for number, line in enumerate(lines):
            left = (width_px - math.ceil(_width(line, self.font))) // 2 if centred else 0
            draw.text((left, _GAP_PX + number * line_px), line, fill=self.colors[1], font=self.font)
        return block


def grid_shape(count: int, height: int = 1, width: int = 1) -> tuple[int, int]:
    """Rows and columns for `count` pictures of one size: a sheet a little wider than high, its last row rather full."""
    if count <= 4 and width <= 2 * height:
        return 1, count

    def cost(columns: int) -> float:
        rows = math.ceil(count / columns)
        # 1.4 is about the shape of a screen's window. An empty place costs as much as a shape off by as many per cent.
        return abs(math.log(columns * width / (rows * height) / 1.4)) + (rows * columns - count) / (rows * columns)

    columns = min(range(1, count + 1), key=cost)
    return math.ceil(count / columns), columns


def wrapped(text: str, font: _Font, width_px: int) -> list[str]:
    """A label as at most three lines that fit `width_px`: broken after signs, shortened in the middle if need be."""
    text = " ".join(text.split())
    if not text:
        return []
    # No letter is narrower than 2 px, so this much is more than fits: a label of a million letters costs nothing.
    limit = min(len(text), _MAX_LINES * width_px // 2)
    lines = _broken(text, font, width_px) if limit == len(text) else []
    if 0 < len(lines) <= _MAX_LINES:
        return lines
    # The ends of a label tell most: the layer at its start, the channel at its end. Bisected: the most that fits.
    keep, too_many = 0, limit + 1
    while too_many - keep > 1:
        middle = (keep + too_many) // 2
        if len(_broken(_shortened(text, middle), font, width_px)) <= _MAX_LINES:
            keep = middle
        else:
            too_many = middle
    return _broken(_shortened(text, keep), font, width_px)


def _shortened(text: str, keep: int) -> str:
    """The first and the last letters, `keep` in all."""
    return f"{text[: math.ceil(keep / 2)]}…{text[len(text) - keep // 2 :]}"


def _width(line: str, font: _Font) -> float:
    """How far to the right a line reaches: some letters lean out of their own width."""
    return max(font.getlength(line), float(font.getbbox(line)[2]))


def _broken(text: str, font: _Font, width_px: int) -> list[str]:
    """Greedy lines of whole pieces; a piece wider than a line is cut wherever it must be."""
    lines = [""]
    for piece in re.findall(r"[^\s/:._+@,-]*[\s/:._+@,-]?", text):
        if _width((lines[-1] + piece).rstrip(), font) > width_px and lines[-1]:
            lines.append("")
        if _width((lines[-1] + piece).rstrip(), font) <= width_px:
            lines[-1] += piece
            continue
        for letter in piece:
            if lines[-1] and _width((lines[-1] + letter).rstrip(), font) > width_px:
                lines.append("")
            lines[-1] += letter
    return [line.strip() for line in lines if line.strip()]
