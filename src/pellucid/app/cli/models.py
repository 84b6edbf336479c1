"""`pellucid models`: which networks can be loaded by name."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from pellucid.app.cli.tables import note
from pellucid.errors import ModelError, did_you_mean

__all__ = ["models"]

_ABOUT = {
    "default": "embedded: a small Inception (64 px, 200 classes), robust, so that its features are legible",
    "plain": "embedded: the same network before it was made robust",
}
_MOST_LISTED = 150  # of one library, without --all: torchvision's fit, timm's 1,500 do not


def models(
    pattern: Annotated[
        str, typer.Argument(metavar="[PATTERN]", help="A part of the name, or with wildcards: 'timm:*vit*small*'.")
    ] = "",
    everything: Annotated[bool, typer.Option("--all", help="List every name, however many there are.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object: library -> names.")] = False,
) -> None:
    """Name the networks that can be loaded by name."""
    from pellucid.models import zoo

    found = zoo.available(pattern)
    if as_json:
        typer.echo(json.dumps(found))
        return
    if not any(found.values()):
        known = [spec for own in zoo.available().values() for spec in own]
        near = did_you_mean(pattern, known) or did_you_mean(pattern, [spec.partition(":")[2] for spec in known])
        raise ModelError(f"no model fits {pattern!r}.{near} (pellucid models lists them)")
    for library, specs in found.items():
        if len(specs) > _MOST_LISTED and not everything:
            typer.echo(f"{library}:NAME  {len(specs)} networks: name a PATTERN, or --all")
            continue
        for spec in specs:
            typer.echo(f"{spec:<10}{_ABOUT[spec]}" if spec in _ABOUT else spec)
    for library in ("torchvision", "timm"):
        if library not in found:
            note(f"{library} is not installed: pip install 'pellucid[{library}]'")
    if not pattern:
        note("Also: hf:ID or hf:FOLDER (Hugging Face), FILE.py:factory (a function of yours that returns a network).")
