"""`pellucid measure`: how far the pictures of units can be trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pellucid.app.cli.model_options import Mean, Spec, Std, Weights, open_model
from pellucid.app.cli.output import AsJson, writable_folder
from pellucid.app.cli.progress import Watch, watched
from pellucid.app.cli.recipe_options import RecipeFile, read_recipe, with_recipe_options
from pellucid.app.cli.tables import note, print_table
from pellucid.app.plan_file import kept_plans
from pellucid.errors import RecipeError, TargetError
from pellucid.models.blocks import blocks
from pellucid.models.targets import Target

if TYPE_CHECKING:
    from pellucid.ascent.recipe import Recipe
    from pellucid.ascent.source import RenderingSource
    from pellucid.atlas.store import Atlas
    from pellucid.measure.evidence import Evidence
    from pellucid.measure.reference import Reference
    from pellucid.models.model import Model
    from pellucid.survey.unit_table import UnitTable

__all__ = ["command"]

_SHOWN = 10  # worst units that a terminal shows
_READ = 64  # images read at once


def measure(
    model: Spec,
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET...|ATLAS",
            help="mixed4a:*, logit:goldfish …, or a folder with an atlas.",
            show_default=False,
        ),
    ],
    data: Annotated[
        str,
        typer.Option(metavar="DATASET", help="Natural images: a folder, or Parquet files.", show_default=False),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where table, page and pictures go.")
    ] = Path("measures"),
    images: Annotated[int, typer.Option(metavar="N", help="How many natural images, from the first on.")] = 1000,
    top: Annotated[int, typer.Option(metavar="K", help="Natural images that stand for a unit.")] = 10,
    seeds: Annotated[int, typer.Option(metavar="N", help="Further seeds that every target is rendered from.")] = 1,
    opposites: Annotated[bool, typer.Option(help="Render what each is least like: machine interpretability.")] = True,
    untrained: Annotated[bool, typer.Option(help="Render in the re-initialised network: randomisation.")] = True,
    kept: Annotated[
        bool, typer.Option("--kept", help="Render nothing: measure by what an earlier run has kept.")
    ] = False,
    classes: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Names of the dataset's labels, one a line.", show_default=False),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Shown pictures of classes: transferability.", show_default=False),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where the page goes; DIR/measures.md.", show_default=False),
    ] = None,
    recipe_file: RecipeFile = None,
    as_json: AsJson = False,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
    *,
    settings: dict[str, Any],
) -> None:
    """Say how far the pictures of units can be trusted, by natural images, other seeds and an untrained network.

    Writes units.parquet, units.csv and a page with the worst units first. Pictures are kept in DIR/pictures, so that a
    run that was stopped goes on; with an atlas its own pictures are used, and the table is put beside them.
    """
    if images < 1 or top < 1 or seeds < 0:
        raise RecipeError(f"--images and --top are 1 or more and --seeds 0 or more, not {images}, {top} and {seeds}")
    recipe = read_recipe(recipe_file, settings)
    folder = Path(targets[0]) if len(targets) == 1 and Path(targets[0]).is_dir() else None
    wanted = [] if folder is not None else [Target.parse(text) for text in targets]
    writable_folder(output)
    page = page or output / "measures.md"
    writable_folder(page.parent, page)
    with watched(quiet=as_json) as watch, kept_plans():
        watch.says(f"loading {model}")
        net = open_model(model, weights=weights, mean=mean, std=std, size=recipe.size)
        from pellucid.app.atlas_portraits import opened
        from pellucid.measure.report import write_page
        from pellucid.measure.table import measure as measured

        watch.says(f"reading {data}")
        reference = _reference(data, classes, net, images)
        atlas = opened(folder)
        names = _names(wanted, atlas, net)
        with watch.stops_on_interrupt():
            evidence = _evidence(net, names, recipe, output, atlas, watch, (seeds, opposites, untrained, kept))
        path_layers = [one.name for one in blocks(net.layers) if max(one.map_size) > 1 and "Pool" not in one.kind]
        table = measured(net, evidence, reference, top=top, path_layers=path_layers, says=watch.says)
        if judge is not None:
            table = _with_transfer(table, evidence, net, judge)
        table.save(output / "units.parquet")
        table.save(output / "units.csv")
        if atlas is not None:
            atlas.put_table("measures", table)
        notes = [_made_by(recipe, evidence, atlas)]
        write_page(table, evidence.own, page, notes=notes, value_range=net.value_range)
    _report(table, page, output, as_json=as_json, interrupted=watch.interrupted)
    raise typer.Exit(130 if watch.interrupted else 0)


command = with_recipe_options(measure)


def _reference(data: str, classes: Path | None, net: Model, images: int) -> Reference:
    from pellucid.measure.reference import Reference
    from pellucid.survey.open_dataset import open_dataset
    from pellucid.survey.reading import batches

    dataset = open_dataset(data, classes)
    read = ((batch.images, batch.labels) for batch in batches(dataset, net, _READ))
    return Reference.of(dataset.name, read, dataset.classes, most=images)


def _names(wanted: list[Target], atlas: Atlas | None, net: Model) -> list[str]:
    """What is measured: the targets, one for each unit, or all units of the atlas that have a picture."""
    if atlas is not None:
        return [one.target for layer in atlas.layers for one in atlas.pictures(layer)]
    from pellucid.objectives.from_target import expand_targets

    names = [str(target) for target in expand_targets(wanted, net)]
    if not names:
        raise TargetError("nothing to measure: give targets, such as 'mixed4a:*', or a folder with an atlas")
    return list(dict.fromkeys(names))


def _evidence(
    net: Model,
    names: list[str],
    recipe: Recipe,
    output: Path,
    atlas: Atlas | None,
    watch: Watch,
    wishes: tuple[int, bool, bool, bool],
) -> Evidence:
    """The pictures: from the atlas, from an earlier run, or rendered now."""
    from pellucid.app.atlas_portraits import AtlasPortraits
    from pellucid.app.portrait_folder import PortraitFolder
    from pellucid.ascent.recipe import Recipe
    from pellucid.ascent.source import FirstOf
    from pellucid.measure.evidence import Evidence
    from pellucid.measure.randomisation import reinitialised

    seeds, opposites, untrained, kept = wishes
    recipe = atlas.card.recipe if atlas is not None else recipe

    def folder(model: Model, how: Recipe) -> RenderingSource:
        return PortraitFolder(output / "pictures", model, how, callback=watch, renders=not kept)

    source = folder(net, recipe)
    if atlas is not None:
        source = FirstOf((AtlasPortraits(atlas, net), source))
    others = [folder(net, Recipe.of(recipe, seed=recipe.seed + number)) for number in range(1, seeds + 1)]
    return Evidence.gathered(
        names,
        source,
        opposites=source if opposites else None,
        reseeded=others,
        untrained=folder(reinitialised(net), recipe) if untrained else None,
    )


def _with_transfer(table: UnitTable, evidence: Evidence, net: Model, judge: str) -> UnitTable:
    """The table with what another network makes of the pictures of classes."""
    from pellucid.measure.transfer import transfer_table
    from pellucid.models.zoo import load

    return table.joined(transfer_table(net, evidence.own, load(judge)))


def _made_by(recipe: Recipe, evidence: Evidence, atlas: Atlas | None) -> str:
    """How the pictures came about, and of how many units there are others."""
    from pellucid.ascent.recipe import Recipe

    how = atlas.card.recipe if atlas is not None else recipe
    default = Recipe().as_dict()
    changed = {name: value for name, value in how.as_dict().items() if value != default[name] and name != "trial"}
    settings = ", ".join(f"{name} {value}" for name, value in changed.items()) or "the default"
    count = len(evidence.own)
    others = {
        "opposites": len(evidence.opposites),
        **{f"seed {how.seed + 1 + n}": len(one) for n, one in enumerate(evidence.reseeded)},
        "the untrained network": len(evidence.untrained),
    }
    told = "; ".join(f"{name}: {number} of {count}" for name, number in others.items() if number)
    return f"Recipe: {settings}." + (f" Pictures of the same units by {told}." if told else "")


def _report(table: UnitTable, page: Path, output: Path, *, as_json: bool, interrupted: bool) -> None:
    from pellucid.measure.report import by_layer

    layers = by_layer(table)
    if as_json:
        document = {"units": len(table), "layers": layers, "page": str(page), "folder": str(output)}
        typer.echo(json.dumps({**document, "interrupted": interrupted}, allow_nan=False))
        return
    named = {
        "reach_percentile": "reach %",
        "robustness": "robust",
        "path_similarity": "path",
        "machine_interpretability": "interpretable",
        "seed_agreement": "seeds agree",
        "model_randomisation": "as untrained",
    }
    there = [name for name in named if name in layers[0]]
    columns = ("layer", "units", *(named[name] for name in there), "flagged")
    rows = [
        (
            line["layer"],
            str(line["units"]),
            *("–" if line[name] is None else f"{line[name]:.3g}" for name in there),
            str(line["flagged"]),
        )
        for line in layers
    ]
    print_table(columns, rows, numeric=columns[1:])
    worst = table.sorted_by("trust", descending=False).targets[:_SHOWN]
    note(f"medians of {len(table)} units{', as far as it came' if interrupted else ''}; least to be trusted: ")
    note(f"{', '.join(worst)}. Page: {page}")
