"""`pellucid interpolate`: the row of pictures between two units."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pellucid.app.cli.model_options import Mean, Spec, Std, Weights, open_model
from pellucid.app.cli.output import AsJson, Output
from pellucid.app.cli.progress import watched
from pellucid.app.cli.recipe_options import RecipeFile, read_recipe, with_recipe_options
from pellucid.app.plan_file import kept_plans
from pellucid.models.targets import Target

__all__ = ["command"]


def interpolate(
    model: Spec,
    first: Annotated[
        str,
        typer.Argument(
            metavar="A", help="A channel or a direction: mixed4a:3, dir:mixed4a@FILE.npy.", show_default=False
        ),
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one of the same layer.", show_default=False)],
    pictures: Annotated[int, typer.Option(metavar="N", help="How many, with A and B.")] = 6,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|DIR",
            help="One strip of all pictures. By default A-to-B.png.",
            show_default=False,
        ),
    ] = None,
    recipe_file: RecipeFile = None,
    sidecar: Annotated[
        bool, typer.Option("--sidecar/--no-sidecar", help="Beside the strip, its floats and provenance (safetensors).")
    ] = True,
    as_json: AsJson = False,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
    *,
    settings: dict[str, Any],
) -> None:
    """Render the row of pictures between two channels or directions of a layer.

    All start from the same noise and neighbours are aligned: --alignment is 1 here and --shared-start on, unless given.
    """
    ends = Target.parse(first), Target.parse(second)
    recipe = read_recipe(recipe_file, settings)
    place = Output.single(output, f"{ends[0].slug}-to-{ends[1].slug}")
    with watched(quiet=as_json) as watch, kept_plans():
        watch.says(f"loading {model}")
        net = open_model(model, weights=weights, mean=mean, std=std, size=recipe.size)
        from pellucid.app.cli.saving import Saving
        from pellucid.ascent import interpolate as row

        given = {name: getattr(recipe, name) for name in settings}
        saving = Saving(place, row.ways(*ends, pictures), sidecar=sidecar)
        with watch.stops_on_interrupt():
            made = row.interpolate(net, *ends, pictures=pictures, recipe=recipe, callback=watch, **given)
        labels = [f"t = {number / (pictures - 1):.2g}" for number in range(pictures)]
        saving.save(made, labels=labels, columns=pictures)
    report = saving.report(net, made.recipe, interrupted=watch.interrupted)
    typer.echo(report.json()) if as_json else report.show()
    raise typer.Exit(report.exit_code)


command = with_recipe_options(interpolate)
