"""`pellucid dream`: a photo with what a network sees in it made stronger."""

from __future__ import annotations

import json
import math
import time
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pellucid.app.cli.model_options import Mean, Spec, Std, Weights, open_model
from pellucid.app.cli.output import Output
from pellucid.app.cli.progress import watched
from pellucid.app.cli.tables import note, print_table
from pellucid.ascent.dream_recipe import DreamRecipe
from pellucid.ascent.progress import duration
from pellucid.errors import ImageError, TargetError
from pellucid.models.targets import Target

if TYPE_CHECKING:
    from pellucid.ascent.dreams import Dream

__all__ = ["command"]

_HELP = {setting.name: setting.metadata["help"] for setting in fields(DreamRecipe)}
_DEFAULT = DreamRecipe()


def command(
    model: Spec,
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="The picture to dream.", show_default=False)],
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER", help="Make stronger all that this layer finds interesting (pellucid layers MODEL)."
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="TARGET", help="Or any other target: mixed4a:12, logit:goldfish, 'mixed4a + 2*mixed5a'."),
    ] = None,
    guide: Annotated[
        Path | None,
        typer.Option(metavar="PHOTO", help="Make stronger only what the layer sees in this picture, too."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="By default PHOTO-dream.png, here.", show_default=False),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Also write each octave's picture, as NAME-octave-1.png and so on.")
    ] = False,
    octaves: Annotated[int, typer.Option(metavar="N", help=_HELP["octaves"])] = _DEFAULT.octaves,
    octave_scale: Annotated[float, typer.Option(metavar="X", help=_HELP["octave_scale"])] = _DEFAULT.octave_scale,
    steps: Annotated[int, typer.Option(metavar="N", help=_HELP["steps"])] = _DEFAULT.steps,
    rate: Annotated[float, typer.Option(metavar="X", help=_HELP["rate"])] = _DEFAULT.rate,
    tile: Annotated[int | None, typer.Option(metavar="PX", help=_HELP["tile"])] = None,
    size: Annotated[int | None, typer.Option(metavar="PX", help=_HELP["size"])] = None,
    seed: Annotated[int, typer.Option(metavar="N", help=_HELP["seed"])] = _DEFAULT.seed,
    device: Annotated[str, typer.Option(metavar="NAME", help=_HELP["device"])] = _DEFAULT.device,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document about the dream; no bar.")] = False,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
) -> None:
    """Dream a photo: make stronger what a network sees in it (DeepDream)."""
    recipe = DreamRecipe(
        octaves=octaves,
        octave_scale=octave_scale,
        steps=steps,
        rate=rate,
        tile=tile,
        size=size,
        seed=seed,
        device=device,
    )
    wanted = _target(layer, target)
    if not photo.is_file():
        raise ImageError(f"'{photo}' is a folder, not a picture" if photo.is_dir() else f"no file '{photo}'")
    place = Output.given(output or f"./{photo.stem}-dream.png")
    file = place.path / f"{photo.stem}-dream.png" if place.is_folder else place.path
    began = time.perf_counter()
    with watched(quiet=as_json) as watch:
        watch.says(f"loading {model}")
        net = open_model(model, weights=weights, mean=mean, std=std)
        from pellucid.ascent.dream import dream

        with watch.stops_on_interrupt():
            dreamt = dream(net, photo, wanted, guide=guide, keep=keep, recipe=recipe, callback=watch)
    dreamt.save(file)
    kept = _save_octaves(dreamt, file)
    seconds = round(time.perf_counter() - began, 2)
    _report(dreamt, file, kept, seconds, as_json=as_json)
    if watch.interrupted:
        raise typer.Exit(130)
    raise typer.Exit(0 if dreamt.status.is_good else 1)


def _target(layer: str | None, target: str | None) -> Target:
    """What the two options name.

    Raises:
        TargetError: none or both were given, or the text is no target.
    """
    if layer is not None and target is not None:
        raise TargetError("--layer and --target were both given; one of them says what to dream of")
    if (text := layer or target) is None:
        raise TargetError(
            "what to dream of? Name a layer, such as --layer mixed4a (pellucid layers MODEL), or --target"
        )
    return Target.parse(text)


def _save_octaves(dreamt: Dream, file: Path) -> list[Path]:
    from pellucid.images import files

    kept = []
    for number, octave in enumerate(dreamt.octaves, 1):
        if octave.image is not None:
            kept.append(file.with_name(f"{file.stem}-octave-{number}{file.suffix}"))
            record = {**dreamt.provenance(), "octave": number}
            files.write(kept[-1], octave.image, metadata={"pellucid": json.dumps(record)})
    return kept


def _report(dreamt: Dream, file: Path, kept: list[Path], seconds: float, *, as_json: bool) -> None:
    """A table of the octaves, then what became of the whole; or one document."""
    if as_json:
        document: dict[str, Any] = {
            **dreamt.provenance(),
            "file": str(file),
            "kept": [str(path) for path in kept],
            "seconds": seconds,
            "interrupted": dreamt.status.state == "interrupted",
        }
        typer.echo(json.dumps(document, allow_nan=False))
        return
    rows = [
        (f"{o.size[0]}×{o.size[1]}", f"{o.tile[0]}×{o.tile[1]}", f"{o.scores[0]:.4g}", f"{o.scores[-1]:.4g}")
        for o in dreamt.octaves
        if o.scores
    ]
    print_table(("octave", "tile", "first score", "last score"), rows, numeric=("first score", "last score"))
    if dreamt.status.state == "interrupted":
        note(f"pellucid: interrupted; saved what there is in {file}")
    elif dreamt.status.state == "dead":
        note(f"pellucid: {dreamt.target} has no gradient anywhere in this photo; {file} is the photo as it was")
    elif not math.isfinite(dreamt.score):
        note(f"pellucid: the gradient is no longer finite; {file} is what there was before")
    else:
        rise = f"{dreamt.photo_score:.4g} in the photo, {dreamt.score:.4g} in the dream"
        note(f"{dreamt.target}: {rise}; {file} ({duration(seconds)})")
