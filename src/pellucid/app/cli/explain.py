"""`pellucid explain`: a photo explained by the units of a layer, as one page."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pellucid.app.cli.model_options import Device, Mean, Size, Spec, Std, Weights, open_model, read_size
from pellucid.app.cli.output import AsJson, writable_folder
from pellucid.app.cli.page_options import AtlasOption, PageFolder, Pictures, SpatialLayer, SurveyOption, sources
from pellucid.app.cli.progress import watched
from pellucid.app.cli.tables import note, print_table
from pellucid.app.plan_file import kept_plans
from pellucid.ascent.progress import duration
from pellucid.errors import ImageError

if TYPE_CHECKING:
    from pellucid.explain.explanation import Explanation

__all__ = ["command"]


def command(
    model: Spec,
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="The picture to explain.", show_default=False)],
    output: PageFolder,
    layer: SpatialLayer = None,
    class_: Annotated[
        str | None,
        typer.Option("--class", metavar="CLASS", help="What units add to this class; by default the predicted one."),
    ] = None,
    count: Annotated[int, typer.Option(metavar="N", help="Units to show in full.")] = 5,
    by: Annotated[
        str, typer.Option(metavar="ORDER", help="Ranked by activation, percentile or contribution.")
    ] = "activation",
    survey: SurveyOption = None,
    atlas: AtlasOption = None,
    pictures: Pictures = True,
    size: Size = None,
    device: Device = None,
    as_json: AsJson = False,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
) -> None:
    """Explain a photo: which units of a layer fire, how unusually, where, for which class, and what they look for."""
    if not photo.is_file():
        raise ImageError(f"'{photo}' is a folder, not a picture" if photo.is_dir() else f"no file '{photo}'")
    writable_folder(output)
    began = time.perf_counter()
    with watched(quiet=as_json) as watch, kept_plans():
        watch.says(f"loading {model}")
        net = open_model(model, weights=weights, mean=mean, std=std, size=read_size(size), device=device)
        from pellucid.explain.photo import explain

        watch.says("looking at the photo")
        given = sources(net, atlas, watch, rendered=pictures)
        found = explain(net, photo, layer, of=class_, count=count, by=by, survey=survey, pictures=given)
        page = found.save(output)
    _report(found, page, time.perf_counter() - began, as_json=as_json)


def _report(found: Explanation, page: Path, seconds: float, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({**found.record(), "page": str(page), "seconds": round(seconds, 2)}))
        return
    rows: list[tuple[Any, ...]] = [
        (
            str(unit.rank),
            unit.target,
            f"{unit.activation:.3g}",
            "" if unit.percentile is None else f"{unit.percentile:.1f} %",
            "" if unit.contribution is None else f"{unit.contribution:+.3g}",
        )
        for unit in found.units
    ]
    names = ("", "unit", "activation", "stronger than on", f"adds to {found.aim}")
    print_table(names, rows, numeric=("", *names[2:]))
    says = ", ".join(f"{name} {100 * share:.0f} %" for name, share in found.predictions[:3])
    note(f"{found.model_name} says: {says}" if says else f"{found.model_name} names no classes")
    note(f"{page} ({duration(seconds)})")
