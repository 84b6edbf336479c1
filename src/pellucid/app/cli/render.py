"""`pellucid render`: pictures of what targets of a network look for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pellucid.app.cli.model_options import Mean, Spec, Std, Weights, open_model
from pellucid.app.cli.output import AsJson, Output, writable_video
from pellucid.app.cli.plan_table import explain
from pellucid.app.cli.progress import Watch, watched
from pellucid.app.cli.recipe_options import RecipeFile, read_recipe, with_recipe_options
from pellucid.app.plan_file import kept_plans
from pellucid.ascent.snapshots import video_steps
from pellucid.models.targets import Target

if TYPE_CHECKING:
    from pellucid.ascent.recipe import Recipe
    from pellucid.ascent.rendering import Rendering
    from pellucid.models.model import Model

__all__ = ["EPILOG", "command"]

# Typer joins single lines, so each stands in a paragraph of its own.
EPILOG = "\n\n".join(
    [
        "[bold]Targets[/bold]  (pellucid layers MODEL names the layers)",
        "[cyan]mixed4a:12[/cyan]   a channel, over all positions",
        "[cyan]mixed4a:12@4,7[/cyan]   its neuron at row 4, column 7; @c the centre; @4,: a row;"
        " @2:5,3:9 a rectangle; @cls @patch tokens",
        "[cyan]mixed4a:3-17  mixed4a:*[/cyan]   several channels, a picture each",
        "[cyan]mixed4a[/cyan]   the whole layer (DeepDream)",
        "[cyan]neg:mixed4a:12[/cyan]   what the channel is least like (or -mixed4a:12, behind --)",
        "[cyan]logit:goldfish  logit:1  prob:1  logprob:1[/cyan]   a class",
        "[cyan]mixed4a:12~max[/cyan]   a unit by its strongest position; ~sum ~norm ~pooled ~cosine ~l1 ~l2 ~linf"
        " ~largest"
        " ~level=3.5",
        "[cyan]caricature:mixed4a@PHOTO  inversion:mixed4a@PHOTO[/cyan]   what a layer sees in a photo",
        "[cyan]match:mixed4a@FOLDER[/cyan]   a picture whose activations are distributed as those of real photos",
        "[cyan]dir:mixed4a@FILE.npy[/cyan]   a direction in a layer's channel space",
        "[cyan]'0.7*mixed4a:3 + mixed4b:5'[/cyan]   a weighted sum",
        "[bold]Exit codes[/bold]  0: at least one picture. 1: none could be made. 2: a mistake in what was asked."
        " 130: Ctrl-C; what there is, is saved.",
    ]
)


def render(
    model: Spec,
    targets: Annotated[list[str], typer.Argument(metavar="TARGET", help="What to look at.", show_default=False)],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|DIR",
            help="A file (several targets: one contact sheet) or a folder (a file each). By default TARGET.png, or for "
            "several a folder named after the network.",
            show_default=False,
        ),
    ] = None,
    recipe_file: RecipeFile = None,
    contact_sheet: Annotated[
        bool, typer.Option("--contact-sheet", help="With a folder: also contact-sheet.png, of all pictures.")
    ] = False,
    video: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also a video of the run (.mp4, .gif or .webp), all targets on one sheet, also where -o is a folder; "
            "of the --snapshots, or else of 60 steps, most of them early.",
        ),
    ] = None,
    sidecar: Annotated[
        bool,
        typer.Option("--sidecar/--no-sidecar", help="Beside each picture, its floats and provenance (safetensors)."),
    ] = True,
    explain_plan: Annotated[
        bool, typer.Option("--explain-plan", help="Print how the run would be done, and why; render nothing.")
    ] = False,
    as_json: AsJson = False,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
    *,
    settings: dict[str, Any],
) -> None:
    """Render what each target looks for."""
    recipe = read_recipe(recipe_file, settings)
    asked = [Target.parse(text) for text in targets]
    opened = partial(open_model, model, weights=weights, mean=mean, std=std, size=recipe.size)
    if explain_plan:
        explain(opened, asked, recipe, as_json=as_json)
        return
    place = Output.given(output) if output is not None else None
    keeps_snapshots = bool(recipe.snapshots)
    if video is not None:
        writable_video(video, beside=place)
        recipe = recipe if keeps_snapshots else replace(recipe, snapshots=video_steps(recipe.total_steps))
    with watched(quiet=as_json) as watch, kept_plans():
        watch.says(f"loading {model}")
        net = opened()
        from pellucid.app.cli.saving import Saving
        from pellucid.objectives.from_target import expand_targets

        singles = expand_targets(asked, net)
        pictures = [target for target in singles for _ in range(recipe.members)]
        place = place or Output.chosen(model, [target.slug for target in pictures])
        saving = Saving(
            place, pictures, sidecar=sidecar, keeps_snapshots=keeps_snapshots, keeps_reels=video is not None
        )
        try:
            with watch.stops_on_interrupt():
                for rendering in _finished(net, singles, recipe, place, watch):
                    saving.save(rendering)
        except KeyboardInterrupt:  # pressed twice
            watch.interrupted = True
        if contact_sheet and place.is_folder:
            saving.save_contact_sheet()
        if video is not None:
            watch.says("writing the video")
            saving.save_video(video)
    report = saving.report(net, recipe, interrupted=watch.interrupted)
    typer.echo(report.json()) if as_json else report.show()
    raise typer.Exit(report.exit_code)


command = with_recipe_options(render)


def _finished(net: Model, targets: list[Target], recipe: Recipe, place: Output, watch: Watch) -> Iterator[Rendering]:
    """Renderings as they are to be saved: one by one for a folder, all as one for a file."""
    import pellucid as pl

    if place.is_folder:
        yield from pl.stream(net, targets, recipe=recipe, callback=watch)
    else:
        yield pl.render(net, targets, recipe=recipe, callback=watch)
