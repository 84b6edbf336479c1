"""The page of an audit: which units carry a class, where, on what, and what is left of it without them."""

from __future__ import annotations

from pellucid.explain.audit_result import Ablation, Audit, AuditedUnit
from pellucid.explain.looks import heat, portrait_picture
from pellucid.explain.markup import examples, figure, number, page, text

__all__ = ["audit_page"]

_DROP = 0.2  # of the accuracy, lost with one unit: worth a word at the top


def audit_page(found: Audit) -> str:
    """The whole page, with its pictures inside."""
    name = found.class_name.partition(",")[0]
    title = f"What {found.model_name} knows {name} by"
    body = f"{_head(found, title, name)}<main>{_table(found)}{_cards(found, name)}{_reading()}</main>"
    facts = (f"network {found.model_name} {found.model_hash}", found.layer, found.dataset)
    return page(title, body, facts)


def _head(found: Audit, title: str, name: str) -> str:
    before = found.before
    worst = min(found.units, key=lambda unit: unit.without.accuracy)
    lost = before.accuracy - worst.without.accuracy
    skipped = f" {len(found.skipped)} could not be read." if found.skipped else ""
    verdict = (
        f"Without <code>{text(worst.target)}</code> alone, {_percent(worst.without.accuracy)} are left: "
        "look at where it fires, and on what."
        if lost >= _DROP
        else f"No single unit is decisive: without the most important, {_percent(worst.without.accuracy)} are left."
    )
    if not before.accuracy:
        verdict = "It recognises none of them, so that nothing can be lost: is it the class that you meant?"
    others = (
        f" Of {before.num_others} photos of other classes it takes {_percent(before.false_positives)} for {text(name)}."
        if before.false_positives is not None
        else ""
    )
    return (
        f'<header><p class="brand">Pellucid</p><h1>{text(title)}</h1><p>Of {before.num_own} photos of '
        f"<b>{text(found.class_name)}</b> the network recognises {_percent(before.accuracy)}.{others}{skipped}</p>"
        f"<p><b>{verdict}</b></p></header>"
    )


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _table(found: Audit) -> str:
    rows = _row("all units at work", None, None, found.before)
    for unit in found.units:
        name = f'<a href="#unit-{unit.rank}"><code>{text(unit.target)}</code></a>'
        rows += _row(f"without {name}", unit.contribution, unit.share, unit.without)
    rows += _row(f"without these {len(found.units)}", None, None, found.together)
    return (
        "<section><h2>What is left without each</h2><p>The units that add most to the class on its own photos, and how "
        "the photos are classified while one of them is set to zero.</p>"
        '<div class="wide"><table><thead><tr><th></th><th class="number">adds</th><th class="number">adds most on</th>'
        '<th class="number">recognised</th><th class="number">others taken for it</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _row(name: str, adds: float | None, share: float | None, without: Ablation) -> str:
    cells = ("" if adds is None else f"{adds:+.3g}", _percent(share), _percent(without.accuracy))
    shown = "".join(f'<td class="number">{cell}</td>' for cell in (*cells, _percent(without.false_positives)))
    return f"<tr><td>{name}</td>{shown}</tr>"


def _cards(found: Audit, name: str) -> str:
    return f"<section><h2>The units</h2>{''.join(_card(unit, found, name) for unit in found.units)}</section>"


def _card(unit: AuditedUnit, found: Audit, name: str) -> str:
    views = [
        figure(
            heat(unit.map, found.size),
            f"Where {unit.target} fires, averaged over the photos of {name}",
            "Where it fires, averaged over all photos of the class: one bright place is the same place in all.",
        )
    ]
    if unit.portrait is not None:
        views.append(
            figure(
                portrait_picture(unit.portrait.image, found.value_range),
                f"A picture of what {unit.target} looks for",
                "What it looks for: made by gradient ascent.",
            )
        )
    facts = (
        f"<span>adds <b>{unit.contribution:+.3g}</b></span><span>most of all on <b>{_percent(unit.share)}</b></span>"
        f"<span>without it <b>{_percent(unit.without.accuracy)}</b> recognised</span>"
    )
    shown = ""
    if unit.own:
        shown += f'<p class="quiet">Photos of {text(name)} that fire it most, framed where:</p>'
        shown += examples(unit.own, unit.target)
    if unit.others:
        highest = number(unit.others[0].value)
        shown += f'<p class="quiet">Photos of other classes that fire it most (highest {highest}):</p>'
        shown += examples(unit.others, unit.target)
    return (
        f'<article class="unit" id="unit-{unit.rank}"><header><h3>{unit.rank}. <code>{text(unit.target)}</code></h3>'
        f'<span class="facts">{facts}</span></header><div class="views">{"".join(views)}</div>{shown}</article>'
    )


def _reading() -> str:
    return (
        "<section><h2>How to read this</h2><p>A feature is spurious when the class is recognised by it and it is not "
        "the class: a watermark, a frame, a background. Signs are a unit that carries the class alone, fires at the "
        "same place of every photo, and looks for something else. Setting a unit to zero takes it out of its usual "
        "range, and what several units carry together shows only when all are silenced.</p></section>"
    )
