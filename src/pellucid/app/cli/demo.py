"""`pellucid demo`: a contact sheet, a page to look through and an atlas of a layer, made by the embedded network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pellucid.app.cli.model_options import Weights, open_model
from pellucid.app.cli.output import writable_folder
from pellucid.app.cli.progress import watched
from pellucid.app.cli.tables import note
from pellucid.app.plan_file import kept_plans
from pellucid.ascent.progress import duration

__all__ = ["demo"]


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="The folder to fill; it may exist.")
    ] = Path("demo"),
    weights: Weights = None,
    steps: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Steps per picture at most: fewer are quicker and poorer.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Another number gives other pictures.")] = 0,
) -> None:
    """Make a contact sheet, a page to look through and an atlas of a layer, with the embedded network."""
    writable_folder(output)
    with watched() as watch, kept_plans():
        watch.says("loading the embedded network")
        model = open_model("default", weights=weights)
        from pellucid.app.demo.exhibition import make_demo
        from pellucid.app.demo.units import hang_units

        note(f"From {model.name}'s first layer to its last, then every unit of one; one to two minutes on two cores.")
        made = make_demo(model, output, steps=steps, seed=seed, on_progress=watch.goes_on)
        watch.says("opening the atlas")
        source = {"spec": "default"} if weights is None else None
        hung = hang_units(model, output, steps=steps, seed=seed, source=source, on_progress=watch.goes_on)
    typer.echo(f"{made.num_pictures} pictures in {duration(made.seconds)}. Open {made.page} (sheet: {made.sheet}).")
    typer.echo(f"{hung.num_units} units in an atlas. Open {hung.page}, or: pellucid view {hung.atlas}")
