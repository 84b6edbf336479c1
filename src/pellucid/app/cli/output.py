"""Where pictures go: decided, and tried, before the minutes of rendering."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from pellucid.errors import ImageError, did_you_mean

__all__ = ["AsJson", "Output", "writable_folder", "writable_video"]

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document about the run; no bar.")]
"""What a command prints at its end: a table, or a document for programs."""

_SUFFIXES = (".png", ".webp", ".jpg", ".jpeg")


@dataclass
class Output:
    """One file for all pictures, or a folder with one file for each."""

    path: Path
    is_folder: bool
    _used: Counter[str] = field(default_factory=Counter)

    @classmethod
    def given(cls, text: str) -> Output:
        """What `-o` means: a path with a suffix is a file, unless a folder of that name exists.

        Raises:
            ImageError: a suffix that is no picture format, or a place that cannot be written.
        """
        path = Path(text).expanduser()
        is_folder = path.is_dir() or text.endswith("/") or not path.suffix
        if is_folder:
            writable_folder(path)
        elif path.suffix.lower() not in _SUFFIXES:
            hint = (
                did_you_mean(path.suffix.lower(), _SUFFIXES)
                or " Use .png, .webp or .jpg, or a folder (and --video for a video)."
            )
            raise ImageError(f"cannot write '{path}': no picture format {path.suffix!r}.{hint}")
        else:
            writable_folder(path.parent, path)
        return cls(path, is_folder)

    @classmethod
    def single(cls, text: str | None, slug: str) -> Output:
        """One file whatever was given: the one that `-o` means, or `SLUG.png` in its folder, or here.

        Raises:
            ImageError: see `given`.
        """
        place = cls.given(text if text is not None else f"./{slug}.png")
        return cls(place.path / f"{slug}.png", False) if place.is_folder else place

    @classmethod
    def chosen(cls, model: str, slugs: Sequence[str]) -> Output:
        """The place when none was given: `SLUG.png` here, or a folder named after the network for several."""
        if len(slugs) == 1:
            return cls.given(f"./{slugs[0]}.png")
        return cls.given(f"./{re.sub(r'[^A-Za-z0-9_-]+', '-', model).strip('-') or 'pictures'}/")

    def file_for(self, slug: str) -> Path:
        """The next picture's file. A target rendered twice gives `slug.png` and `slug-2.png`."""
        if not self.is_folder:
            return self.path
        self._used[slug] += 1
        number = self._used[slug]
        return self.path / (f"{slug}.png" if number == 1 else f"{slug}-{number}.png")


def writable_folder(folder: Path, file: Path | None = None) -> Path:
    """Make a folder, with its parents, and see that files can be made in it; `file` is what an error names.

    Raises:
        ImageError: it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        if file is not None and file.exists():
            with file.open("ab"):
                pass
    except OSError as error:
        reason = "a file of that name is in the way" if isinstance(error, FileExistsError) else error.strerror
        raise ImageError(f"cannot write '{file or folder}': {reason or error}") from None
    return folder


def writable_video(file: Path, *, beside: Output | None) -> None:
    """See that a video of this name can be written, beside the pictures.

    Raises:
        ImageError: a suffix that is no video format, a place that cannot be written, or that of the pictures.
        MissingExtra: an mp4 without PyAV.
    """
    from pellucid.images.video import video_format

    video_format(file)
    if beside is not None and beside.path.resolve() == file.resolve():
        raise ImageError(f"picture and video would both be '{file}'; give one of them another name")
    writable_folder(file.parent, file)
