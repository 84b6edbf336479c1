"""A result on disk and in a notebook: one page that asks nothing of anyone, its table and its record beside it."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pellucid.images.whole_files import written_whole
from pellucid.survey.unit_table import UnitTable

__all__ = ["framed", "save_page"]


def save_page(folder: str | Path, name: str, page: str, table: UnitTable, record: Mapping[str, Any]) -> Path:
    """Write `NAME.html`, `units.csv` and `NAME.json` into a folder, made if it is missing; gives the page.

    Raises:
        ImageError: it cannot be written there.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    table.save(folder / "units.csv")
    for file_name, text in ((f"{name}.json", json.dumps(record, indent=1)), (f"{name}.html", page)):
        with written_whole(folder / file_name) as file:
            file.write(text.encode())
    return folder / f"{name}.html"


def framed(page: str, title: str) -> str:
    """A page in a frame of its own, so that its style stays there: HTML for a notebook."""
    inside = html.escape(page, quote=True)
    return f'<iframe srcdoc="{inside}" style="width:100%;height:52rem;border:0" title="{title}"></iframe>'
