"""The one page that every view is drawn in, and the front end's files: no build, no library, nothing from elsewhere."""

from __future__ import annotations

import html
from importlib.resources import files

__all__ = ["FRONT_END", "POLICY", "front_end", "page"]

# In the order in which they are run: each adds to the one name `P`.
SCRIPTS = (
    "dom.js",
    "data.js",
    "route.js",
    "charts.js",
    "grid.js",
    "overview.js",
    "order.js",
    "layer.js",
    "scrub.js",
    "notes.js",
    "live.js",
    "unit.js",
    "search.js",
    "compare.js",
    "about.js",
    "main.js",
)
FRONT_END = ("style.css", "views.css", "theme.js", *SCRIPTS)
"""Every file that the page loads."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The viewer's Content-Security-Policy: nothing runs or loads but the front end's own files."""


def page(title: str, *, root: str, kind: str) -> str:
    """The page's HTML. `root` is where its data lie, `kind` is `server` or `static`."""
    static = f"{root}static/"
    scripts = "\n".join(f'<script src="{static}{name}"></script>' for name in SCRIPTS)
    parts = {
        "ROOT": html.escape(root),
        "KIND": kind,
        "STATIC": html.escape(static),
        "TITLE": html.escape(title),
        "POLICY": "",
        "SCRIPTS": scripts,
    }
    text = (files("pellucid.app.site") / "pages" / "index.html").read_text("utf-8")
    for name, part in parts.items():
        text = text.replace(f"{{{{{name}}}}}", part)
    return text


def front_end(name: str) -> bytes:
    """One of the front end's files.

    Raises:
        KeyError: it is none of them.
    """
    if name not in FRONT_END:
        raise KeyError(name)
    return (files("pellucid.app.site") / "pages" / name).read_bytes()
