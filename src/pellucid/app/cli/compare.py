"""`pellucid compare`: which unit of one network is which of another."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pellucid.app.cli.model_options import open_model
from pellucid.app.cli.output import AsJson, writable_folder
from pellucid.app.cli.progress import Watch, watched
from pellucid.app.cli.tables import note, print_table
from pellucid.ascent.progress import duration
from pellucid.errors import TargetError

if TYPE_CHECKING:
    from torch import Tensor

    from pellucid.inverse.comparison import Comparison
    from pellucid.models.model import Model

__all__ = ["command", "layer_pairs", "unit_numbers"]

_PANEL = "Networks"
_FORMS = "default, plain, torchvision:NAME, timm:NAME, hf:ID or FILE.py:factory"


def command(
    model_a: Annotated[str, typer.Argument(metavar="MODEL_A", help=f"{_FORMS}.", show_default=False)],
    model_b: Annotated[str, typer.Argument(metavar="MODEL_B", help="Likewise.", show_default=False)],
    layers: Annotated[
        str,
        typer.Option(
            metavar="LAYERS",
            help="What to compare: mixed4a, or layer3=mixed4a where the names differ; several with commas.",
            show_default=False,
        ),
    ],
    units: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Units of A: 0-15,40, or all; by default 32, spread evenly."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Pictures for the correlations: a folder, or a Parquet file with a column image."
        ),
    ] = None,
    images: Annotated[int, typer.Option(metavar="N", min=2, help="So many pictures of the data at most.")] = 1000,
    rounds: Annotated[int, typer.Option(metavar="N", min=0, help="How often B redraws A's pictures.")] = 2,
    steps: Annotated[int | None, typer.Option(metavar="N", min=1, help="Steps of ascent per picture.")] = None,
    aggregation: Annotated[
        str, typer.Option(help="How a unit's map becomes a number: pooled, mean or centre.")
    ] = "pooled",
    cosine_power: Annotated[int, typer.Option(metavar="K", min=0, help="Power of the cosine in the objective.")] = 2,
    seed: Annotated[int, typer.Option(metavar="N", help="Another number draws other pictures.")] = 0,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="The folder to fill; it may exist.")
    ] = Path("comparison"),
    as_json: AsJson = False,
    weights_a: Annotated[
        str | None, typer.Option(metavar="FILE", help="Of A; none: random.", rich_help_panel=_PANEL)
    ] = None,
    weights_b: Annotated[
        str | None, typer.Option(metavar="FILE", help="Of B; none: random.", rich_help_panel=_PANEL)
    ] = None,
) -> None:
    """Match units of two networks, through their pictures and through what they answer to data."""
    pairs = layer_pairs(layers)
    chosen = unit_numbers(units)
    writable_folder(output)
    began = time.perf_counter()
    with watched(quiet=as_json) as watch:
        watch.says(f"loading {model_a} and {model_b}")
        nets = open_model(model_a, weights=weights_a), open_model(model_b, weights=weights_b)
        from pellucid.app.comparison.page import write_page
        from pellucid.inverse.comparing import RECIPE, compare

        recipe = replace(RECIPE, seed=seed, steps=RECIPE.steps if steps is None else steps)
        for net, name in ((nets[0], 0), (nets[1], 1)):  # a name that is none is said before the first step
            for pair in pairs:
                net.layer(pair[name])
        made: list[Comparison] = []
        for number, (layer_a, layer_b) in enumerate(pairs):
            wanted = range(nets[0].layer(layer_a).units) if chosen == "all" else chosen
            made.append(
                compare(
                    *nets,
                    layer_a,
                    layer_b,
                    units=wanted,
                    images=None if data is None else _batches(data, nets[0], images),
                    rounds=rounds,
                    cosine_power=cosine_power,
                    aggregation=aggregation,
                    recipe=recipe,
                    says=partial(_says, watch, number, len(pairs)),
                )
            )
    page = write_page(made, output)
    document = {"pellucid": "comparison", "comparisons": [one.as_dict() for one in made]}
    (output / "comparison.json").write_text(json.dumps(document) + "\n", encoding="utf-8")
    tables = [one.csv() for one in made]
    body = "".join(table if number == 0 else table.partition("\n")[2] for number, table in enumerate(tables))
    (output / "pairs.csv").write_text(body, encoding="utf-8")
    _report(made, document, page, time.perf_counter() - began, as_json=as_json)


def _says(watch: Watch, number: int, count: int, what: str, done: float) -> None:
    """The progress of one of several comparisons, as that of all."""
    watch.goes_on(what, (number + done) / count)


def _batches(data: Path, net: Model, most: int) -> Iterator[Tensor]:
    """Pictures of a dataset, spread evenly over it, as both networks take them."""
    from pellucid.survey.open_dataset import open_dataset
    from pellucid.survey.reading import batches, to_network

    dataset = open_dataset(data)
    places = [number * len(dataset) // most for number in range(most)] if len(dataset) > most else None
    for batch in batches(dataset, net, 32, wanted=places):
        if len(batch.images):
            yield to_network(batch.images, net)


def layer_pairs(text: str) -> list[tuple[str, str]]:
    """`mixed4a,layer3=mixed4b` as pairs of names.

    Raises:
        TargetError: a name is missing.
    """
    pairs = []
    for part in text.split(","):
        a, equals, b = (piece.strip() for piece in part.partition("="))
        if not a or (equals and not b):
            raise TargetError(f"--layers is LAYER or LAYER_OF_A=LAYER_OF_B, several with commas, not {text!r}")
        pairs.append((a, b or a))
    return pairs


def unit_numbers(text: str | None) -> Any:
    """`0-3,8` as numbers; None and "all" as they are.

    Raises:
        TargetError: it is none of these.
    """
    if text is None or text.strip() == "all":
        return None if text is None else "all"
    numbers: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,9})(?:\s*-\s*([0-9]{1,9}))?\s*", part)
        if not match or int(match[2] or match[1]) < int(match[1]):
            raise TargetError(f"--units is a list such as 0-15,40, or all, not {text!r}")
        numbers += range(int(match[1]), int(match[2] or match[1]) + 1)
    return list(dict.fromkeys(numbers))


def _report(made: list[Comparison], document: dict[str, Any], page: Path, seconds: float, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({**document, "page": str(page), "seconds": round(seconds, 2)}))
        return
    rows = [
        (
            f"{one.layers[0]}:{match.unit}",
            "–" if match.by_pictures is None else f"{one.layers[1]}:{match.by_pictures}",
            f"{match.weight:.2f}",
            f"{match.drift:.2f}",
            "–" if match.by_activations is None else f"{one.layers[1]}:{match.by_activations}",
            "–" if match.correlation is None else f"{match.correlation:.2f}",
        )
        for one in made
        for match in one.matches
    ]
    names = ("unit of A", "by picture", "weight", "kept", "by activations", "correlation")
    print_table(names, rows, numeric=("weight", "kept", "correlation"))
    for one in made:
        said = "no data to compare with" if one.agreement is None else f"{one.agreement:.0%} named alike by both"
        note(f"{one.layers[0]} and {one.layers[1]}: {said}")
    note(f"Open {page} ({duration(seconds)})")
