"""`pellucid export`: an atlas as a static site."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pellucid.app.cli.progress import watched

__all__ = ["export"]


def export(
    atlas: Annotated[
        str,
        typer.Argument(metavar="DIR", help="An atlas, or a folder with those of a training run.", show_default=False),
    ],
    site: Annotated[Path, typer.Argument(metavar="SITE", help="The folder to write; a site there is replaced.")],
    compare: Annotated[
        str | None, typer.Option(metavar="DIR", help="Another atlas, to be shown beside it unit by unit.")
    ] = None,
) -> None:
    """Write an atlas as a static site, which opens from a disk or any web server: all of `view` but rendering."""
    with watched() as watch:
        watch.says("opening the atlas")
        from pellucid.app.site.export import export as write_site
        from pellucid.app.site.shelf import Shelf
        from pellucid.app.studio.notes import Notes

        shelf = Shelf.open(atlas, compare=compare)
        notes = Notes(shelf.volumes[shelf.main].atlas.place).as_data()

        def on_progress(done: int, total: int) -> None:
            watch.goes_on(f"{done:,} of {total:,} units", done / total)

        written = write_site(shelf, site, notes=notes, on_progress=on_progress)
    size = f"{written.num_bytes / 1e6:.1f} MB in {written.num_files:,} files"
    typer.echo(f"{written.num_units:,} units, {size}. Open {written.index}.")
