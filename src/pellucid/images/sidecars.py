"""Floats beside a picture: what eight bits a pixel lose, kept with where it comes from.

A sidecar is a safetensors file: plain data, read without running anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pellucid.errors import ImageError
from pellucid.images.whole_files import written_whole

__all__ = ["read_sidecar", "write_sidecar"]


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
