"""Options that say which network to open, shared by every command that opens one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pellucid.errors import ModelError, RecipeError

if TYPE_CHECKING:
    from pellucid.models.model import Model

__all__ = ["PANEL", "Device", "Mean", "Size", "Spec", "Std", "Weights", "open_model", "read_size", "source_of"]

PANEL = "Network"

Spec = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="default, plain, torchvision:NAME, timm:NAME, hf:ID, hf:FOLDER or FILE.py:factory (pellucid models).",
        show_default=False,
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="safetensors, or a .pth that holds data only; none: random weights, always the same.",
        rich_help_panel=PANEL,
    ),
]
Mean = Annotated[
    str | None,
    typer.Option(metavar="R,G,B", help="Input mean where the zoo's does not hold.", rich_help_panel=PANEL),
]
Std = Annotated[
    str | None,
    typer.Option(metavar="R,G,B", help="Input standard deviation, likewise.", rich_help_panel=PANEL),
]

Size = Annotated[
    str | None,
    typer.Option(
        metavar="H[xW]",
        help="Picture size in px, such as 96 or 96x128, if not the network's own.",
        rich_help_panel=PANEL,
    ),
]
Device = Annotated[
    str | None, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:1, mps.", rich_help_panel=PANEL)
]


def open_model(
    spec: str,
    *,
    weights: str | None = None,
    mean: str | None = None,
    std: str | None = None,
    size: tuple[int, int] | None = None,
    device: str | None = None,
) -> Model:
    """The network that the options mean.

    Raises:
        ModelError: `mean` or `std` is no list of numbers, or the network cannot be loaded.
        RecipeError: this machine lacks the device.
    """
    source = source_of(spec, weights=weights, mean=mean, std=std, size=size)
    from pellucid.models import zoo

    model = zoo.load(**source)
    if device is None:
        return model
    from pellucid.ascent.machine import find_device

    return model.at(device=find_device(device, model))


def source_of(
    spec: str,
    *,
    weights: str | None = None,
    mean: str | None = None,
    std: str | None = None,
    size: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """What the options mean as arguments of `pl.load`, by name.

    Raises:
        ModelError: `mean` or `std` is no list of numbers.
    """
    numbers = {"mean": _numbers("mean", mean), "std": _numbers("std", std)}
    return {"spec": spec, "weights": weights, "size": size, **numbers}


def read_size(text: str | None) -> tuple[int, int] | None:
    """`96` or `96x128` (height x width, px) as two numbers.

    Raises:
        RecipeError: it is neither.
    """
    if text is None:
        return None
    match = re.fullmatch(r"\s*([0-9]{1,5})(?:\s*[x×,]\s*([0-9]{1,5}))?\s*", text)
    if not match or "0" in (match[1].strip("0") or "0", (match[2] or "1").strip("0") or "0"):
        raise RecipeError(f"--size is a number of px or HEIGHTxWIDTH, such as 96 or 96x128, not {text!r}")
    return int(match[1]), int(match[2] or match[1])


def _numbers(name: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ModelError(f"--{name} is one number per channel, such as 0.48,0.45,0.40, not {text!r}") from None
