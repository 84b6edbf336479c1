"""The command line's front door: commands in, one line and an exit code out when something is wrong.

No command's module imports torch before its work begins, so that help and mistakes answer at once.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.main import get_command

from pellucid import __version__
from pellucid.app.cli import (
    accentuate,
    atlas,
    attribute,
    audit,
    bench,
    compare,
    demo,
    dream,
    explain,
    export,
    interpolate,
    invert,
    layers,
    measure,
    models,
    render,
    similar,
    survey,
    view,
)
from pellucid.errors import PellucidError, is_out_of_memory

__all__ = ["app", "main", "run"]

# What Typer raises when it cannot read a line. `BadParameter` is public; the base of its base, which is meant, is not.
_CLI_ERROR = typer.BadParameter.__mro__[2]

_SPINS = "2000"  # some microseconds

app = typer.Typer(
    help="A microscope for vision models: see what any unit of any PyTorch vision network looks for.",
    epilog="Start with: pellucid demo. Then: pellucid layers default; pellucid render default mixed4a:12 -o 12.png",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"pellucid {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """A microscope for vision models: see what any unit of any PyTorch vision network looks for."""


app.command("models")(models.models)
app.command("layers")(layers.layers)
app.command("render", epilog=render.EPILOG, no_args_is_help=False)(render.command)
app.command("interpolate")(interpolate.command)
app.command("accentuate")(accentuate.command)
app.command("attribute")(attribute.command)
app.command("dream", no_args_is_help=False)(dream.command)
app.command("audit")(audit.command)
app.command("explain")(explain.command)
app.command("compare")(compare.command)
app.command("invert")(invert.invert)
app.command("survey")(survey.command)
app.add_typer(atlas.atlas, name="atlas")
app.command("measure", no_args_is_help=False)(measure.command)
app.command("similar", no_args_is_help=False)(similar.command)
app.command("view")(view.view)
app.command("export")(export.export)
app.command("demo")(demo.demo)
app.command("bench")(bench.command)


def run(arguments: Sequence[str]) -> int:
    """Run one command line (without the program's name) and return its exit code.

    0: done. 1: nothing could be rendered, or a fault of Pellucid's own. 2: a mistake in what was asked. 130: Ctrl-C.
    """
    if not arguments:
        arguments = ["--help"]
    try:
        code = get_command(app).main(list(arguments), prog_name="pellucid", standalone_mode=False)
    except PellucidError as error:
        return _failed(str(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        return _failed("interrupted; nothing was saved", 130)
    except Exception as error:  # noqa: BLE001  the last resort: no traceback for users who did not ask for one
        if isinstance(error, _CLI_ERROR):
            return _failed(_usage(error, arguments), 2)
        if os.environ.get("PELLUCID_DEBUG"):
            traceback.print_exc()
        return _failed(_unexpected(error), 1)
    return code if isinstance(code, int) else 0


def main() -> None:
    """The program `pellucid`."""
    _share_cores()
    sys.exit(run(sys.argv[1:]))


def _share_cores() -> None:
    """Let a thread that waits for others give up its core soon, for somebody else may need it.

    By default libgomp's threads spin for milliseconds, and on a busy machine they spin against what they wait for:
    `docs/design/speed.md`. It reads this when torch is imported, which has not happened yet.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)


def _failed(message: str, code: int) -> int:
    sys.stderr.write(f"pellucid: {' '.join(message.split())}\n")
    return code


def _usage(error: Exception, arguments: Sequence[str]) -> str:
    """What Typer found wrong with the words, and where help is; with a word on targets that look like options."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "pellucid"
    message = error.format_message()  # type: ignore[attr-defined]
    message = message if message.endswith((".", "?")) else f"{message}."
    negative = next((word for word in arguments if word[:1] == "-" and word[1:2] != "-" and ":" in word), None)
    if path.endswith("render") and negative:
        message += f" A target that begins with '-' goes behind '--', or is written neg:{negative[1:]}."
    return f"{message} See: {path} --help"


def _unexpected(error: Exception) -> str:
    if is_out_of_memory(error):
        return "the memory is full, even for one picture at once; take a smaller --size, or another --device"
    hint = "" if os.environ.get("PELLUCID_DEBUG") else " (set PELLUCID_DEBUG=1 to see where)"
    return f"unexpected {type(error).__name__}: {error}{hint}"
