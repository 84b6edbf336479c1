"""Small charts for pages, as SVG that takes its colours from the page and needs no script."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["bars", "histogram"]

_WIDTH, _HEIGHT = 1000.0, 220.0


def bars(values: Sequence[float], marked: Mapping[int, str], label: str) -> str:
    """One bar for every unit, in order; some marked, each with a title; downwards from zero where negative."""
    low, high = min(0.0, *values), max(0.0, *values)
    span = (high - low) or 1.0
    zero = _HEIGHT * high / span
    step = _WIDTH / len(values)
    shapes = []
    for unit, value in enumerate(values):
        top, length = (
            (zero - _HEIGHT * value / span, _HEIGHT * value / span) if value >= 0 else (zero, -_HEIGHT * value / span)
        )
        name = ' class="marked"' if unit in marked else ""
        title = f"<title>{html.escape(marked[unit])}</title>" if unit in marked else ""
        width = max(step * 0.8, 3.0) if unit in marked else step * 0.8
        shapes.append(
            f'<rect{name} x="{unit * step:.2f}" y="{top:.2f}" width="{width:.2f}" height="{length:.2f}">{title}</rect>'
        )
    shapes.sort(key=lambda shape: 'class="marked"' in shape)  # what is marked lies on top
    return (
        f'<svg class="bars" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" preserveAspectRatio="none" role="img" '
        f'aria-label="{html.escape(label)}">{"".join(shapes)}'
        f'<line x1="0" x2="{_WIDTH:g}" y1="{zero:.2f}" y2="{zero:.2f}"/></svg>'
    )


def histogram(counts: Mapping[str, Any], value: float, label: str) -> str:
    """How often which image-level mean was seen, on a root scale, with a line where this photo's lies."""
    heights = [count**0.5 for count in counts["counts"]]
    low, width, bins = counts["low"], counts["width"], len(heights)
    first, last = min(low, value), max(low + width * bins, value)
    span = (last - first) or 1.0
    highest = max(heights) or 1.0
    shapes = [
        f'<rect x="{100 * (low + at * width - first) / span:.2f}" y="{30 - 30 * height / highest:.2f}" '
        f'width="{max(0.3, 100 * width / span):.2f}" height="{30 * height / highest:.2f}"/>'
        for at, height in enumerate(heights)
        if height
    ]
    at = 100 * (value - first) / span
    return (
        f'<svg class="histogram" viewBox="0 0 100 30" preserveAspectRatio="none" role="img" '
        f'aria-label="{html.escape(label)}">{"".join(shapes)}<line x1="{at:.2f}" x2="{at:.2f}" y1="0" y2="30"/></svg>'
    )
