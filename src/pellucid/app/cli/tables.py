"""Tables on standard output: folded to a terminal's width, unfolded for a pipe; and notes beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["note", "print_table"]

_PIPE_WIDTH = 1000  # characters; what reads a pipe breaks lines by itself, or not at all


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, numeric: Iterable[str] = ()) -> None:
    """Print rows below their columns' names. The first column holds names: it is folded where it must be, never cut."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PIPE_WIDTH)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for index, column in enumerate(columns):
        justify: Literal["left", "right"] = "right" if column in numeric else "left"
        if index == 0:
            table.add_column(column, overflow="fold", style="cyan")
        elif column == "kind":  # the one column that may be shortened: it can be looked up by name
            table.add_column(column, no_wrap=True, overflow="ellipsis", max_width=18 if console.is_terminal else None)
        else:
            table.add_column(column, justify=justify, overflow="fold", no_wrap=column != "file")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def note(text: str) -> None:
    """A line for people, on standard error: what is piped stays data."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(Text(text))
