"""`pellucid accentuate`: a photo with what a target sees in it made stronger."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pellucid.app.cli.layers import typical_layer
from pellucid.app.cli.model_options import Mean, Spec, Std, Weights, open_model
from pellucid.app.cli.output import AsJson, Output
from pellucid.app.cli.progress import watched
from pellucid.app.cli.recipe_options import RecipeFile, read_recipe, with_recipe_options
from pellucid.app.cli.tables import note, print_table
from pellucid.app.plan_file import kept_plans
from pellucid.ascent.progress import duration
from pellucid.errors import ImageError, RecipeError
from pellucid.models.blocks import blocks
from pellucid.models.targets import Target

if TYPE_CHECKING:
    from pellucid.ascent.accentuate import Accent
    from pellucid.ascent.rendering import Rendering

__all__ = ["command"]


def accentuate(
    model: Spec,
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="The picture to start from.", show_default=False)],
    target: Annotated[
        str,
        typer.Argument(metavar="TARGET", help="What to make stronger: logit:tabby, mixed4a:12.", show_default=False),
    ],
    pull: Annotated[
        float,
        typer.Option(metavar="X", help="How strongly the photo is held: 0 not at all, 0.3 little, 3 nearly as it is."),
    ] = 1.0,
    pull_layer: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER",
            help="Whose view of the photo is held; by default a layer about two thirds deep.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FILE|DIR", help="By default PHOTO-TARGET.png, here.", show_default=False
        ),
    ] = None,
    recipe_file: RecipeFile = None,
    sidecar: Annotated[
        bool, typer.Option("--sidecar/--no-sidecar", help="Beside it, its floats and provenance (safetensors).")
    ] = True,
    as_json: AsJson = False,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
    *,
    settings: dict[str, Any],
) -> None:
    """Make stronger what a target sees in a photo, and hold the rest.

    The photo is cut and scaled to cover the network's size (or --size). --learning-rate is 0.05 here, unless given.
    """
    began = time.perf_counter()
    recipe = read_recipe(recipe_file, settings)
    if not 0 <= pull < float("inf"):
        raise RecipeError(f"--pull is a number from 0 (free) upwards, not {pull}")
    wanted = Target.parse(target)
    if not photo.is_file():
        raise ImageError(f"'{photo}' is a folder, not a picture" if photo.is_dir() else f"no file '{photo}'")
    file = Output.single(output, f"{photo.stem}-{wanted.slug}").path
    if file.resolve() == photo.resolve():
        raise ImageError(f"the picture would take the photo's place, '{photo}'; give -o another name")
    with watched(quiet=as_json) as watch, kept_plans():
        watch.says(f"loading {model}")
        net = open_model(model, weights=weights, mean=mean, std=std, size=recipe.size)
        from pellucid.app.cli.saving import save_snapshot
        from pellucid.ascent.accentuate import Accent

        layer = pull_layer or typical_layer(blocks(net.layers)).name
        accent = Accent.of(net, photo, wanted, layer, recipe, {})
        watch.says(f"weighing {wanted} against {layer}")
        with watch.stops_on_interrupt():
            made = accent.render(pull, callback=watch)
        made.save(file, sidecar=sidecar)
        for step in made.snapshots:
            save_snapshot(made, step, file)
    _report(accent, made, file, pull, time.perf_counter() - began, as_json=as_json, interrupted=watch.interrupted)
    raise typer.Exit(130 if watch.interrupted else 0 if any(status.is_good for status in made.status) else 1)


command = with_recipe_options(accentuate)


def _report(
    accent: Accent, made: Rendering, file: Path, pull: float, seconds: float, *, as_json: bool, interrupted: bool
) -> None:
    """How strong the target has become and how far the picture has gone, as a table or as one document."""
    scores, distances = (numbers.tolist() for numbers in accent.judged(made.images))
    photo_score = accent.photo_score
    if not as_json:
        columns = ("target", "in the photo", "now", f"away at {accent.layer}", "status")
        rows = [
            (str(accent.target), f"{photo_score:.4g}", f"{score:.4g}", f"{distance:.2f}", str(status))
            for score, distance, status in zip(scores, distances, made.status, strict=True)
        ]
        print_table(columns, rows, numeric=columns[1:4])
        how = "interrupted; what there is, is in" if interrupted else "the photo accentuated in"
        note(f"{how} {file} ({duration(seconds)})")
        return
    pictures = [
        {**made.provenance(row), "target_score": score, "distance": distance}
        for row, (score, distance) in enumerate(zip(scores, distances, strict=True))
    ]
    document = {
        "photo": accent.name,
        "target": str(accent.target),
        "photo_score": photo_score,
        "pull": pull,
        "pull_layer": accent.layer,
        "file": str(file),
        "images": pictures,
        "seconds": round(seconds, 2),
        "interrupted": interrupted,
    }
    typer.echo(json.dumps(document, allow_nan=False))
