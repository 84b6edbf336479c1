"""`pellucid bench`: how fast the ascent is on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pellucid import __version__
from pellucid.app.cli.layers import typical_layer
from pellucid.app.cli.model_options import Mean, Spec, Std, Weights, open_model
from pellucid.app.cli.plan_table import run_as
from pellucid.app.cli.progress import watched
from pellucid.app.cli.recipe_options import read_recipe, with_recipe_options
from pellucid.app.cli.tables import note, print_table
from pellucid.app.plan_file import kept_plans
from pellucid.models.blocks import blocks

if TYPE_CHECKING:
    from pellucid.ascent.bench import Bench

__all__ = ["command"]

_SETTINGS = ("size", "precision", "layout", "batch", "device")


def bench(
    model: Spec = "default",
    layer: Annotated[
        str | None,
        typer.Argument(metavar="[LAYER]", help="Its first units; by default a layer about two thirds deep."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Steps of the batch to time; by default some 5 seconds.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document; no bar.")] = False,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
    *,
    settings: dict[str, Any],
) -> None:
    """Time the ascent on this machine: beside the bare network, and beside the machine's matrix products."""
    recipe = read_recipe(None, settings)
    with watched(quiet=as_json) as watch, kept_plans():
        watch.says(f"loading {model}")
        net = open_model(model, weights=weights, mean=mean, std=std, size=recipe.size)
        from pellucid.ascent.bench import measure

        layer = layer or typical_layer(blocks(net.layers)).name
        watch.says(f"timing {net.name} {layer}")
        measured = measure(net, layer, recipe, steps=steps)
    if as_json:
        typer.echo(json.dumps(_document(measured), allow_nan=False))
        return
    print_table(("bench", f"{measured.model} {measured.layer}"), _rows(measured))
    for reason in measured.plan.reasons:
        note(reason)


command = with_recipe_options(bench, only=_SETTINGS)


def _rows(measured: Bench) -> list[tuple[str, str]]:
    rate, bare = measured.image_steps_per_second, measured.bare_image_steps_per_second
    rows = [
        ("machine", measured.machine),
        *run_as(measured.plan.resolved),
        ("images", f"{measured.images_per_second:.3g} a second, of {measured.recipe_steps} steps"),
        ("image-steps", f"{rate:.4g} a second (median over {measured.timed_steps} steps of the batch)"),
        ("bare network", f"{bare:.4g} image-steps a second; the loop takes {measured.loop_to_bare:.2f} times as long"),
        *_whole(measured),
    ]
    if measured.flops is not None:
        shares = f"loop {measured.share_of_peak:.0%}, bare network {measured.bare_share_of_peak:.0%}"
        work = f"{_si(measured.peak_flops)}FLOP a second in matrix products; {_si(measured.flops)}FLOP an image-step"
        rows += [("peak", work), ("share of peak", shares)]
    rows += [
        ("a step", ", ".join(f"{part} {share:.0%}" for part, share in measured.split.items())),
        ("memory", f"{measured.bytes_per_image / 2**20:.3g} MiB an image, between forward and backward"),
    ]
    if measured.peak_bytes is not None:
        whose = "of the process" if measured.plan.resolved.device == "cpu" else "on the accelerator"
        rows.append(("most memory", f"{measured.peak_bytes / 2**20:.0f} MiB {whose}"))
    return rows


def _si(amount: float | int) -> str:
    """`61.2 G`, in thousands."""
    number = float(amount)
    for prefix in ("", "k", "M", "G", "T"):
        if number < 1000:
            return f"{number:.3g} {prefix}"
        number /= 1000
    return f"{number:.3g} P"


def _document(measured: Bench) -> dict[str, Any]:
    derived = ("images_per_second", "share_of_peak", "bare_share_of_peak")
    plain = {name: value for name, value in asdict(measured).items() if name != "plan"}
    plan = measured.plan
    return {
        "pellucid": __version__,
        **plain,
        **{name: getattr(measured, name) for name in derived},
        "resolved": asdict(plan.resolved) | {"hash": plan.resolved.hash},
        "reasons": list(plan.reasons),
    }


def _whole(measured: Bench) -> list[tuple[str, str]]:
    """The bare network as one batch, where the loop runs in lanes."""
    if measured.plan.resolved.lanes == 1:
        return []
    return [("… as one batch", f"on all threads: the loop takes {measured.loop_to_whole:.2f} times as long")]
