"""`pellucid attribute`: which parts of a photo, and which units, a target's score comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pellucid.app.cli.model_options import Mean, Spec, Std, Weights, open_model, read_size
from pellucid.app.cli.output import AsJson, Output
from pellucid.app.cli.progress import watched
from pellucid.app.cli.tables import note, print_table
from pellucid.errors import ImageError, TargetError, did_you_mean
from pellucid.models.targets import Target

if TYPE_CHECKING:
    from pellucid.explain.attribution import Attribution
    from pellucid.explain.contributions import Contributions

__all__ = ["command"]

# As in `explain.attribution`, which imports torch; a test says that they are the same.
METHODS = ("gradient", "smoothgrad", "integrated-gradients", "occlusion", "grad-cam")


def command(
    model: Spec,
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="The picture to explain.", show_default=False)],
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="Whose score: logit:tabby, mixed4a:12.", show_default=False)
    ],
    method: Annotated[
        str, typer.Option(metavar="NAME", help=f"{', '.join(METHODS)}; or all of them, side by side: all.")
    ] = "integrated-gradients",
    layer: Annotated[
        str | None,
        typer.Option(metavar="LAYER", help="Grad-CAM's; a unit's own or the last with positions.", show_default=False),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER", help="Also name the units of this layer that contribute most.", show_default=False
        ),
    ] = None,
    top: Annotated[int, typer.Option(metavar="N", help="How many units --at names.")] = 10,
    samples: Annotated[int, typer.Option(metavar="N", help="Steps of integration, or noisy copies.")] = 64,
    window: Annotated[
        int | None,
        typer.Option(metavar="PX", help="Of occlusion; an eighth of the photo's side.", show_default=False),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FILE|DIR", help="By default PHOTO-TARGET.png, here.", show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
    size: Annotated[
        str | None,
        typer.Option(metavar="H[xW]", help="What the photo is cut and scaled to cover.", show_default=False),
    ] = None,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
) -> None:
    """Show which parts of a photo a target's score comes from, and by which units.

    The picture shows the photo and, beside it, where it raises the score (red) and lowers it (blue).
    """
    if method not in (*METHODS, "all"):
        hint = did_you_mean(method, METHODS)
        raise TargetError(f"no method {method!r} of attribution.{hint} There are: {', '.join(METHODS)}, all.")
    wanted = Target.parse(target)
    if not photo.is_file():
        raise ImageError(f"'{photo}' is a folder, not a picture" if photo.is_dir() else f"no file '{photo}'")
    file = Output.single(output, f"{photo.stem}-{wanted.slug}").path
    if file.resolve() == photo.resolve():
        raise ImageError(f"the picture would take the photo's place, '{photo}'; give -o another name")
    with watched(quiet=as_json) as watch:
        watch.says(f"loading {model}")
        net = open_model(model, weights=weights, mean=mean, std=std, size=read_size(size))
        from pellucid.explain.attribution import attribute
        from pellucid.explain.contributions import contributions_to
        from pellucid.explain.overlay import sheet_of
        from pellucid.images.files import write

        methods = METHODS if method == "all" else (method,)
        found = []
        for one in methods:
            watch.says(one)
            found.append(attribute(net, photo, wanted, one, layer=layer, samples=samples, window_px=window))
        units = contributions_to(net, photo, wanted, at) if at is not None else None
        about = {"pellucid": "attribution", "model": net.name, "model_hash": net.weights_hash, "target": str(wanted)}
        write(file, sheet_of(found), metadata={"pellucid": json.dumps({**about, "methods": list(methods)})})
    _report(found, units, top, file, photo, as_json=as_json)


def _report(
    found: list[Attribution], units: Contributions | None, top: int, file: Path, photo: Path, *, as_json: bool
) -> None:
    """What was found, as a table or as one document."""
    if as_json:
        document = {
            "photo": str(photo),
            "target": found[0].target,
            "score": found[0].score,
            "file": str(file),
            "methods": [
                {"method": one.method, "layer": one.layer, "blank_score": one.blank_score, "missing": one.missing}
                for one in found
            ],
            "units": [{"unit": name, "contribution": value} for name, value in units.strongest(top)] if units else [],
        }
        typer.echo(json.dumps(document, allow_nan=False))
        return
    rows = [
        (
            one.method,
            f"{one.score:.4g}",
            "–" if one.blank_score is None else f"{one.blank_score:.4g}",
            "–" if one.missing is None else f"{one.missing:.2g}",
        )
        for one in found
    ]
    print_table(("method", "score", "blank picture", "not explained"), rows, numeric=("score", "blank picture"))
    if units is not None:
        note(f"the units of {units.layer} that contribute most, by {units.way}:")
        print_table(("unit", "contribution"), [(name, f"{value:+.4g}") for name, value in units.strongest(top)])
    note(f"{found[0].target} over the photo: {file}")
