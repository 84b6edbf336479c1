"""Networks of timm, with the contract of their `pretrained_cfg`."""

from __future__ import annotations

from typing import Any

from pellucid.errors import MissingExtra, ModelError, WeightsError, did_you_mean
from pellucid.models.downloads import downloading, require_hub
from pellucid.models.zoo_network import Wish, ZooNetwork

__all__ = ["load_timm", "timm_names"]


def timm_names() -> list[str]:
    """The networks of timm, each with its pretrained tags (`resnet18.a1_in1k`).

    Raises:
        MissingExtra: timm is not installed.
    """
    timm = _timm()
    return sorted({*timm.list_models(), *timm.list_pretrained()})


def load_timm(name: str, wish: Wish) -> ZooNetwork:
    """Build `timm:NAME` or `timm:NAME.TAG`; its configuration declares mean, std, size and classes.

    Raises:
        MissingExtra: timm is not installed.
        ModelError: unknown name or tag.
        WeightsError: there are no pretrained weights, or they cannot be downloaded.
    """
    timm = _timm()
    names = timm_names()
    if name not in names:
        near = did_you_mean(name, names) or did_you_mean(name.split(".")[0], names)
        raise ModelError(f"no model {name!r} in timm.{near} (pellucid models {name})")
    config = timm.get_pretrained_cfg(name)
    arguments: dict[str, Any] = {}
    if config.fixed_input_size and wish.size is not None:
        arguments["img_size"] = wish.size
    module = _pretrained(timm, name, config, arguments) if wish.zoo_weights else timm.create_model(name, **arguments)
    channels, height, width = config.input_size
    return ZooNetwork(
        module,
        loaded=wish.zoo_weights,
        mean=tuple(config.mean),
        std=tuple(config.std),
        size=(height, width),
        classes=_classes(timm, config),
        channels=channels,
    )


def _pretrained(timm: Any, name: str, config: Any, arguments: dict[str, Any]) -> Any:
    what = f"the weights of timm:{name}"
    if not timm.is_model_pretrained(name):
        raise WeightsError(f"timm:{name} has no pretrained weights. Give --weights FILE, or --weights none.")
    if not config.hf_hub_id:
        with downloading(what, config.url or "its host"):
            return timm.create_model(name, pretrained=True, **arguments)
    from huggingface_hub import try_to_load_from_cache

    wanted = [config.hf_hub_filename] if config.hf_hub_filename else ["model.safetensors", "pytorch_model.bin"]
    cached = (try_to_load_from_cache(config.hf_hub_id, file) for file in wanted)
    file = next((path for path in cached if isinstance(path, str)), None)
    if file is None:
        require_hub(what)
        with downloading(what, "the Hugging Face Hub"):
            return timm.create_model(name, pretrained=True, **arguments)
    return timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"file": file}, **arguments)


def _classes(timm: Any, config: Any) -> tuple[str, ...] | None:
    """The class names that timm itself keeps, for the ImageNet family only."""
    if config.label_names:
        described = config.label_descriptions or {}
        return tuple(described.get(label, label) for label in config.label_names)
    from timm.data import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset({"num_classes": config.num_classes})
    if subset is None:
        return None
    info = ImageNetInfo(subset)
    return tuple(info.index_to_description(index) for index in range(info.num_classes()))


def _timm() -> Any:
    try:
        import timm
    except ImportError:
        raise MissingExtra("timm", "timm") from None
    return timm
