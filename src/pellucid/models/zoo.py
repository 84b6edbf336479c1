"""Networks by name: `load("torchvision:googlenet")`, with the input contract that their zoo declares."""

from __future__ import annotations

import copy
import fnmatch
import json
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pellucid.errors import MissingExtra, ModelError, WeightsError, did_you_mean
from pellucid.models.factory_file import call_factory
from pellucid.models.model import Model
from pellucid.models.weights import fit_weights, read_weights
from pellucid.models.zoo_hf import load_hf
from pellucid.models.zoo_network import Wish, ZooNetwork
from pellucid.models.zoo_timm import load_timm, timm_names
from pellucid.models.zoo_torchvision import load_torchvision, torchvision_names

__all__ = ["EMBEDDED", "available", "load"]

ASSETS = files("pellucid") / "assets"
EMBEDDED = ("default", "plain")
FORMS = "default, plain, torchvision:NAME, timm:NAME, hf:ID or hf:FOLDER, FILE.py:factory"
_LIBRARIES: dict[str, Callable[[str, Wish], ZooNetwork]] = {
    "torchvision": load_torchvision,
    "timm": load_timm,
    "hf": load_hf,
}
_SEED = 5_203_846_177  # of random weights; no small one, by which a network in training may have begun
_LISTS: dict[str, Callable[[], list[str]]] = {"torchvision": torchvision_names, "timm": timm_names}


def load(
    spec: str,
    *,
    weights: str | Path | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    size: int | tuple[int, int] | None = None,
    classes: Sequence[str] | None = None,
    device: torch.device | str | None = None,
) -> Model:
    """Load a network by name, with its weights and everything known about its input.

    Args:
        spec: `default` or `plain` (embedded), `torchvision:NAME`, `timm:NAME`, `hf:ID`, `hf:FOLDER`, `FILE.py:factory`.
        weights: a safetensors file, or a .pth read as data only; "none" for random weights, the same ones every time
            (`pellucid.measure.reinitialised` draws others); by default the zoo's own, downloaded when they are not on
            this machine.
        mean, std: per channel, of pixel values from 0 to 1, where a weights file was trained otherwise than the zoo's.
        size: pixels, one number or (height, width), where it differs from the zoo's.
        classes: names of the outputs, in order, where they differ from the zoo's.

    Raises:
        ModelError: unknown spec or name, or the network cannot be built.
        WeightsError: the weights cannot be downloaded or read, do not fit, or hold NaN.
        MissingExtra: the library of the zoo is not installed.
    """
    if (mean is None) != (std is None):
        raise ModelError("mean and std belong together: give both (--mean --std), or none for the zoo's own.")
    size = (size, size) if isinstance(size, int) else size
    wish = Wish(None if weights is None else str(weights), size, own_contract=mean is not None)
    with torch.random.fork_rng(devices=[], enabled=wish.weights == "none"):
        if wish.weights == "none":
            torch.default_generator.manual_seed(_SEED)  # so that a sweep of them can be resumed
        found = _network(spec, wish)
    if isinstance(found, Model):
        if mean is not None or classes is not None:
            raise ModelError(f"{spec} returns a Model, which declares its own input and classes: give none for it.")
        if wish.weights not in (None, "none"):
            state = read_weights(wish.weights)
            found = found.filled(lambda module: fit_weights(module, state, name=spec, source=str(weights)))
        if size is not None:
            found = copy.copy(found)
            found.size = size
        return found if device is None else found.at(device=device)
    if wish.weights not in (None, "none") and not found.loaded:
        fit_weights(found.module, read_weights(wish.weights), name=spec, source=wish.weights, ignores=found.ignores)
    pictures = size or found.size
    if pictures is None:
        raise ModelError(f"{spec} does not say how large its pictures are: give --size PX.")
    names = classes if classes is not None else found.classes
    return Model(
        found.module,
        name=spec,
        mean=found.mean if mean is None else mean,
        std=found.std if std is None else std,
        size=pictures,
        channels=found.channels,
        classes=names,
        forward=found.forward,
        device=device,
    )


def available(pattern: str = "") -> dict[str, list[str]]:
    """The specs that `load` knows by library, of libraries that are installed; the hub's and files are not listed.

    `pattern` is a part of the name, or has wildcards (`*vit*small*`).
    """
    specs = {"embedded": list(EMBEDDED)} | {library: own for library in _LISTS if (own := _names(library))}
    wild = (pattern if set(pattern) & set("*?[") else f"*{pattern}*").lower()
    return {
        library: [spec for spec in own if fnmatch.fnmatchcase(spec.lower(), wild)] for library, own in specs.items()
    }


def _names(library: str) -> list[str]:
    try:
        return [f"{library}:{name}" for name in _LISTS[library]()]
    except MissingExtra:
        return []


def _network(spec: str, wish: Wish) -> ZooNetwork | Model:
    if spec in EMBEDDED:
        return _embedded(spec, wish)
    library, colon, name = spec.partition(":")
    if colon and library in _LIBRARIES and name:
        return _LIBRARIES[library](name, wish)
    if match := re.fullmatch(r"(.+\.py):([^\W\d]\w*)", spec):
        return _from_factory(match[1], match[2])
    if spec.endswith(".py"):
        raise ModelError(f"which function of {spec} builds the network? Write {spec}:FUNCTION.")
    known = [one for own in available().values() for one in own]
    same = [one for one in known if one.partition(":")[2] == spec]
    near = f" Did you mean {' or '.join(map(repr, same))}?" if same else did_you_mean(spec, known)
    raise ModelError(f"no model {spec!r}.{near} Forms: {FORMS} (pellucid models PATTERN lists them).")


def _embedded(spec: str, wish: Wish) -> ZooNetwork:
    from pellucid.models.embedded import SmallInception

    classes = tuple((ASSETS / "classes.txt").read_text("utf-8").splitlines())
    module = SmallInception(len(classes))
    card: Mapping[str, Any] = json.loads(_asset(ASSETS / f"{spec}.json").read_text("utf-8"))["input"]
    if wish.weights is None:
        with as_file(_asset(ASSETS / f"{spec}.safetensors")) as path:
            fit_weights(module, read_weights(path), name=spec, source=path.name)
    size = int(card["size_px"])
    return ZooNetwork(module, wish.zoo_weights, tuple(card["mean"]), tuple(card["std"]), (size, size), classes)


def _asset(asset: Any) -> Any:
    if not asset.is_file():
        raise WeightsError(f"{asset.name} is missing in this installation of pellucid: install it again.")
    return asset


def _from_factory(file: str, factory: str) -> ZooNetwork | Model:
    """The network as its file builds it: nothing is known of its input but what the caller says."""
    built = call_factory(file, factory)
    if isinstance(built, Model):
        return built
    if not isinstance(built, nn.Module):
        raise ModelError(f"{file}:{factory} returned {type(built).__name__}, and not a torch.nn.Module or pl.Model.")
    return ZooNetwork(built, loaded=False)
