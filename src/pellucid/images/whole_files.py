"""Files that are whole or not there."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pellucid.errors import ImageError

__all__ = ["written_whole"]


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that is whole or not there, even when the program dies meanwhile.

    Raises:
        ImageError: the file cannot be written there.
    """
    # Opened by hand and not by `tempfile`, so that the finished file has the usual permissions; a short name, so that
    # a long one stays possible.
    unfinished = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        try:
            with open(unfinished, "xb") as file:
                yield file
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise ImageError(f"cannot write '{path}': {error.strerror or error}") from error
