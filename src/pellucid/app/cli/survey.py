"""`pellucid survey`: what every unit of a network does on a dataset, in one pass."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pellucid.app.cli.model_options import Device, Mean, Size, Spec, Std, Weights, open_model, read_size
from pellucid.app.cli.output import AsJson, writable_folder
from pellucid.app.cli.progress import watched
from pellucid.app.cli.tables import note, print_table
from pellucid.ascent.progress import duration

if TYPE_CHECKING:
    from pellucid.survey.result import Survey

__all__ = ["Classes", "DatasetArgument", "command"]

_SHOWN_SKIPPED = 5

DatasetArgument = Annotated[
    str,
    typer.Argument(
        metavar="DATASET",
        help="A folder of pictures (class folders give labels), a .parquet file, or a pattern: 'train-*.parquet'.",
        show_default=False,
    ),
]
Classes = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Names of the labels, one a line in order, where the dataset has none."),
]


def command(
    model: Spec,
    dataset: DatasetArgument,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="Where the survey goes, and goes on.", show_default=False),
    ],
    layers: Annotated[
        list[str] | None,
        typer.Option(
            "--layers", metavar="GLOB", help="Layers by name or pattern; several times for several. Default: all."
        ),
    ] = None,
    classes: Classes = None,
    k: Annotated[int, typer.Option("-k", metavar="N", help="Examples of each kind for every unit.")] = 8,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the random draw of slightly positive examples.")] = 0,
    batch: Annotated[
        int | None, typer.Option(metavar="N", help="Pictures looked at together; by default as suits.")
    ] = None,
    size: Size = None,
    device: Device = None,
    as_json: AsJson = False,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
) -> None:
    """Survey a dataset: for every unit its strongest and weakest pictures, histograms and classes, in one pass.

    Cut off, even by kill -9, the same command goes on where it last saved. The result is units.parquet (a row a unit)
    and pictures.parquet (the examples), for pellucid explain --survey DIR and for every tool that reads Parquet.
    """
    began = time.perf_counter()
    writable_folder(output)
    with watched(quiet=as_json) as watch:
        watch.says(f"loading {model}")
        net = open_model(model, weights=weights, mean=mean, std=std, size=read_size(size), device=device)
        from pellucid.survey.streaming import survey

        watch.says("reading the dataset")
        with watch.stops_on_interrupt():
            found = survey(
                net,
                dataset,
                output,
                layers=layers,
                classes=classes,
                k=k,
                seed=seed,
                batch=batch,
                callback=lambda done, total: watch.goes_on(f"{done:,} of {total:,} pictures", done / total),
            )
    _report(found, output, time.perf_counter() - began, as_json=as_json)
    raise typer.Exit(130 if not found.is_complete else 0)


def _report(found: Survey, output: Path, seconds: float, *, as_json: bool) -> None:
    if as_json:
        document = {
            "model": found.settings.model,
            "model_hash": found.settings.model_hash,
            "dataset": found.settings.dataset,
            "folder": str(output),
            "pictures": found.num_pictures,
            "skipped": [{"name": one.name, "reason": one.reason} for one in found.skipped],
            "units": len(found.table),
            "layers": len(found.settings.layers),
            "precision": found.settings.precision,
            "is_complete": found.is_complete,
            "seconds": round(seconds, 2),
        }
        typer.echo(json.dumps(document))
        return
    rows = []
    fires, targets = found.table["fires"], found.table.targets
    first = 0
    for layer, count in _unit_counts(targets):
        own = fires[first : first + count]
        rows.append((layer, str(count), str(sum(share == 0 for share in own)), f"{100 * sum(own) / count:.0f} %"))
        first += count
    print_table(("layer", "units", "never fire", "fire on"), rows, numeric=("units", "never fire", "fire on"))
    for one in found.skipped[:_SHOWN_SKIPPED]:
        note(f"skipped: {one.reason}")
    if len(found.skipped) > _SHOWN_SKIPPED:
        note(f"skipped: {len(found.skipped) - _SHOWN_SKIPPED} more, named in {output / 'survey.json'}")
    state = "" if found.is_complete else "interrupted; the same command goes on. Until now: "
    skipped = f", {len(found.skipped)} skipped" if found.skipped else ""
    note(
        f"{state}{len(found.table):,} units on {found.num_pictures:,} pictures{skipped}; {output} ({duration(seconds)})"
    )


def _unit_counts(targets: tuple[str, ...]) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for target in targets:
        layer = target.rpartition(":")[0]
        counts[layer] = counts.get(layer, 0) + 1
    return list(counts.items())
