"""`pellucid layers`: what a network is made of, found by running it once."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from pellucid.app.cli.model_options import Device, Mean, Size, Spec, Std, Weights, open_model, read_size
from pellucid.app.cli.tables import note, print_table
from pellucid.models.blocks import blocks

if TYPE_CHECKING:
    from pellucid.models.layers import Layer

__all__ = ["layers", "typical_layer"]


def layers(
    model: Spec,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
    size: Size = None,
    device: Device = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what lies inside blocks.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with every layer.")] = False,
) -> None:
    """List a network's layers in forward order: name, kind, units, and the map or tokens they lie on."""
    pictures = read_size(size)
    net = open_model(model, weights=weights, mean=mean, std=std, size=pictures, device=device)
    found = net.layers
    if as_json:
        document = {
            "model": net.name,
            "model_hash": net.weights_hash,
            "size": net.size,
            "channels": net.channels,
            "classes": len(net.classes or ()),
            "layers": [asdict(layer) for layer in found.values()],
        }
        typer.echo(json.dumps(document))
        return
    shown = list(found.values()) if everything else blocks(found)
    rows = [(layer.name, layer.kind, str(layer.units), _places(layer), layer.axes) for layer in shown]
    print_table(("layer", "kind", "units", "map", "axes"), rows, numeric=("units", "map"))
    height, width = net.size
    hidden = f"; {len(found) - len(shown)} more inside blocks: --all" if len(shown) < len(found) else ""
    note(f"{net.name} at {height} x {width} px{hidden}. A target is LAYER:UNIT, such as {_example(shown)}")


def _places(layer: Layer) -> str:
    """`14×14`, `14×14 +1` (tokens with a prefix), `50 tokens`, or nothing for a vector."""
    if len(layer.shape) == 3:
        return f"{layer.shape[1]}×{layer.shape[2]}"
    if len(layer.shape) == 2:
        prefix = f" +{layer.prefix_tokens}" if layer.prefix_tokens else ""
        return f"{layer.grid[0]}×{layer.grid[1]}{prefix}" if layer.grid else f"{layer.shape[0]} tokens"
    return "–"


def typical_layer(shown: list[Layer]) -> Layer:
    """One about two thirds deep, where units see parts of objects; with positions where there are such."""
    maps = [layer for layer in shown if len(layer.shape) > 1] or shown
    return maps[len(maps) * 2 // 3]


def _example(shown: list[Layer]) -> str:
    layer = typical_layer(shown)
    return f"{layer.name}:{layer.units // 2}"
