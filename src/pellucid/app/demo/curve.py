"""A curve as inline SVG that keeps its line's width at any size; its labels are HTML, and stay readable on a phone."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

__all__ = ["curve"]

_WIDTH, _HEIGHT = 600.0, 200.0  # of the drawing's own units; the page stretches it


def curve(values: Sequence[float], marks: Sequence[int], *, label: str) -> str:
    """Values over their index, with vertical marks at some indices; `label` is what a screen reader says."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    span = (high - low) or 1.0
    last = max(1, len(values) - 1)

    def x(index: int) -> float:
        return _WIDTH * index / last

    points = " ".join(
        f"{x(index):.1f},{_HEIGHT * (1 - (value - low) / span):.1f}"
        for index, value in enumerate(values)
        if math.isfinite(value)
    )
    lines = "".join(f'<line x1="{x(m):.1f}" x2="{x(m):.1f}" y1="0" y2="{_HEIGHT:g}"/>' for m in marks if m <= last)
    return (
        f'<div class="curve"><span class="high">{_number(high)}</span><span class="low">{_number(low)}</span>'
        f'<svg viewBox="0 -4 {_WIDTH:g} {_HEIGHT + 8:g}" preserveAspectRatio="none" role="img" '
        f'aria-label="{html.escape(label)}"><g class="marks">{lines}</g><polyline points="{points}"/></svg>'
        f'<span class="first">step 0</span><span class="last">step {len(values)}</span></div>'
    )


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")
