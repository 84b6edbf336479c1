"""`pellucid audit`: which units carry a class, and what the network can do without them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pellucid.app.cli.model_options import Device, Mean, Size, Spec, Std, Weights, open_model, read_size
from pellucid.app.cli.output import AsJson, writable_folder
from pellucid.app.cli.page_options import AtlasOption, PageFolder, Pictures, SpatialLayer, sources
from pellucid.app.cli.progress import watched
from pellucid.app.cli.survey import Classes, DatasetArgument
from pellucid.app.cli.tables import note, print_table
from pellucid.app.plan_file import kept_plans
from pellucid.ascent.progress import duration

if TYPE_CHECKING:
    from pellucid.explain.audit_result import Audit

__all__ = ["command"]


def command(
    model: Spec,
    dataset: DatasetArgument,
    class_: Annotated[
        str, typer.Option("--class", metavar="CLASS", help="The class to audit, by name or number.", show_default=False)
    ],
    output: PageFolder,
    layer: SpatialLayer = None,
    count: Annotated[int, typer.Option(metavar="N", help="Units to silence one by one.")] = 6,
    classes: Classes = None,
    own: Annotated[int, typer.Option(metavar="N", help="Most photos of the class to look at.")] = 200,
    others: Annotated[int, typer.Option(metavar="N", help="Most photos of other classes.")] = 500,
    atlas: AtlasOption = None,
    pictures: Pictures = True,
    size: Size = None,
    device: Device = None,
    as_json: AsJson = False,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
) -> None:
    """Audit a class for spurious features: which units carry it on its photos, and what is left of it without each."""
    writable_folder(output)
    began = time.perf_counter()
    with watched(quiet=as_json) as watch, kept_plans():
        watch.says(f"loading {model}")
        net = open_model(model, weights=weights, mean=mean, std=std, size=read_size(size), device=device)
        from pellucid.explain.class_audit import audit

        watch.says("reading labels")
        given = sources(net, atlas, watch, rendered=pictures)
        found = audit(
            net,
            dataset,
            class_,
            layer,
            count=count,
            classes=classes,
            own=own,
            others=others,
            pictures=given,
            callback=watch.goes_on,
        )
        page = found.save(output)
    _report(found, page, time.perf_counter() - began, as_json=as_json)


def _report(found: Audit, page: Path, seconds: float, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({**found.record(), "page": str(page), "seconds": round(seconds, 2)}))
        return
    rows = [
        (name, "" if adds is None else f"{adds:+.3g}", _percent(one.accuracy), _percent(one.false_positives))
        for name, adds, one in (
            ("all units at work", None, found.before),
            *((f"without {unit.target}", unit.contribution, unit.without) for unit in found.units),
            (f"without these {len(found.units)}", None, found.together),
        )
    ]
    names = ("", "adds", "recognised", "others taken for it")
    print_table(names, rows, numeric=names[1:])
    for one in found.skipped[:5]:
        note(f"skipped: {one.reason}")
    note(
        f"{found.class_name} on {found.before.num_own} photos of its own and {found.before.num_others} others; "
        f"{page} ({duration(seconds)})"
    )


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
