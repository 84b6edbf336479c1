"""`pellucid view`: an atlas in the browser."""

from __future__ import annotations

import webbrowser
from typing import Annotated

import typer

from pellucid.app.cli.tables import note

__all__ = ["view"]


def view(
    atlas: Annotated[
        str,
        typer.Argument(metavar="DIR", help="An atlas, or a folder with those of a training run.", show_default=False),
    ],
    compare: Annotated[
        str | None, typer.Option(metavar="DIR", help="Another atlas, to be shown beside it unit by unit.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="The atlas's network, to render from the pages; FILE.py:factory runs that file. By default the "
            "network that the atlas names, if that is data alone and on this machine.",
        ),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="FILE", help="Its weights: safetensors, or a .pth that holds data only.")
    ] = None,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen; 0.0.0.0 shows the atlas to the whole network.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=65535, help="By default the first free one from 7810.")
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Show an atlas in the browser: layers, units, search, notes, and new pictures made from its pages."""
    from pellucid.app.site.shelf import Shelf
    from pellucid.app.studio.jobs import Workshop
    from pellucid.app.studio.serve import bound, serve
    from pellucid.app.studio.server import Viewer
    from pellucid.app.studio.source import source_for

    shelf = Shelf.open(atlas, compare=compare)
    card = shelf.volumes[shelf.main].atlas.card
    source, why_not = source_for(card, model, weights)
    listening = bound(host, port)
    at = listening.getsockname()[1]
    shown = "127.0.0.1" if host == "0.0.0.0" else f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{at}/"

    def ready() -> None:
        typer.echo(f"{card.model.name} at {address} (Ctrl-C ends it)")
        if host not in ("127.0.0.1", "::1", "localhost"):
            note("pellucid: everyone who reaches this machine can see the atlas, write notes and start renderings")
        if open_browser:
            webbrowser.open(address)

    serve(Viewer(shelf, Workshop(source), why_not), listening, host, ready)
