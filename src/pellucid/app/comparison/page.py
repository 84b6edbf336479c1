"""The page of a comparison: one HTML file beside its pictures, that asks nothing of anyone."""

from __future__ import annotations

import html
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from pellucid import __version__
from pellucid.images import files as pictures
from pellucid.images.sheets import picture

if TYPE_CHECKING:
    from pellucid.ascent.rendering import Rendering
    from pellucid.inverse.comparison import Comparison, Match

__all__ = ["write_page"]

_PAGE_PX = 192  # smaller pictures are enlarged to it: browsers enlarge less smoothly than Lanczos


def write_page(comparisons: Sequence[Comparison], folder: Path) -> Path:
    """Write `index.html` and `pictures/` into a folder: a section for each pair of layers.

    Raises:
        ImageError: a picture cannot be written.
    """
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    first = comparisons[0]
    names = " and ".join(f"<code>{html.escape(name)}</code>" for name in first.models)
    parts = {
        "TITLE": html.escape(" and ".join(first.models)),
        "STYLE": "\n".join(
            (files(package) / "page.css").read_text(encoding="utf-8")
            for package in ("pellucid.app.demo", "pellucid.app.comparison")
        ),
        "LEAD": f"Which units of {names} (A and B) are the same, seen by what they look for and by what they answer.",
        "SECTIONS": "\n".join(_section(number, one, folder) for number, one in enumerate(comparisons)),
        "FACTS": html.escape(
            f"Pellucid {__version__} · A: {first.models[0]} {first.model_hashes[0]} · "
            f"B: {first.models[1]} {first.model_hashes[1]} · {first.settings}"
        ),
    }
    text = (files("pellucid.app.comparison") / "page.html").read_text(encoding="utf-8")
    for name, part in parts.items():
        text = text.replace(f"<!--{name}-->", part)
    page = folder / "index.html"
    page.write_text(text, encoding="utf-8")
    return page


def _section(number: int, comparison: Comparison, folder: Path) -> str:
    layers = " and ".join(f"<code>{html.escape(layer)}</code>" for layer in dict.fromkeys(comparison.layers))
    cards = [_card(number, row, comparison, folder) for row in range(len(comparison.units))]
    return (
        f'<section id="layers-{number}"><h2>{layers}</h2>{_numbers(comparison)}'
        f'<div class="pair-list">{"".join(cards)}</div></section>'
    )


def _numbers(comparison: Comparison) -> str:
    """What holds for the layer as a whole."""
    plain = comparison.as_dict()
    found = [("units of A compared", str(len(comparison.units)))]
    if comparison.agreement is not None:
        found.append((f"named alike by pictures and by {comparison.num_images} images", f"{comparison.agreement:.0%}"))
    if plain["median_drift"] is not None:
        found.append(("of a picture is kept in B (median SSIM)", f"{plain['median_drift']:.2f}"))
    found.append(("units of B are some unit's match", str(len(comparison.matched_units))))
    return f'<ul class="numbers">{"".join(f"<li><b>{value}</b>{html.escape(what)}</li>" for what, value in found)}</ul>'


def _card(number: int, row: int, comparison: Comparison, folder: Path) -> str:
    match = comparison.matches[row]
    a, b = (f"{layer}:" for layer in comparison.layers)
    views = [
        (comparison.drawn, "a", "A's", f"What {a}{match.unit} of A looks for"),
        (comparison.redrawn, "b", "redrawn by B", "The same picture, redrawn by B towards what it reads in it"),
    ]
    figures = [
        _figure(rendering, row, f"{number}-unit-{match.unit}-{name}", caption, about, folder)
        for rendering, name, caption, about in views
    ]
    if comparison.matched is not None and match.by_pictures is not None:
        place = comparison.matched_units.index(match.by_pictures)
        name, about = f"{number}-matched-{match.by_pictures}", f"What {b}{match.by_pictures} of B looks for"
        figures.append(_figure(comparison.matched, place, name, "B's own", about, folder))
    else:
        figures.append('<div class="missing">no unit of B</div>')
    differs = match.agrees is False
    return (
        f'<article class="match{" differs" if differs else ""}"><div class="views">{"".join(figures)}</div>'
        f"<dl>{_facts(match, a, b)}</dl></article>"
    )


def _figure(rendering: Rendering, row: int, name: str, caption: str, about: str, folder: Path) -> str:
    shown = picture(rendering.pictures[row])
    if max(shown.size) < _PAGE_PX:
        factor = _PAGE_PX / max(shown.size)
        shown = shown.resize((round(shown.width * factor), round(shown.height * factor)), Image.Resampling.LANCZOS)
    pictures.write(folder / "pictures" / f"{name}.png", shown)
    about = html.escape(about)
    image = f'<img src="pictures/{name}.png" alt="{about}" title="{about}" loading="lazy">'
    return f"<figure>{image}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _facts(match: Match, a: str, b: str) -> str:
    facts = [("A's unit", f"<code>{html.escape(a)}{match.unit}</code>")]
    found = "none" if match.by_pictures is None else f"<code>{html.escape(b)}{match.by_pictures}</code>"
    facts.append(("by picture", f"{found}, weight {match.weight:.2f} (next {match.runner_up:.2f})"))
    if match.by_activations is not None and match.correlation is not None:
        note = '<span class="differs-note">another unit: </span>' if match.agrees is False else ""
        beside = (
            f"; {match.correlation_of_pictures:.2f} with the match by picture"
            if match.agrees is False and match.correlation_of_pictures is not None
            else ""
        )
        text = f"<code>{html.escape(b)}{match.by_activations}</code>, correlation {match.correlation:.2f}{beside}"
        facts.append(("by activations", note + text))
    facts.append(("kept, turned", f"{match.drift:.2f}, {match.turned_deg:.0f}°"))
    return "".join(f"<dt>{html.escape(name)}</dt><dd>{text}</dd>" for name, text in facts)
