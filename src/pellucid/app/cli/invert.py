"""`pellucid invert`: from a picture to the units it is the picture of."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pellucid.app.cli.model_options import Mean, Spec, Std, Weights, open_model
from pellucid.app.cli.output import AsJson, Output
from pellucid.app.cli.progress import watched
from pellucid.app.cli.tables import note, print_table
from pellucid.ascent.progress import duration
from pellucid.errors import ImageError

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from pellucid.ascent.rendering import Rendering
    from pellucid.inverse.inversion import Inversion
    from pellucid.models.model import Model

__all__ = ["invert"]

_ROWS = 10  # units of a table


def invert(
    model: Spec,
    image: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGE",
            help="A picture that render has saved, with its sidecar beside it; or any other picture.",
            show_default=False,
        ),
    ],
    layer: Annotated[
        str | None,
        typer.Option("--layer", metavar="LAYER", help="Whose units; by default those the picture was rendered for."),
    ] = None,
    cosine_power: Annotated[
        int | None,
        typer.Option(metavar="K", help="Power of the cosine it was made with; known of a saved rendering."),
    ] = None,
    aggregation: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="How maps became numbers: pooled, mean or centre; likewise."),
    ] = None,
    noise: Annotated[
        float | None,
        typer.Option(metavar="X", help="Spread of the noise the Jacobian is averaged over; 0: none.", min=0),
    ] = None,
    noise_draws: Annotated[
        int | None, typer.Option(metavar="N", help="Evaluations of the noise, an even number.")
    ] = None,
    critical_space: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="What can be told at all, as CriticalSpace.save wrote it.", show_default=False
        ),
    ] = None,
    signed: Annotated[bool, typer.Option("--signed", help="Weights may be negative.")] = False,
    draw: Annotated[
        bool,
        typer.Option("--render", help="Also draw the answer: the picture optimised on for it, and from noise."),
    ] = False,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="The chart; by default IMAGE-inverted.png, here."),
    ] = None,
    as_json: AsJson = False,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
) -> None:
    """Find the objective that a picture is the feature visualization of: units of a layer, with their weights."""
    began = time.perf_counter()
    if not image.is_file() and not image.with_suffix(".safetensors").is_file():
        raise ImageError(f"no file '{image}'")
    file = Output.single(output, f"{image.stem}-inverted").path
    if file.resolve() == image.resolve():
        raise ImageError(f"the chart would take the picture's place, '{image}'; give -o another name")
    with watched(quiet=as_json) as watch:
        watch.says(f"loading {model}")
        net = open_model(model, weights=weights, mean=mean, std=std)
        from pellucid.inverse.critical_spaces import CriticalSpace
        from pellucid.inverse.inverting import invert as invert_pictures

        pictures = _opened(net, image)
        space = CriticalSpace.load(critical_space) if critical_space is not None else None
        watch.says("taking the picture back")
        found = invert_pictures(
            net,
            pictures,
            layer,
            cosine_power=cosine_power,
            aggregation=aggregation,
            noise=noise,
            noise_draws=noise_draws,
            critical_space=space,
            nonnegative=not signed,
            verify=draw,
        )
        drawn = None
        if draw:
            watch.says("drawing the answer")
            drawn = _drawn(net, pictures, found)
        _save_chart(net, pictures, found, drawn, file)
    _report(found, file, time.perf_counter() - began, as_json=as_json)


def _opened(net: Model, image: Path) -> Rendering | Float[Tensor, "1 c h w"]:
    """What was saved beside the picture, or the picture itself in the network's range, cut to its size."""
    from pellucid.ascent.rendering import Rendering
    from pellucid.images.files import read
    from pellucid.images.fitting import fitted
    from pellucid.models.value_range import in_range

    if image.with_suffix(".safetensors").is_file():
        return Rendering.load(image)
    shown = fitted(read(image, channels=net.channels)[None], net.size).clamp(0, 1)
    return in_range(shown, net.value_range)


def _drawn(net: Model, pictures: Rendering | Tensor, found: Inversion) -> Tensor:
    """The answers rendered from noise, as the pictures were, in [0, 1]."""
    from torch import Tensor

    from pellucid.ascent.render import render
    from pellucid.inverse.evaluation import RECIPE

    objectives = [found.objective(row) for row in range(len(found))]
    recipe: Any = RECIPE if isinstance(pictures, Tensor) else pictures.recipe
    return render(net, objectives, recipe=recipe).pictures


def _save_chart(net: Model, pictures: Rendering | Tensor, found: Inversion, drawn: Tensor | None, file: Path) -> None:
    from torch import Tensor

    from pellucid.images.whole_files import written_whole
    from pellucid.inverse.chart import chart

    low, high = net.value_range
    shown = (pictures - low) / (high - low) if isinstance(pictures, Tensor) else pictures.pictures
    with written_whole(file) as out:
        chart(found, shown.float(), drawn=drawn).savefig(out, format=file.suffix[1:], dpi=110)


def _report(found: Inversion, file: Path, seconds: float, *, as_json: bool) -> None:
    """The units of each answer, ranked, with the doubts; or one document."""
    if as_json:
        pictures = [found.as_dict(row) for row in range(len(found))]
        document = {"images": pictures, "file": str(file), "seconds": round(seconds, 2)}
        typer.echo(json.dumps(document, allow_nan=False))
        return
    family = found.family
    columns = ("unit", "weight", "response", "picture") if len(found) > 1 else ("unit", "weight", "response")
    rows = []
    for which in range(len(found)):
        response = found.responses[which] / found.responses[which].norm()
        for unit, weight in found.ranked(which, _ROWS if len(found) == 1 else 3):
            cells = (f"{family.layer}:{unit}", f"{weight:.3f}", f"{float(response[unit]):.3f}")
            rows.append((*cells, found.targets[which]) if len(found) > 1 else cells)
    print_table(columns, rows, numeric=("weight", "response"))
    for which in range(len(found)):
        name = f"{found.targets[which]}: " if len(found) > 1 else ""
        for line in _remarks(found, which):
            note(f"{name}{line}")
    note(f"the chart is in {file} ({duration(seconds)})")


def _remarks(found: Inversion, which: int) -> list[str]:
    """How certain one answer is, in lines."""
    lines = []
    if (bound := found.certificates[which]) is not None:
        lines.append(f"certain to {bound:.2g} degrees: the gradient at the end of rendering is known")
    if found.verification is not None:
        ssim = float(found.verification.ssim[which])
        stays = "stays as it is" if not found.verification.is_outlier[which] else "does not stay: doubt the answer"
        lines.append(f"optimised on for the answer the picture {stays} (SSIM {ssim:.3f})")
    if found.exploratory[which]:
        lines.append("exploratory: read it as a suggestion")
    return lines + [str(doubt) for doubt in found.warnings[which]]
