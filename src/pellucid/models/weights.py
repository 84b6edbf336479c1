"""Weights files: read as data, never as code, and fitted to a network with every difference named."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from pellucid.errors import WeightsError, first_line

__all__ = ["difference", "fit_weights", "read_weights", "require_finite", "require_fit"]

# What training scripts wrap a state dict in, and prefix its names with (data parallel, torch.compile, Lightning).
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "module")
_PREFIXES = ("module.", "_orig_mod.", "model.")
_NAMED = 3  # differences named in a message, of each kind


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """The tensors of a weights file by name, on the CPU, in the precision of the file.

    Reads safetensors, and PyTorch's own format (.pth, .pt, .bin) as data only. Dictionaries around the state dict
    (`{"state_dict": …}`) are opened.

    Raises:
        WeightsError: no such file, damaged, holds pickled code, or no weights.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        reason = "is a folder" if path.is_dir() else (error.strerror or str(error))
        raise WeightsError(f"cannot read the weights file {str(path)!r}: {reason}.") from None
    if start.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{str(path)!r} is a Git LFS pointer, not the weights. Fetch them with: git lfs pull")
    # The content decides, for suffixes lie. Safetensors opens with 8 bytes of length and the brace of its header.
    is_pickle = start.startswith((b"PK\x03\x04", b"\x80")) and start[8:9] != b"{"
    return _tensors(_read_pickle(path) if is_pickle else _read_safetensors(path), path)


def _read_safetensors(path: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(
            f"{str(path)!r} is neither safetensors nor a PyTorch file, or it is damaged ({first_line(error)})."
        ) from None


def _read_pickle(path: Path) -> object:
    try:
        # An open file, because torch chooses the format of a path by its suffix.
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on unusual pickle protocols: what cannot be read raises
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "nsupported" not in str(error):
            raise WeightsError(f"{str(path)!r} is damaged, or no weights file ({first_line(error)}).") from None
        code = re.search(r"GLOBAL (\S+)", str(error))
        what = code[1] if code else "an instruction that no weights need"
        raise WeightsError(
            f"{str(path)!r} holds pickled code ({what}), which could do anything when loaded, and is refused. Where "
            "you trust it, save its tensors: safetensors.torch.save_file(net.state_dict(), 'FILE.safetensors')"
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        kind = "is a TorchScript archive, which holds code" if "TorchScript" in str(error) else "is damaged"
        raise WeightsError(f"{str(path)!r} {kind} ({first_line(error)}). Save its state_dict() instead.") from None


def _tensors(content: object, path: Path) -> dict[str, Tensor]:
    while isinstance(content, Mapping) and not any(isinstance(value, Tensor) for value in content.values()):
        inner = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, Mapping):
        raise WeightsError(f"{str(path)!r} holds {type(content).__name__}, and weights are tensors by name.")
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        keys = ", ".join(map(repr, list(content)[:_NAMED])) or "nothing"
        raise WeightsError(f"{str(path)!r} holds no weights, but {keys}. Save a state_dict() in it.")
    return tensors


def fit_weights(
    module: nn.Module, weights: Mapping[str, Tensor], *, name: str, source: Path | str, ignores: Iterable[str] = ()
) -> None:
    """Put weights into a network of exactly that shape, in the precision of the network.

    `name` and `source` are how messages call the network and the file. Weights whose names begin with one of
    `ignores` may be absent or superfluous; the batch counts of batch norm may be absent.

    Raises:
        WeightsError: weights are missing, superfluous, of another shape, NaN or infinite.
    """
    own = module.state_dict()
    ignores = tuple(ignores)
    given = {key: value for key, value in _without_prefix(weights, own).items() if not key.startswith(ignores)}
    missing = [key for key in own if key not in given and not key.startswith(ignores)]
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    unexpected = [key for key in given if key not in own]
    reshaped = [
        difference(key, value.shape, own[key].shape)
        for key, value in given.items()
        if key in own and value.shape != own[key].shape
    ]
    require_fit(missing, unexpected, reshaped, name=name, source=source)
    require_finite(given, source=source)
    module.load_state_dict(given, strict=False)


def require_fit(
    missing: list[str], unexpected: list[str], reshaped: list[str], *, name: str, source: Path | str
) -> None:
    """Refuse weights that differ from the network's, naming the first differences of each kind.

    Raises:
        WeightsError: one of the lists is not empty.
    """
    found = [
        f"{len(keys)} {what} ({_first(keys)})"
        for keys, what in ((missing, "missing"), (unexpected, "unexpected"), (reshaped, "of another shape"))
        if keys
    ]
    if found:
        raise WeightsError(f"the weights in {str(source)!r} do not fit {name}: {'; '.join(found)}.")


def require_finite(weights: Mapping[str, Tensor], *, source: Path | str) -> None:
    """Refuse weights through which nothing true can be seen.

    Raises:
        WeightsError: a weight is NaN or infinite; names its tensor.
    """
    for key, value in weights.items():
        if value.is_floating_point() and not (finite := value.isfinite()).all():
            bad = int((~finite).sum())
            raise WeightsError(f"{str(source)!r} has {bad} NaN or infinite values of {value.numel()} in {key!r}.")


def difference(key: str, in_file: Sequence[int], in_network: Sequence[int]) -> str:
    """How a weight's shape in a file differs from the network's, in words."""
    return f"{key}: {_shape(in_file)} in the file, {_shape(in_network)} in the network"


def _without_prefix(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    for prefix in (*_PREFIXES, *_PREFIXES):  # wrappers nest: module._orig_mod.conv1.weight
        if all(key.startswith(prefix) for key in weights) and not any(key.startswith(prefix) for key in own):
            weights = {key[len(prefix) :]: value for key, value in weights.items()}
    return weights


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "a number"


def _first(keys: list[str]) -> str:
    return ", ".join(keys[:_NAMED]) + (", …" if len(keys) > _NAMED else "")
