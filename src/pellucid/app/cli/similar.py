"""`pellucid similar`: which units of a layer answer alike, seen by their pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from pellucid.app.cli.model_options import Mean, Spec, Std, Weights, open_model
from pellucid.app.cli.output import AsJson, writable_folder
from pellucid.app.cli.progress import watched
from pellucid.app.cli.recipe_options import RecipeFile, read_recipe, with_recipe_options
from pellucid.app.cli.tables import note, print_table
from pellucid.app.plan_file import kept_plans
from pellucid.errors import TargetError
from pellucid.models.targets import Target

__all__ = ["command"]

_SHEET_PX = 900  # wide, where pictures are small enough
_SHOWN = 12  # units that the table of a terminal and the sheet show, with their nearest


def similar(
    model: Spec,
    layer: Annotated[
        str,
        typer.Argument(
            metavar="LAYER", help="All units of a layer, mixed4a, or some: mixed4a:0-31.", show_default=False
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where table and pictures go.")] = Path(
        "similar"
    ),
    atlas: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Take pictures from this atlas, and put the table beside them.", show_default=False
        ),
    ] = None,
    nearest: Annotated[int, typer.Option(metavar="N", help="How many nearest units are kept for each.")] = 5,
    recipe_file: RecipeFile = None,
    as_json: AsJson = False,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
    *,
    settings: dict[str, Any],
) -> None:
    """Show every unit of a layer every other's picture, and say who answers alike.

    Writes the matrix of responses as a heat map with like units side by side, the pictures in that order, each unit's
    nearest as a sheet, and a table (units.parquet, nearest.csv). Pictures are kept in DIR/pictures: a second run
    renders nothing twice.
    """
    if nearest < 1:
        raise TargetError(f"--nearest is 1 or more, not {nearest}")
    name, units = _units(layer)
    recipe = read_recipe(recipe_file, settings)
    writable_folder(output)
    with watched(quiet=as_json) as watch, kept_plans():
        watch.says(f"loading {model}")
        net = open_model(model, weights=weights, mean=mean, std=std, size=recipe.size)
        from pellucid.app.atlas_portraits import AtlasPortraits, opened
        from pellucid.app.portrait_folder import PortraitFolder
        from pellucid.ascent.source import FirstOf
        from pellucid.explain.similarity import response_matrix
        from pellucid.images.files import write
        from pellucid.images.sheets import contact_sheet, picture

        with watch.stops_on_interrupt():
            held = opened(atlas)
            folder = PortraitFolder(
                output / "pictures", net, held.card.recipe if held is not None else recipe, callback=watch
            )
            source = FirstOf((AtlasPortraits(held, net), folder)) if held is not None else folder
            found = response_matrix(net, name, source, units)
        table = found.table(net, nearest)
        table.save(output / "units.parquet")
        if held is not None:
            held.put_table("similar", table)
        low, high = net.value_range
        shown = {
            target: picture(((one - low) / (high - low)).clamp(0, 1))
            for target, one in zip(table.targets, found.pictures, strict=True)
        }
        write(output / "heat-map.png", found.heat_map())
        ordered = [table.targets[row] for row in found.order]
        write(output / "clustered.png", contact_sheet([shown[one] for one in ordered], ordered, background="light"))
        cells = [(unit, [unit, *table["nearest_units"][row]]) for row, unit in enumerate(table.targets)]
        several = [one for _, row in cells[:_SHOWN] for one in row]
        columns = 1 + min(nearest, len(shown) - 1)
        enlarge = max(1, _SHEET_PX // columns // max(net.size))
        sheet = contact_sheet(
            [shown[one] for one in several], several, columns=columns, enlarge=enlarge, background="light"
        )
        write(output / "nearest.png", sheet)
        lines = [
            f"{unit},{rank + 1},{other},{value:.4f}"
            for unit, others, values in zip(
                table.targets, table["nearest_units"], table["nearest_similarity"], strict=True
            )
            for rank, (other, value) in enumerate(zip(others, values, strict=True))
        ]
        (output / "nearest.csv").write_text("\n".join(["unit,rank,nearest,correlation", *lines, ""]))
    rows = [
        (unit, ", ".join(f"{other} {value:.2f}" for other, value in zip(others, values, strict=True)))
        for unit, others, values in zip(table.targets, table["nearest_units"], table["nearest_similarity"], strict=True)
    ]
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "layer": name,
                    "units": [
                        {"unit": unit, "nearest": others, "similarity": values}
                        for unit, others, values in zip(
                            table.targets, table["nearest_units"], table["nearest_similarity"], strict=True
                        )
                    ],
                    "own_best": float(found.own_best),
                    "interrupted": watch.interrupted,
                }
            )
        )
    else:
        print_table(("unit", "nearest, with correlation"), rows[:_SHOWN])
        more = f"; {len(rows) - _SHOWN} more in nearest.csv" if len(rows) > _SHOWN else ""
        note(
            f"{float(found.own_best):.0%} of {len(rows)} units are excited most by their own picture{more}. "
            f"Heat map, pictures and table: {output}/"
        )
    raise typer.Exit(130 if watch.interrupted else 0)


command = with_recipe_options(similar)


def _units(text: str) -> tuple[str, list[int] | None]:
    """A layer and the units asked for: None for all.

    Raises:
        TargetError: it is neither a layer nor units of one.
    """
    terms = Target.parse(text).terms
    term = terms[0]
    plain = len(terms) == 1 and term.kind in ("unit", "layer") and not term.negative and term.position is None
    if not plain or isinstance(term.channels, int):
        raise TargetError(
            f"similar takes a layer or several units of one, such as mixed4a or mixed4a:0-31, not {text!r}"
        )
    if isinstance(term.channels, tuple):
        return term.layer, list(range(term.channels[0], term.channels[1] + 1))
    return term.layer, None
