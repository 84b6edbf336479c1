"""Networks of the Hugging Face Hub or of a local folder, with the contract of their image processor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pellucid.errors import MissingExtra, ModelError, PellucidError, first_line
from pellucid.models.downloads import downloading, require_hub
from pellucid.models.weights import difference, read_weights, require_finite, require_fit
from pellucid.models.zoo_network import Wish, ZooNetwork

__all__ = ["load_hf"]


def load_hf(name: str, wish: Wish) -> ZooNetwork:
    """Build `hf:ID` or `hf:FOLDER`: configuration, image processor and, unless a file or none is wanted, weights.

    What is already on this machine is used as it is, without asking the hub. Code that a repository brings along is
    never run.

    Raises:
        MissingExtra: transformers is not installed.
        ModelError: no such repository or folder, or no vision network.
        WeightsError: a download fails, or weights are missing in the repository.
    """
    transformers = _transformers()
    config = _fetched(transformers.AutoConfig, name, "the configuration")
    processor = _processor(transformers, name, needed=wish.weights != "none" and not wish.own_contract)
    if wish.square_px and not wish.zoo_weights and isinstance(getattr(config, "image_size", None), int):
        config.image_size = wish.square_px
    is_classifier = any(kind.endswith("ForImageClassification") for kind in config.architectures or ())
    loader = transformers.AutoModelForImageClassification if is_classifier else transformers.AutoModel
    try:
        module = _network(loader, config, name, wish).float()  # repositories may hold half precision
    except (ValueError, ImportError) as error:
        if isinstance(error, PellucidError):
            raise
        raise ModelError(f"hf:{name} cannot be built ({first_line(error)}).") from error
    seeing = getattr(config, "vision_config", None) or config
    if seeing is not config and not is_classifier:  # CLIP and its kin: of picture and text, the picture's half
        module = module.get_submodule("vision_model")
    contract = _contract(processor, seeing)
    return ZooNetwork(module, loaded=True, classes=_classes(config) if is_classifier else None, **contract)


def _network(loader: Any, config: Any, name: str, wish: Wish) -> Any:
    if wish.weights == "none":
        return loader.from_config(config)
    with _quietly():
        if wish.weights is None:
            module, info = _fetched(loader, name, "the weights", output_loading_info=True)
        else:  # through transformers, whose files have names of their own, unlike those of its modules
            weights = read_weights(wish.weights)
            require_finite(weights, source=wish.weights)
            architecture = type(loader.from_config(config))
            module, info = architecture.from_pretrained(
                None, config=config, state_dict=weights, output_loading_info=True, ignore_mismatched_sizes=True
            )
    # Poolers are often left out of a checkpoint, because its training had none.
    missing = sorted(key for key in info["missing_keys"] if "pooler" not in key)
    reshaped = sorted(difference(*entry) for entry in info["mismatched_keys"])
    unexpected = sorted(info["unexpected_keys"]) if wish.weights is not None else []
    require_fit(missing, unexpected, reshaped, name=f"hf:{name}", source=wish.weights or f"hf:{name}")
    return module


@contextmanager
def _quietly() -> Iterator[None]:
    """Without transformers' report and progress bar: what matters of them is in our errors."""
    from transformers.utils import logging

    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()


def _fetched(loader: Any, name: str, what: str, **options: Any) -> Any:
    """Load from the folder or the local cache, and only then from the hub."""
    arguments = {"trust_remote_code": False, **options}
    folder = Path(name).expanduser()
    if folder.is_dir():
        try:
            return loader.from_pretrained(str(folder), local_files_only=True, **arguments)
        except (OSError, ValueError) as error:
            raise ModelError(f"cannot load {what} from the folder {name!r} ({first_line(error)}).") from None
    if name.count("/") > 1 or name.startswith((".", "~", "/")):
        raise ModelError(f"no folder {name!r}. A model of the hub is written hf:OWNER/NAME.")
    try:
        return loader.from_pretrained(name, local_files_only=True, **arguments)
    except (OSError, ValueError):
        require_hub(f"{what} of hf:{name}")
    try:
        with downloading(f"{what} of hf:{name}", "the Hugging Face Hub"):
            return loader.from_pretrained(name, **arguments)
    except ValueError as error:
        raise ModelError(f"hf:{name} cannot be loaded ({first_line(error)}).") from None


def _processor(transformers: Any, name: str, *, needed: bool) -> dict[str, Any]:
    try:
        found = _fetched(transformers.AutoImageProcessor, name, "the image processor (preprocessor_config.json)")
    except ModelError as error:
        if needed:
            raise ModelError(f"{str(error).rstrip('.')}. Say how its pictures are normalised: --mean --std.") from None
        return {}
    return dict(found.to_dict())


def _contract(processor: dict[str, Any], config: Any) -> dict[str, Any]:
    """Mean, std, size and channel order, from `y = ((255 x f - offset) - mean) / std` for x from 0 to 1."""
    channels = int(getattr(config, "num_channels", 3))
    size = _size(processor, config)
    if not processor:
        return {"size": size, "channels": channels, "forward": _forward}
    factor = 255 * processor.get("rescale_factor", 1 / 255) if processor.get("do_rescale", True) else 255.0
    offset = 1.0 if processor.get("rescale_offset") else 0.0
    mean, std = [0.0] * channels, [1.0] * channels
    if processor.get("do_normalize"):
        mean, std = list(processor["image_mean"]), list(processor["image_std"])
    return {
        "mean": tuple((value + offset) / factor for value in mean),
        "std": tuple(value / factor for value in std),
        "size": size,
        "channels": channels,
        "forward": _forward_bgr if processor.get("do_flip_channel_order") else _forward,
    }


def _size(processor: dict[str, Any], config: Any) -> tuple[int, int] | None:
    crop = processor.get("crop_size") if processor.get("do_center_crop") else None
    size = crop or processor.get("size") or getattr(config, "image_size", None)
    if isinstance(size, Mapping):
        edge = size.get("shortest_edge")
        size = (size.get("height") or edge, size.get("width") or edge)
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    return (int(height), int(width)) if height and width else None


def _classes(config: Any) -> tuple[str, ...] | None:
    """The names in the configuration; those that it makes up (LABEL_0, LABEL_1, …) are none."""
    names = tuple(str(config.id2label[index]) for index in sorted(config.id2label))
    return None if all(name == f"LABEL_{index}" for index, name in enumerate(names)) else names


def _forward(module: nn.Module, images: Tensor) -> Any:
    return module(pixel_values=images)


def _forward_bgr(module: nn.Module, images: Tensor) -> Any:
    return module(pixel_values=images.flip(1))


def _transformers() -> Any:
    try:
        import transformers
    except ImportError:
        raise MissingExtra("transformers", "hf") from None
    return transformers
