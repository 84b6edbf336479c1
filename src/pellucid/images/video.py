"""How pictures came about, as a video: mp4, GIF or WebP that any browser shows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pellucid.errors import ImageError, MissingExtra, did_you_mean
from pellucid.images.sheets import contact_sheet, over_checks
from pellucid.images.whole_files import written_whole

__all__ = ["Reel", "film", "video_format", "write_video"]

Reel = Mapping[int, Image.Image]
"""What one picture was after some steps: step -> picture; from the last of them on it stays as it is."""

_FORMATS = {".mp4": "MP4", ".gif": "GIF", ".webp": "WEBP"}
_LEAST_PX = 256  # of a picture: smaller is hard to watch
# Of a frame's longer side: most that players decode, and where files of a minute's download begin.
_LARGEST_PX = {"MP4": 1920, "WEBP": 1280, "GIF": 640}
_FASTEST_FPS = 50  # browsers slow down what has more
_HELD_S = 1.5  # the last frame, before a loop begins anew
_CRF = 16  # H.264's quality: 18 is where losses begin to be seen


def video_format(path: Path) -> str:
    """MP4, GIF or WEBP by the suffix, when it can be written here.

    Raises:
        ImageError: another suffix.
        MissingExtra: mp4 without PyAV.
    """
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        hint = did_you_mean(path.suffix.lower(), _FORMATS) or " Use .mp4, .gif or .webp."
        raise ImageError(f"cannot write '{path}': no video format {path.suffix!r}.{hint}")
    if kind == "MP4":
        _pyav()
    return kind


def film(reels: Sequence[Reel], labels: Sequence[str]) -> Iterator[Image.Image]:
    """The frames of pictures that changed together: one for every step that any reel has; several as a contact sheet.

    At a step that a reel lacks its picture is the one before. One small picture is enlarged by a whole number to 256 px
    or more, several as `contact_sheet` does it. What is see-through lies on a checkerboard.

    Raises:
        ImageError: there are no reels, or one is empty, or not one label for each.
    """
    if not reels or not all(reels):
        raise ImageError("a video needs at least one picture, and of each at least one frame")
    if len(labels) != len(reels):
        raise ImageError(f"{len(reels)} pictures need {len(reels)} labels, not {len(labels)}")
    return _frames(reels, labels)


def _frames(reels: Sequence[Reel], labels: Sequence[str]) -> Iterator[Image.Image]:
    last = [reel[max(reel)] for reel in reels]
    shown = [reel[min(reel)] for reel in reels]
    for step in sorted(set().union(*reels)):
        shown = [reel.get(step, before) for reel, before in zip(reels, shown, strict=True)]
        # A picture may have grown on its way; its frames have the size that it ended with.
        equal = [_resized(one, end.size) for one, end in zip(shown, last, strict=True)]
        yield _enlarged(equal[0]) if len(equal) == 1 else contact_sheet(equal, labels, title=f"step {step}")


def _enlarged(shown: Image.Image) -> Image.Image:
    """A picture times the whole number that makes it large enough; on a checkerboard where it is see-through."""
    factor = max(1, math.ceil(_LEAST_PX / max(shown.size)))
    return over_checks(_resized(shown, (shown.width * factor, shown.height * factor)))


def _resized(shown: Image.Image, size: tuple[int, int]) -> Image.Image:
    return shown if shown.size == size else shown.resize(size, Image.Resampling.BICUBIC)


def write_video(
    path: str | Path, frames: Iterable[Image.Image], *, fps: float | int = 12, size: int | None = None
) -> None:
    """Write frames of one size as a video; the file is whole or not there, even when the program dies meanwhile.

    The suffix decides: .mp4 (H.264 in yuv420p with its index first, which every browser plays at once; odd sides get a
    pixel more), .gif (256 colours a frame, dithered) or .webp. The last frame is held for 1.5 seconds; GIF and WebP
    begin anew. `size` is the longer side of a frame in px; by default frames stay as they are up to 1920 px (WebP 1280,
    GIF 640).

    Raises:
        ImageError: an unknown suffix, no frames, `fps` not above 0 or over 50, `size` below 2, or the file cannot be
            written.
        MissingExtra: an mp4 without PyAV.
    """
    path = Path(path)
    kind = video_format(path)
    if not 0 < fps <= _FASTEST_FPS:
        raise ImageError(f"fps is the number of frames a second, above 0 and up to {_FASTEST_FPS}, not {fps}")
    if size is not None and size < 2:
        raise ImageError(f"the size of a video is the longer side of a frame in px, at least 2, not {size}")
    upcoming = (_scaled(frame.convert("RGB"), size or min(max(frame.size), _LARGEST_PX[kind])) for frame in frames)
    first = next(upcoming, None)
    if first is None:
        raise ImageError("a video needs at least one frame")
    sized = itertools.chain([first], upcoming)
    with written_whole(path) as file:
        if kind == "MP4":
            _write_mp4(file.name, sized, fps)
        else:
            _write_animation(file, kind, sized, fps)


def _scaled(frame: Image.Image, longer: int) -> Image.Image:
    """A frame whose longer side has so many px."""
    scale = longer / max(frame.size)
    return _resized(frame, (max(1, round(frame.width * scale)), max(1, round(frame.height * scale))))


def _write_animation(file: BinaryIO, kind: str, frames: Iterable[Image.Image], fps: float | int) -> None:
    first, *rest = map(_dithered, frames) if kind == "GIF" else frames
    # GIF counts hundredths of a second.
    each = round(100 / fps) * 10 if kind == "GIF" else round(1000 / fps)
    held = [each] * len(rest) + [round(_HELD_S * 1000)]
    options: dict[str, Any] = {} if kind == "GIF" else {"quality": 90, "method": 2}
    first.save(file, kind, save_all=True, append_images=rest, duration=held, loop=0, **options)


def _dithered(frame: Image.Image) -> Image.Image:
    """A frame in the 256 colours that suit it best: without dithering, soft colours would lie in bands."""
    palette = frame.quantize(256, method=Image.Quantize.FASTOCTREE)  # a tenth of the median cut's time, and looks alike
    return frame.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


def _write_mp4(path: str | Path, frames: Iterable[Image.Image], fps: float | int) -> None:
    av = _pyav()
    arrays = (_even(np.asarray(frame)) for frame in _held(frames, round(_HELD_S * fps)))
    first = next(arrays)
    try:
        # By name: to put the index first, FFmpeg opens the file a second time.
        with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            rate = Fraction(fps).limit_denominator(1001)
            stream = container.add_stream("libx264", rate=rate, options={"crf": str(_CRF)})
            stream.height, stream.width = first.shape[:2]
            stream.pix_fmt = "yuv420p"
            # BT.709, and said so: else players guess by the size, and the colours of small videos shift.
            codec = stream.codec_context
            codec.colorspace = codec.color_primaries = codec.color_trc = codec.color_range = 1
            for array in itertools.chain([first], arrays):
                frame = av.VideoFrame.from_ndarray(array, format="rgb24")
                container.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace="ITU709")))
            container.mux(stream.encode())
    except av.FFmpegError as error:
        raise ImageError(f"cannot write an mp4: {error}") from error


def _even(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A frame [h, w, 3] with even sides, which H.264's halved colours need: the last row or column twice."""
    odd = [(0, side % 2) for side in array.shape[:2]]
    return np.pad(array, [*odd, (0, 0)], mode="edge")


def _held(frames: Iterable[Image.Image], times: int) -> Iterator[Image.Image]:
    """The frames, and the last one so many times more."""
    for frame in frames:
        last = frame
        yield frame
    for _ in range(times):
        yield last


def _pyav() -> Any:
    try:
        import av
    except ImportError:
        raise MissingExtra("PyAV", "video") from None
    return av
