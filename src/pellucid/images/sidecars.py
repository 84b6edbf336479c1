"""Floats beside a picture: what eight bits a pixel lose, kept with where it comes from.

A sidecar is a safetensors file: plain data, read without running anything.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pellucid.errors import ImageError

__all__ = ["read_sidecar", "write_sidecar", "written_whole"]


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


def write_sidecar(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write named tensors and texts to a safetensors file.

    Raises:
        ImageError: the file cannot be written there.
    """
    data = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, dict(metadata))
    with written_whole(Path(path)) as file:
        file.write(data)


def read_sidecar(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and texts that `write_sidecar` wrote.

    Raises:
        ImageError: there is no such file, or it is no safetensors file.
    """
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ImageError(f"cannot read '{path}': {error}") from None
