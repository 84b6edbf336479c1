"""Pictures on disk: what people have is read or refused in one clear line; files are written whole or not at all."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pellucid.errors import ImageError
from pellucid.images.files import read, read_metadata, write

RED, GREEN, BLUE, GREY = [1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], [0.5, 0.5, 0.5]


def two(mode: str, *colors: object) -> Image.Image:
    """A picture 2 px wide and 1 px high."""
    picture = Image.new(mode, (2, 1))
    for column, color in enumerate(colors):
        picture.putpixel((column, 0), color)  # type: ignore[arg-type]
    return picture


def saved(folder: Path, picture: Image.Image, name: str = "a.png", **options: object) -> Path:
    picture.save(folder / name, **options)  # type: ignore[arg-type]
    return folder / name


def columns(path: Path, **options: int) -> list[list[float]]:
    """The colours of the first row."""
    rows: list[list[float]] = read(path, **options)[:, 0].T.tolist()
    return rows


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a", "A.PNG"])
def test_what_is_written_without_loss_comes_back(tmp_path: Path, name: str) -> None:
    image = torch.randint(0, 256, (3, 5, 7), generator=torch.Generator().manual_seed(0)) / 255
    write(tmp_path / name, image)
    assert torch.equal(read(tmp_path / name), image)
    assert os.listdir(tmp_path) == [name]


def test_jpeg_comes_back_nearly(tmp_path: Path) -> None:
    image = torch.linspace(0, 1, 64).expand(3, 64, 64)
    write(tmp_path / "a.jpg", image)
    assert (read(tmp_path / "a.jpg") - image).abs().max() < 0.02


def test_values_are_rounded_and_cut_and_what_is_no_number_is_grey(tmp_path: Path) -> None:
    values = torch.tensor([-1.0, 0.0019, 0.002, 0.5, 2.0, float("inf"), float("nan")])
    write(tmp_path / "a.png", values.expand(1, 1, -1))
    levels = (read(tmp_path / "a.png", channels=1)[0, 0] * 255).tolist()
    assert levels == pytest.approx([0, 0, 1, 128, 255, 255, 128])


def test_one_channel_is_grey_and_many_are_shown_side_by_side(tmp_path: Path) -> None:
    write(tmp_path / "one.png", torch.full((1, 4, 4), 0.2))
    with Image.open(tmp_path / "one.png") as file:
        assert file.mode == "L"
    write(tmp_path / "many.png", torch.rand(6, 4, 4))
    assert read(tmp_path / "many.png").shape == (3, 9, 14)


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.jpg"])
def test_metadata_travels_with_the_picture(tmp_path: Path, name: str) -> None:
    texts = {"pellucid": '{"steps": 256}', "target": "mixed4a:12 – Störche"}
    write(tmp_path / name, torch.rand(3, 4, 4), metadata=texts)
    assert read_metadata(tmp_path / name) == texts
    write(tmp_path / name, torch.rand(3, 4, 4))
    assert read_metadata(tmp_path / name) == {}


def test_another_programs_description_is_no_metadata(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "my cat"
    assert read_metadata(saved(tmp_path, two("RGB"), "a.jpg", exif=exif)) == {}


@pytest.mark.parametrize("turn", range(1, 9))
def test_photos_are_turned_upright(tmp_path: Path, turn: int) -> None:
    upright = np.zeros((8, 16, 3), np.uint8)
    upright[:4, :8] = 255  # top left is white
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[turn]
    exif = Image.Exif()
    exif[0x0112] = turn
    image = read(saved(tmp_path, Image.fromarray(np.ascontiguousarray(stored)), exif=exif))
    assert torch.equal(image, torch.from_numpy(upright.copy()).permute(2, 0, 1) / 255)


def test_palettes(tmp_path: Path) -> None:
    picture = two("RGB", (255, 0, 0), (0, 0, 255)).convert("P", palette=Image.Palette.ADAPTIVE)
    assert columns(saved(tmp_path, picture)) == [RED, BLUE]
    assert columns(saved(tmp_path, picture, "a.gif")) == [RED, BLUE]


def test_printers_colours(tmp_path: Path) -> None:
    picture = two("CMYK", (0, 255, 255, 0), (255, 255, 0, 0)).resize((32, 16), Image.Resampling.NEAREST)
    image = read(saved(tmp_path, picture, "a.jpg", quality=95))
    assert image[:, 8, 4].tolist() == pytest.approx(RED, abs=0.02)
    assert image[:, 8, 28].tolist() == pytest.approx(BLUE, abs=0.02)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_keep_their_depth(tmp_path: Path, name: str) -> None:
    values = np.array([[0, 1, 32768, 65535]], np.uint16)
    image = read(saved(tmp_path, Image.fromarray(values), name))
    assert torch.equal(image, torch.tensor([0, 1, 32768, 65535]).div(65535).expand(3, 1, 4))
    assert read(tmp_path / name, channels=1).shape == (1, 1, 4)


def test_floating_point_greys(tmp_path: Path) -> None:
    saved(tmp_path, Image.fromarray(np.array([[0.25, 1.0]], np.float32)), "a.tif")
    assert columns(tmp_path / "a.tif", channels=1) == [[0.25], [1.0]]
    saved(tmp_path, Image.fromarray(np.array([[0.25, 7.0]], np.float32)), "b.tif")
    with pytest.raises(ImageError, match=r"greys outside 0 to 1, so that black and white are unknown"):
        read(tmp_path / "b.tif")


def test_what_is_transparent_lies_on_grey(tmp_path: Path) -> None:
    clear, half = two("RGBA", (255, 0, 0, 255), (0, 255, 0, 0)), two("LA", (255, 51), (0, 255))
    assert columns(saved(tmp_path, clear)) == [RED, GREY]
    assert columns(saved(tmp_path, clear, "a.webp", lossless=True)) == [RED, GREY]
    assert columns(saved(tmp_path, half), channels=1) == [[pytest.approx(0.6)], [0]]
    palette = two("RGB", (255, 0, 0), (0, 0, 255)).convert("P", palette=Image.Palette.ADAPTIVE)
    palette.info["transparency"] = palette.getpixel((1, 0))
    assert columns(saved(tmp_path, palette, "b.png", transparency=palette.getpixel((1, 0)))) == [RED, GREY]
    keyed = two("RGB", (255, 0, 0), (0, 0, 255))
    assert columns(saved(tmp_path, keyed, "c.png", transparency=(0, 0, 255))) == [RED, GREY]


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_of_an_animation_the_first_frame(tmp_path: Path, name: str) -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "lime", "blue")]
    path = saved(tmp_path, frames[0], name, save_all=True, append_images=frames[1:])
    assert columns(path)[0] == pytest.approx(RED, abs=0.02)


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA"])
def test_a_single_pixel(tmp_path: Path, mode: str) -> None:
    path = saved(tmp_path, Image.new(mode, (1, 1), "white"))
    assert torch.equal(read(path), torch.ones(3, 1, 1))
    assert torch.equal(read(path, channels=1), torch.ones(1, 1, 1))


def _cut(folder: Path, name: str, keep: float) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = io.BytesIO()
    Image.fromarray(noise).save(whole, name.rpartition(".")[2].upper().replace("JPG", "JPEG").replace("TIF", "TIFF"))
    (folder / name).write_bytes(whole.getvalue()[: int(len(whole.getvalue()) * keep)])
    return folder / name


@pytest.mark.parametrize("keep", [0.02, 0.5, 0.9])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.gif", "a.bmp", "a.tif"])
def test_a_cut_file_is_named(tmp_path: Path, name: str, keep: float) -> None:
    with pytest.raises(ImageError, match=rf"{name}' is (damaged or cut short|not a picture)"):
        read(_cut(tmp_path, name, keep))


def _huge(folder: Path, width: int, height: int) -> Path:
    """A PNG that claims a size and holds nothing: a reader that decodes first fails in another way."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    signature = b"\x89PNG\r\n\x1a\n"
    path = folder / "huge.png"
    path.write_bytes(signature + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    return path


def _text(folder: Path) -> Path:
    path = folder / "a.jpg"
    path.write_text("this is no photo")
    return path


def _empty(folder: Path) -> Path:
    path = folder / "a.png"
    path.touch()
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_text, r"a\.jpg' is not a picture that can be read \(PNG, JPEG"),
        (_empty, r"a\.png' is not a picture"),
        (lambda folder: folder / "none.png", r"no file '.*none\.png'"),
        (lambda folder: folder, r"is a folder, not a picture"),
        (lambda folder: folder / ("x" * 5000), r"no file"),
        (
            lambda folder: _huge(folder, 8000, 8000),
            r"8000 x 8000 pixels, over the limit of 50,000,000; make it",
        ),
        (lambda folder: _huge(folder, 10_000, 10_000), r"huge\.png' has too many pixels"),
        (lambda folder: _huge(folder, 100_000, 100_000), r"huge\.png' has too many pixels"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        read(make(tmp_path))
    assert "\n" not in str(caught.value)


def test_limits_can_be_set(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.new("RGB", (10, 10)))
    assert read(path, max_pixels=100).shape == (3, 10, 10)
    with pytest.raises(ImageError, match=r"over the limit of 99"):
        read(path, max_pixels=99)
    with pytest.raises(ImageError, match=r"1 or 3 channels, not 4"):
        read(path, channels=4)


def test_what_cannot_be_written_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    image = torch.rand(3, 4, 4)
    (tmp_path / "folder.png").mkdir()
    for path, message in (
        (tmp_path / "absent" / "a.png", r"cannot write '.*absent/a\.png': No such file"),
        (tmp_path / "folder.png", r"cannot write '.*folder\.png': Is a directory"),
        (tmp_path / "a.xyz", r"cannot write '.*a\.xyz': no format '\.xyz'; use \.png, \.webp or \.jpg"),
        (tmp_path / ("x" * 300 + ".png"), r"File name too long"),
    ):
        with pytest.raises(ImageError, match=message):
            write(path, image)
    assert os.listdir(tmp_path) == ["folder.png"]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    write(path, torch.zeros(3, 4, 4))
    before = path.read_bytes()
    with pytest.raises(ImageError, match=r"cannot write '.*a\.jpg'"):
        write(path, torch.zeros(3, 1, 70_000))  # wider than a JPEG may be: the encoder fails halfway
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.jpg"]


def test_written_files_have_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write(tmp_path / "a.png", torch.zeros(3, 4, 4))
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "usual").stat().st_mode


