"""`pellucid atlas`: every unit of a network rendered into an atlas; and atlases checked, repaired and merged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from pellucid.app.cli.model_options import Mean, Spec, Std, Weights, open_model, source_of
from pellucid.app.cli.output import AsJson
from pellucid.app.cli.progress import watched
from pellucid.app.cli.recipe_options import RecipeFile, read_recipe, with_recipe_options
from pellucid.app.cli.tables import note
from pellucid.app.plan_file import kept_plans
from pellucid.errors import AtlasError

if TYPE_CHECKING:
    from pellucid.atlas.card import Card
    from pellucid.models.model import Model

__all__ = ["atlas"]

_RUN = "run"
_WHO = "Workers"


class _RunByDefault(TyperGroup):
    """`pellucid atlas MODEL …` is `pellucid atlas run MODEL …`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = [_RUN, *args]
        return super().parse_args(ctx, args)


atlas = typer.Typer(
    cls=_RunByDefault,
    help="Render every unit of a network into an atlas that can be browsed: pellucid atlas MODEL -o DIR.",
    epilog="What was stopped is gone on with by the same command. Look at an atlas with: pellucid view DIR",
    no_args_is_help=True,
)

Folder = Annotated[
    str, typer.Argument(metavar="DIR|URL", help="An atlas: a folder, or s3://…, memory://….", show_default=False)
]
Network = Annotated[
    str | None,
    typer.Option(metavar="MODEL", help="The network, where the atlas names a Python file or none.", show_default=False),
]
Patterns = Annotated[
    list[str] | None,
    typer.Option(
        "--layers",
        metavar="GLOB",
        help="Layers by name or pattern, such as 'mixed4*' (** also crosses dots); may be repeated. By default every "
        "block with weights.",
        show_default=False,
    ),
]
Into = Annotated[
    str,
    typer.Option(
        "--output", "-o", metavar="DIR|URL", help="The atlas: a folder, or a bucket's URL.", show_default=False
    ),
]


def run(
    model: Spec,
    output: Into,
    layers: Patterns = None,
    units: Annotated[
        str | None,
        typer.Option(metavar="N-N,N", help="Channels of each layer, such as 0-15,40; by default all."),
    ] = None,
    images: Annotated[
        int, typer.Option(metavar="N", help="Pictures of each unit: 1, or the picture and a diverse set of N.")
    ] = 1,
    negative: Annotated[
        bool, typer.Option("--negative", help="Also a picture of what each unit is least like.")
    ] = False,
    recipe_file: RecipeFile = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan (count, time, memory, disk) and stop.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Render units again that raised an error.")
    ] = False,
    executor: Annotated[
        str,
        typer.Option(metavar="NAME", help="Who renders: local, processes (one a GPU), or ray.", rich_help_panel=_WHO),
    ] = "local",
    workers: Annotated[
        int, typer.Option(metavar="N", help="How many; 0: one a GPU, or as the cores allow.", rich_help_panel=_WHO)
    ] = 0,
    address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Of a Ray cluster; auto: this machine's.", rich_help_panel=_WHO),
    ] = None,
    as_json: AsJson = False,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
    *,
    settings: dict[str, Any],
) -> None:
    """Render every unit of a network into an atlas, or go on with one."""
    recipe = read_recipe(recipe_file, settings)
    with watched(quiet=as_json) as watch, kept_plans():
        watch.says(f"loading {model}")
        net = open_model(model, weights=weights, mean=mean, std=std, size=recipe.size)
        from pellucid.app.cli.atlas_run import carry_out
        from pellucid.atlas.order import card_for
        from pellucid.atlas.sweeping import workers_of

        source = source_of(model, weights=weights, mean=mean, std=std, size=recipe.size)
        crew = workers_of(executor, workers, address)
        card = card_for(net, layers=layers, units=units, images=images, negative=negative, recipe=recipe, source=source)
        how = {"dry_run": dry_run, "retry_failed": retry_failed, "as_json": as_json}
        code = carry_out(net, card, output, watch, workers=crew, **how)
    raise typer.Exit(code)


atlas.command(_RUN)(with_recipe_options(run))


@atlas.command()
def verify(folder: Folder, as_json: AsJson = False) -> None:
    """Read an atlas whole, and say what is there, missing, dead or damaged (then the exit code is 1)."""
    from pellucid.app.cli.atlas_report import Inspection

    with watched(quiet=as_json) as watch:
        inspection = Inspection.of(folder, lambda share: watch.goes_on("reading shards", share))
    typer.echo(inspection.json()) if as_json else inspection.show()
    raise typer.Exit(inspection.exit_code)


@atlas.command()
def repair(
    folder: Folder,
    model: Network = None,
    as_json: AsJson = False,
    weights: Weights = None,
) -> None:
    """Take damaged shards away, and render what is missing or has failed, by the recipe of the atlas."""
    from pellucid.atlas.store import Atlas

    card = Atlas.open(folder).card
    with watched(quiet=as_json) as watch, kept_plans():
        watch.says(f"loading {card.model.name}")
        net = _network(card, folder, model, weights)
        from pellucid.app.cli.atlas_run import carry_out

        code = carry_out(net, card, folder, watch, retry_failed=True, as_json=as_json)
    raise typer.Exit(code)


@atlas.command()
def merge(
    folders: Annotated[
        list[str],
        typer.Argument(metavar="DIR|URL...", help="Atlases of the same network and recipe.", show_default=False),
    ],
    output: Into,
) -> None:
    """Put partial atlases of the same network and recipe together into one, new or there already."""
    from pellucid.atlas.merging import merge as merged
    from pellucid.atlas.store import Atlas

    added = merged(folders, output)
    made = Atlas.open(output)
    note(f"{added} pictures added; {len(made)} of {made.card.num_pictures} are in {output}")


@atlas.command()
def feeds(
    folder: Folder,
    model: Network = None,
    weights: Weights = None,
) -> None:
    """Work out which units of the next layer each unit feeds, for the pages; a sweep in one process does so itself."""
    from pellucid.atlas.store import Atlas

    found = Atlas.open(folder)
    with watched() as watch:
        watch.says(f"loading {found.card.model.name}")
        net = _network(found.card, folder, model, weights)
        from pellucid.app.cli.atlas_feeds import put_feeds

        count = put_feeds(net, found, watch)
    note(f"{count} units: what each feeds, and what feeds it, is on its page now: pellucid view {folder}")


def _network(card: Card, folder: str | Path, model: str | None, weights: str | None) -> Model:
    """The network of an atlas: the one that the user names, or that the atlas does where that runs no code of its own.

    Raises:
        AtlasError: the user has to name it.
        ModelError: it cannot be loaded.
    """
    source = dict(card.model.source or {})
    spec = model or source.get("spec")
    if spec is None:
        raise AtlasError(
            f"the network of {str(folder)!r} was made in Python: name a file that makes it, --model FILE.py:f"
        )
    if model is None and ".py" in spec:
        raise AtlasError(
            f"{str(folder)!r} names {spec!r}, Python that an atlas does not run by itself; where you trust it: "
            f"--model {spec}"
        )
    if spec != source.get("spec"):
        return open_model(spec, weights=weights)
    from pellucid.models import zoo

    return zoo.load(**{**source, **({"weights": weights} if weights else {})})
