"""Parts that the pages of explanations and audits share: the frame, figures, examples with what a unit sees of them."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from importlib.resources import files

from PIL import Image

from pellucid import __version__
from pellucid.explain.explanation import ExampleOf
from pellucid.explain.looks import data_uri

__all__ = ["examples", "figure", "number", "page", "text"]


def text(words: object) -> str:
    """Words as HTML."""
    return html.escape(str(words))


def number(value: float) -> str:
    """A number for reading: three digits, or all before the point, with its sign as it is."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def page(title: str, body: str, facts: Iterable[str]) -> str:
    """A whole page with its style inside; `facts` say where it comes from."""
    style = (files("pellucid.explain") / "page.css").read_text(encoding="utf-8")
    made = " · ".join(text(fact) for fact in (f"Pellucid {__version__}", *facts))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{text(title)} · Pellucid</title>'
        f'<link rel="icon" href="data:,"><style>{style}</style></head><body>{body}'
        f"<footer><p>{made}</p></footer></body></html>"
    )


def figure(shown: Image.Image | bytes, about: str, caption: str, kind: str = "") -> str:
    """A picture with a caption (HTML); `about` says what it is to those who do not see it."""
    name = f' class="{kind}"' if kind else ""
    return f'<figure{name}><img src="{data_uri(shown)}" alt="{text(about)}"><figcaption>{caption}</figcaption></figure>'


def examples(found: Sequence[ExampleOf], target: str) -> str:
    """A row of dataset examples, each with a frame around what the unit sees where it is strongest."""
    if not found:
        return ""
    shown = "".join(
        f'<figure><span class="example"><img src="{data_uri(one.webp)}" '
        f'alt="{text(f"A dataset picture that excites {target}: {one.name}")}"><i style="{_frame(one)}"></i></span>'
        f'<figcaption title="{text(one.name)}">{text(one.name)}</figcaption></figure>'
        for one in found
    )
    return f'<div class="examples">{shown}</div>'


def _frame(one: ExampleOf) -> str:
    (top, left, bottom, right), (height, width) = one.box, one.size
    return (
        f"top:{100 * top / height:.1f}%;left:{100 * left / width:.1f}%;"
        f"height:{100 * (bottom - top) / height:.1f}%;width:{100 * (right - left) / width:.1f}%"
    )