RGBA = torch.randint(0, 256, (4, 5, 7), generator=torch.Generator().manual_seed(1)) / 255


@pytest.mark.parametrize("name", ["a.png", "a.webp"])
def test_opacity_is_kept_and_comes_back_when_asked_for(tmp_path: Path, name: str) -> None:
    clear = RGBA.clone()
    clear[3, :, :3] = 0  # colours below what is see-through are kept too
    write(tmp_path / name, clear, alpha=True)
    assert torch.equal(read(tmp_path / name, alpha=True), clear)
    on_grey = clear[:3] * clear[3] + 0.5 * (1 - clear[3])
    assert torch.allclose(read(tmp_path / name), on_grey, atol=1e-6)
    write(tmp_path / name, clear[:3])
    assert torch.equal(read(tmp_path / name, alpha=True)[3], torch.ones(5, 7)), "what has no opacity is opaque"


def test_a_jpeg_lies_on_grey(tmp_path: Path) -> None:
    image = torch.ones(4, 16, 16)
    image[3, :, :8] = 0
    for name, channels in (("color.jpg", [0, 1, 2, 3]), ("grey.jpg", [0, 3])):
        write(tmp_path / name, image[channels], alpha=True)
        shown = read(tmp_path / name)
        assert (shown[:, 4, 2] - 0.5).abs().max() < 0.02
        assert shown[:, 4, 13].min() > 0.98


def test_grey_has_opacity_too(tmp_path: Path) -> None:
    write(tmp_path / "a.png", RGBA[2:], alpha=True)
    with Image.open(tmp_path / "a.png") as file:
        assert file.mode == "LA"
    assert torch.equal(read(tmp_path / "a.png", channels=1, alpha=True), RGBA[2:])
    saved(tmp_path, Image.fromarray(np.array([[0, 65535]], np.uint16)), "b.png")
    assert read(tmp_path / "b.png", channels=1, alpha=True).tolist() == [[[0, 1]], [[1, 1]]]


def test_four_channels_are_four_channels_unless_one_is_said_to_be_opacity(tmp_path: Path) -> None:
    write(tmp_path / "a.png", RGBA)
    assert read(tmp_path / "a.png").shape == (3, 5, 4 * 8 - 1)
