"""Networks of torchvision, with the contract that its weights declare."""

from __future__ import annotations

import inspect
from typing import Any
from urllib.parse import urlsplit

from pellucid.errors import MissingExtra, ModelError, did_you_mean
from pellucid.models.downloads import downloading
from pellucid.models.zoo_network import Wish, ZooNetwork

__all__ = ["load_torchvision", "torchvision_names"]

# Detection wants lists of pictures with boxes, flow wants two, video wants time; quantised networks have no gradient.
_FAMILIES = ("torchvision.models", "torchvision.models.segmentation")
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.", "aux_classifier.")  # heads that only training runs


def torchvision_names() -> list[str]:
    """The networks of torchvision that take one picture.

    Raises:
        MissingExtra: torchvision is not installed.
    """
    models = _torchvision()
    return sorted({*models.list_models(module=models), *models.list_models(module=models.segmentation)})


def load_torchvision(name: str, wish: Wish) -> ZooNetwork:
    """Build `torchvision:NAME`; its default weights declare mean, std, size and classes.

    GoogLeNet and InceptionV3 were trained on pictures normalised to [-1, 1], and their `transform_input` converts
    torchvision's usual normalisation to that. It is on exactly when the usual normalisation is in use: a mean and std
    of the caller's own say what the first convolution expects.

    Raises:
        MissingExtra: torchvision is not installed.
        ModelError: unknown name, or a network that does not take one picture.
        WeightsError: the weights cannot be downloaded.
    """
    models = _torchvision()
    names = torchvision_names()
    if name not in names:
        if name in models.list_models():
            kind = models.get_model_builder(name).__module__.split(".")[2]
            raise ModelError(f"torchvision:{name} ({kind}) does not map one picture to values with a gradient.")
        raise ModelError(f"no model {name!r} in torchvision.{did_you_mean(name, names)} (pellucid models {name})")
    weights = models.get_model_weights(name).DEFAULT
    module = _build(models.get_model_builder(name), name, weights, wish)
    contract = weights.transforms()
    return ZooNetwork(
        module,
        loaded=wish.zoo_weights,
        mean=tuple(contract.mean),
        std=tuple(contract.std),
        size=_size(contract),
        classes=tuple(weights.meta["categories"]),
        ignores=_AUXILIARY,
    )


def _build(builder: Any, name: str, weights: Any, wish: Wish) -> Any:
    base = inspect.signature(builder).parameters
    arguments: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):
        arguments["transform_input"] = not wish.own_contract
        if not wish.zoo_weights:  # with their weights the builders choose by themselves, and refuse another choice
            arguments |= {"aux_logits": False, "init_weights": False}  # their initialisation takes half a minute
    if "weights_backbone" in base:
        arguments |= {"weights_backbone": None}
    if not wish.zoo_weights:
        if name.startswith("vit_") and wish.square_px:
            arguments["image_size"] = wish.square_px
        return builder(weights=None, **arguments)
    with downloading(f"the weights of torchvision:{name}", urlsplit(weights.url).netloc):
        return builder(weights=weights, **arguments)


def _size(contract: Any) -> tuple[int, int]:
    """The crop of a classifier; segmentation resizes the shorter side."""
    size = contract.crop_size if hasattr(contract, "crop_size") else contract.resize_size
    height, width = (size[0], size[-1]) if isinstance(size, (list, tuple)) else (size, size)
    return int(height), int(width)


def _torchvision() -> Any:
    try:
        import torchvision.models
        import torchvision.models.segmentation
    except ImportError:
        raise MissingExtra("torchvision", "torchvision") from None
    return torchvision.models
