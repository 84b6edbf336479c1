"""The demo's page: one HTML file beside its pictures, that asks nothing of anyone."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from pellucid import __version__
from pellucid.app.demo.curve import curve
from pellucid.app.demo.rooms import GROWTH, LADDER, OPPOSITES, STARTS, Room
from pellucid.models.targets import Target, Term

if TYPE_CHECKING:
    from pellucid.ascent.rendering import Rendering

__all__ = ["Exhibit", "Hall", "page"]


@dataclass(frozen=True)
class Exhibit:
    """One picture as the page shows it; `file` is relative to the page."""

    target: str
    file: str
    score: float
    state: str
    step: int
    rescue: str | None

    @property
    def about(self) -> str:
        """What the picture is, for those who do not see it."""
        return " and ".join(_about(term) for term in Target.parse(self.target).terms)


@dataclass(frozen=True)
class Hall:
    """A room with its pictures; `stages` are (step, file) of its first picture's snapshots, `history` its scores."""

    room: Room
    exhibits: tuple[Exhibit, ...]
    stages: tuple[tuple[int, str], ...] = ()
    history: tuple[float, ...] = ()


def page(halls: Sequence[Hall], rendering: Rendering, seconds: float) -> str:
    """The whole page. `rendering` is any of the run's: the network and the machine are read off it."""
    by_key = {hall.room.key: hall for hall in halls}
    ladder = [by_key[room.key] for room in LADDER]
    resolved = rendering.resolved
    parts = {
        "STYLE": (files("pellucid.app.demo") / "page.css").read_text(encoding="utf-8"),
        "STRIP": "".join(_rung(hall) for hall in ladder),
        "LADDER": "".join(_layer(hall) for hall in ladder),
        "GROWTH": _growth(by_key[GROWTH.key]),
        "OPPOSITES": _opposites(by_key[OPPOSITES.key]),
        "STARTS": _starts(by_key[STARTS.key]),
        "COUNT": str(sum(len(hall.exhibits) for hall in halls)),
        "SECONDS": f"{seconds:.0f}",
        "FACTS": html.escape(
            f"Pellucid {__version__} · network {rendering.model_name} {rendering.model_hash} · "
            f"{resolved.size[0]} × {resolved.size[1]} px · {resolved.precision} on {resolved.device} · "
            f"seed {rendering.recipe.seed} · torch {resolved.torch}"
        ),
    }
    text = (files("pellucid.app.demo") / "page.html").read_text(encoding="utf-8")
    for name, part in parts.items():
        text = text.replace(f"<!--{name}-->", part)
    return text


def _about(term: Term) -> str:
    if term.kind in ("logit", "prob"):
        return f"a picture that the network takes for {term.name}"
    does = "is least like" if term.negative else "looks for"
    return f"a picture of what channel {term.channels} of {term.layer} {does}"


def _figure(exhibit: Exhibit, *, eager: bool = False) -> str:
    score = f"{exhibit.score:.3g}" if math.isfinite(exhibit.score) else "no number"
    woken = f"<br>woken by {html.escape(exhibit.rescue)}" if exhibit.rescue else ""
    target = html.escape(exhibit.target).replace(":", ":<wbr>")  # a line of a phone may break there
    return (
        f'<figure class="{exhibit.state}">{_image(exhibit.file, exhibit.about, eager=eager)}'
        f"<figcaption><code>{target}</code>"
        f'<span class="score">score {score}</span>'
        f'<span class="status">{exhibit.state}, {exhibit.step} steps{woken}</span></figcaption></figure>'
    )


def _image(file: str, about: str, *, eager: bool = False) -> str:
    loading = "" if eager else ' loading="lazy"'
    about = html.escape(about[0].upper() + about[1:])
    return f'<img src="{html.escape(file)}" alt="{about}" width="192" height="192" decoding="async"{loading}>'


def _rung(hall: Hall) -> str:
    """The ladder's table of contents: one picture of each layer."""
    first = hall.exhibits[0]
    return (
        f'<li><a href="#{hall.room.key}">{_image(first.file, first.about, eager=True)}'
        f"<span><code>{html.escape(hall.room.key)}</code> {html.escape(hall.room.title)}</span></a></li>"
    )


def _layer(hall: Hall) -> str:
    return (
        f'<section class="layer" id="{hall.room.key}"><div class="about"><h3>{html.escape(hall.room.title)}</h3>'
        f"<p><code>{html.escape(hall.room.key)}</code></p><p>{html.escape(hall.room.text)}</p></div>"
        f'<div class="grid">{"".join(_figure(exhibit) for exhibit in hall.exhibits)}</div></section>'
    )


def _growth(hall: Hall) -> str:
    target = hall.exhibits[0].target
    stages = "".join(
        f"<li>{_image(file, f'{target} after {step} steps')}<span>step {step}</span></li>" for step, file in hall.stages
    )
    steps = [step for step, _ in hall.stages]
    finite = [score for score in hall.history if math.isfinite(score)] or [0.0]
    label = f"Score of {target} over {len(hall.history)} steps: from {finite[0]:.3g} to {finite[-1]:.3g}"
    return (
        f'{_heading(hall)}<ol class="film">{stages}</ol><div class="chart"><p class="axis">Score of '
        f"<code>{html.escape(target)}</code>, as the optimiser sees it: through random shifts, turns and scales</p>"
        f"{curve(hall.history, steps, label=label)}</div>"
    )


def _opposites(hall: Hall) -> str:
    pairs = [hall.exhibits[index : index + 2] for index in range(0, len(hall.exhibits), 2)]
    shown = "".join(f'<div class="pair">{"".join(_figure(one) for one in pair)}</div>' for pair in pairs)
    return f'{_heading(hall)}<div class="pairs">{shown}</div>'


def _starts(hall: Hall) -> str:
    return f'{_heading(hall)}<div class="grid">{"".join(_figure(one) for one in hall.exhibits)}</div>'


def _heading(hall: Hall) -> str:
    return f"<h2>{html.escape(hall.room.title)}</h2><p>{html.escape(hall.room.text)}</p>"
