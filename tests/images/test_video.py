"""Videos: the frames that were meant, at the size and pace that were meant, in files that any player reads."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from pellucid.errors import ImageError, MissingExtra
from pellucid.images.sheets import contact_sheet
from pellucid.images.video import film, write_video

RED, GREEN, BLUE, WHITE = "red", "lime", "blue", "white"
KINDS = ["mp4", "gif", "webp"]
# Of 255. H.264 and WebP halve colours and lose detail; on flat colours that is next to nothing.
NEAR = 4


class Read(NamedTuple):
    """What a player sees: frames as RGB, and for how many seconds each."""

    frames: list[NDArray[np.float64]]
    seconds: list[float]


def read(path: Path) -> Read:
    if path.suffix == ".mp4":
        av = pytest.importorskip("av")
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            frames = [
                frame.to_ndarray(format="rgb24", src_colorspace="ITU709").astype(float)
                for frame in container.decode(stream)
            ]
            return Read(frames, [float(1 / stream.average_rate)] * len(frames))
    with Image.open(path) as file:
        found = Read([], [])
        for frame in ImageSequence.Iterator(file):
            found.frames.append(np.asarray(frame.convert("RGB")).astype(float))
            found.seconds.append(frame.info["duration"] / 1000)
        assert len(found.frames) == 1 or file.info["loop"] == 0, "played again and again"
        return found


def flat(*colors: str, size: tuple[int, int] = (32, 32)) -> list[Image.Image]:
    return [Image.new("RGB", size, color) for color in colors]


def is_near(frame: NDArray[np.float64], color: str) -> bool:
    return bool((abs(frame - Image.new("RGB", (1, 1), color).getpixel((0, 0))) <= NEAR).all())


def colors(frames: Sequence[NDArray[np.float64]]) -> list[str | None]:
    return [next((color for color in (RED, GREEN, BLUE, WHITE) if is_near(frame, color)), None) for frame in frames]


@pytest.mark.parametrize("kind", KINDS)
def test_frames_come_back_in_order_with_their_colours_and_the_last_is_held(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    write_video(path, flat(RED, GREEN, BLUE), fps=10)
    found = read(path)
    if kind == "mp4":
        assert colors(found.frames) == [RED, GREEN, BLUE] + [BLUE] * 15
        assert found.seconds[0] == pytest.approx(0.1)
    else:
        assert colors(found.frames) == [RED, GREEN, BLUE]
        assert found.seconds == [0.1, 0.1, 1.5]
    assert os.listdir(tmp_path) == [path.name], "whole, and nothing beside it"


@pytest.mark.parametrize("kind", KINDS)
def test_one_frame_is_a_video_too(tmp_path: Path, kind: str) -> None:
    write_video(tmp_path / f"a.{kind}", flat(GREEN), fps=2)
    assert set(colors(read(tmp_path / f"a.{kind}").frames)) == {GREEN}


def test_an_mp4_plays_in_a_browser_before_it_is_loaded(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    write_video(tmp_path / "a.mp4", flat(RED, BLUE, size=(33, 31)), fps=12.5)
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "the index comes first"
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        codec = stream.codec_context
        assert (codec.name, codec.pix_fmt, codec.colorspace, codec.color_range) == ("h264", "yuv420p", 1, 1)
        assert (codec.width, codec.height) == (34, 32), "odd sides get a pixel more"
        assert float(stream.average_rate) == 12.5
    assert colors([read(tmp_path / "a.mp4").frames[0]]) == [RED], "also the pixel more"


def test_a_gif_of_soft_colours_has_no_bands(tmp_path: Path) -> None:
    ramp = np.linspace(60, 190, 256)
    soft = np.stack([ramp[None] + 0 * ramp[:, None], ramp[:, None] + 0 * ramp[None], np.full((256, 256), 90)], 2)
    write_video(tmp_path / "a.gif", [Image.fromarray(soft.round().astype(np.uint8))])
    (frame,) = read(tmp_path / "a.gif").frames
    blocks = (frame - soft).reshape(16, 16, 16, 16, 3).mean((1, 3))
    assert abs(blocks).mean() < 0.5, "in the mean over 16 x 16 px, dithered colours are right"


@pytest.mark.parametrize(("given", "size", "shown"), [((40, 30), 20, (20, 15)), ((40, 30), None, (40, 30))])
def test_frames_have_the_size_asked_for(
    tmp_path: Path, given: tuple[int, int], size: int | None, shown: tuple[int, int]
) -> None:
    write_video(tmp_path / "a.webp", flat(RED, size=given), size=size)
    with Image.open(tmp_path / "a.webp") as file:
        assert file.size == shown


def test_frames_too_large_for_players_are_made_smaller(tmp_path: Path) -> None:
    for kind, most in (("gif", 640), ("webp", 1280), ("mp4", 1920)):
        write_video(tmp_path / f"a.{kind}", flat(RED, size=(3840, 384)))
        assert read(tmp_path / f"a.{kind}").frames[0].shape == (most // 10, most, 3)


def test_a_film_has_a_frame_for_every_step_and_holds_what_has_ended() -> None:
    red, green, blue, white = flat(RED, GREEN, BLUE, WHITE)
    long, short = {0: red, 4: green, 9: blue}, {0: white, 2: red}
    frames = list(film([long, short], ["long", "short"]))
    expected = [(red, white, 0), (red, red, 2), (green, red, 4), (blue, red, 9)]
    assert len(frames) == 4
    for frame, (first, second, step) in zip(frames, expected, strict=True):
        sheet = contact_sheet([first, second], ["long", "short"], title=f"step {step}")
        assert np.array_equal(np.asarray(frame), np.asarray(sheet))


def test_a_small_picture_alone_is_enlarged_by_a_whole_number() -> None:
    for side, shown in ((64, 256), (100, 300), (256, 256), (300, 300)):
        (frame,) = film([{0: Image.new("RGB", (side, side // 2))}], ["a"])
        assert frame.size == (shown, shown // 2)


def test_a_picture_that_grew_is_shown_at_its_last_size() -> None:
    small, large = flat(RED, size=(16, 16)) + flat(RED, size=(64, 64))
    assert [frame.size for frame in film([{0: small, 5: large}], ["a"])] == [(256, 256)] * 2


def test_what_is_see_through_lies_on_a_checkerboard_in_every_frame() -> None:
    clear = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    solid = Image.new("RGBA", (64, 64), (255, 0, 0, 255))
    first, last = (np.asarray(frame) for frame in film([{0: clear, 1: solid}], ["a"]))
    assert set(np.unique(first)) == {102, 153}
    assert (last == [255, 0, 0]).all()


def test_a_video_that_fails_leaves_no_file(tmp_path: Path) -> None:
    def broken() -> object:
        yield from flat(RED, GREEN)
        raise RuntimeError("no more")

    for kind in KINDS:
        with pytest.raises(RuntimeError, match="no more"):
            write_video(tmp_path / f"a.{kind}", broken())  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == []


def test_mistakes_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    red = flat(RED)
    with pytest.raises(ImageError, match=r"a.avi': no video format '.avi'. Use .mp4, .gif or .webp"):
        write_video(tmp_path / "a.avi", red)
    with pytest.raises(ImageError, match=r"no video format '.mp3'. Did you mean '.mp4'"):
        write_video(tmp_path / "a.mp3", red)
    with pytest.raises(ImageError, match=r"fps is the number of frames a second, above 0 and up to 50, not 0"):
        write_video(tmp_path / "a.gif", red, fps=0)
    with pytest.raises(ImageError, match=r"at least 2, not 1"):
        write_video(tmp_path / "a.gif", red, size=1)
    with pytest.raises(ImageError, match=r"at least one frame"):
        write_video(tmp_path / "a.gif", [])
    with pytest.raises(ImageError, match=r"cannot write '.*no/a.mp4': No such file"):
        write_video(tmp_path / "no/a.mp4", red)
    with pytest.raises(ImageError, match=r"1 pictures need 1 labels, not 2"):
        film([{0: red[0]}], ["a", "b"])
    with pytest.raises(ImageError, match=r"at least one picture, and of each at least one frame"):
        film([{}], ["a"])
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtra, match=r"PyAV is not installed. Install it with: pip install 'pellucid\[video\]'"):
        write_video(tmp_path / "a.mp4", red)
    assert os.listdir(tmp_path) == []
