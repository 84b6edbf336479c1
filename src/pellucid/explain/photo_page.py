"""The page of an explained photo: what fired, where, how unusually, what it looks for, what else fires it."""

from __future__ import annotations

from pellucid.explain.charts import bars, histogram
from pellucid.explain.explanation import Explanation, FiringUnit
from pellucid.explain.looks import crop, framed_cell, portrait_picture, spotlight
from pellucid.explain.markup import examples, figure, number, page, text
from pellucid.images.sheets import picture

__all__ = ["photo_page"]

_ORDERS = {
    "activation": "by mean activation",
    "percentile": "by how unusual their mean activation is",
    "contribution": "by what they add to the class",
}
_WAYS = {
    "weight-x-activation": "exact: weight × activation",
    "gradient-x-activation": "gradient × activation, exact for small changes only",
    "integrated-gradients": "integrated gradients",
}
_SHOWN_ADDS = 8  # units for and against a class


def photo_page(found: Explanation) -> str:
    """The whole page, with its pictures inside."""
    title = f"What {found.model_name} sees in {found.photo_name}"
    body = f"{_head(found, title)}<main>{_layer(found)}{_strongest(found)}{_for_and_against(found)}{_reading()}</main>"
    height, width = found.photo.shape[1:]
    return page(title, body, (f"network {found.model_name} {found.model_hash}", f"{height} × {width} px", found.layer))


def _head(found: Explanation, title: str) -> str:
    height, width = found.photo.shape[1:]
    photo = figure(
        picture(found.shown), f"The photo {found.photo_name}", f"What the network sees of it, in {height} × {width} px."
    )
    return (
        f'<header><p class="brand">Pellucid</p><h1>{text(title)}</h1><div class="top">{photo}'
        f"<div>{_predictions(found)}</div></div></header>"
    )


def _predictions(found: Explanation) -> str:
    if not found.predictions:
        return "<p>This network names no classes.</p>"
    rows = "".join(
        f"<li{_aimed(name == found.aim)}><b>{text(name)}</b><span>{100 * share:.1f} %</span>"
        f'<i style="--share:{100 * share:.1f}%"></i></li>'
        for name, share in found.predictions
    )
    first = found.units[0]
    unusual = "" if first.percentile is None else f", {_percentile(first, found)}"
    adds = f" What units add is to <b>{text(found.aim)}</b>." if found.aim else ""
    return (
        f'<h2>It says</h2><ol class="classes">{rows}</ol>'
        f"<p>Of the {len(found.table)} units of <code>{text(found.layer)}</code>, "
        f"<code>{text(first.target)}</code> comes first{unusual}.{adds}</p>"
    )


def _aimed(is_aim: bool) -> str:
    return ' class="aim"' if is_aim else ""


def _layer(found: Explanation) -> str:
    marked = {_number(unit): f"{unit.target}: {number(unit.activation)}" for unit in found.units}
    legend = "".join(f"<li><b>{_number(unit)}</b> {number(unit.activation)}</li>" for unit in found.units)
    values = found.table["activation"]
    label = f"Mean activation of the {len(values)} units of {found.layer}; highest {number(max(values))}"
    return (
        f"<section><h2>All units of <code>{text(found.layer)}</code></h2>"
        "<p>Mean activation on the photo, unit by unit. "
        f"Marked are the first {len(found.units)}, {_ORDERS[found.by]}.</p>"
        f"{bars(values, marked, label)}"
        f'<p class="axis"><span>unit 0</span><span>unit {len(values) - 1}</span></p>'
        f'<ul class="legend">{legend}</ul></section>'
    )


def _number(unit: FiringUnit) -> int:
    return int(unit.target.rpartition(":")[2])


def _strongest(found: Explanation) -> str:
    cards = "".join(_card(unit, found) for unit in found.units)
    return f"<section><h2>The first {len(found.units)}, {_ORDERS[found.by]}</h2>{cards}</section>"


def _strongest_place(unit: FiringUnit, found: Explanation) -> str:
    """The part of the photo that a unit sees where it is strongest; of one that sees all of it, where that is."""
    size = found.photo.shape[1], found.photo.shape[2]
    where = f"row {unit.place[0]}, column {unit.place[1]} of its map"
    if unit.box == (0, 0, *size) and unit.map.numel() > 1:
        return figure(
            framed_cell(found.shown, unit.place, (unit.map.shape[0], unit.map.shape[1])),
            f"The photo with a frame where {unit.target} is strongest",
            f"Framed where it is strongest ({where}); from there it sees the whole photo.",
        )
    return figure(
        crop(found.shown, unit.box, size),
        f"The part of the photo that {unit.target} sees where it is strongest",
        f"What it sees where it is strongest ({where}).",
    )


def _card(unit: FiringUnit, found: Explanation) -> str:
    facts = [f"mean activation <b>{number(unit.activation)}</b>"]
    if unit.percentile is not None:
        facts.append(f"<b>{_percentile(unit, found)}</b>")
    if unit.contribution is not None and found.aim:
        facts.append(f"adds <b>{unit.contribution:+.3g}</b> to {text(found.aim)}")
    if unit.classes:
        facts.append(
            "fires most on " + ", ".join(f"{text(name.partition(',')[0])} ({n})" for name, n in unit.classes[:3])
        )
    views = [
        figure(spotlight(found.shown, unit.map), f"The photo, lit where {unit.target} fires", "Lit where it fires."),
        _strongest_place(unit, found),
    ]
    if unit.portrait is not None:
        how = "" if unit.portrait.status.is_good else f" ({unit.portrait.status.state})"
        views.append(
            figure(
                portrait_picture(unit.portrait.image, found.value_range),
                f"A picture of what {unit.target} looks for",
                f"What it looks for: made by gradient ascent{how}, mean activation {number(unit.portrait.score)}.",
            )
        )
    seen = ""
    if unit.histogram is not None:
        label = f"Image-level means of {unit.target} over the surveyed pictures, with this photo's"
        says = f"Its mean activation over {found.num_surveyed:,} pictures (heights by square root), and on this photo."
        seen = f'{histogram(unit.histogram, unit.activation, label)}<p class="quiet">{says}</p>'
    if unit.examples:
        says = "The dataset's pictures that fire it most, each framed where it does."
        seen += f'{examples(unit.examples, unit.target)}<p class="quiet">{says}</p>'
    return (
        f'<article class="unit" id="unit-{unit.rank}"><header><h3>{unit.rank}. <code>{text(unit.target)}</code></h3>'
        f'<span class="facts">{"".join(f"<span>{fact}</span>" for fact in facts)}</span></header>'
        f'<div class="views">{"".join(views)}</div>{seen}</article>'
    )


def _percentile(unit: FiringUnit, found: Explanation) -> str:
    share = unit.percentile or 0.0
    return f"stronger than on {share:.1f} % of {found.num_surveyed:,} pictures"


def _for_and_against(found: Explanation) -> str:
    if "contribution" not in found.table.columns or found.aim is None or found.way is None:
        return ""
    ranked = sorted(zip(found.table["contribution"], found.table.targets, strict=True), reverse=True)
    speak_for = [(value, target) for value, target in ranked[:_SHOWN_ADDS] if value > 0]
    against = [(value, target) for value, target in ranked[::-1][:_SHOWN_ADDS] if value < 0]
    rows = "".join(
        f'<tr><td><code>{text(target)}</code></td><td class="number">{value:+.3g}</td></tr>'
        for value, target in (*speak_for, *against[::-1])
    )
    return (
        f"<section><h2>For and against {text(found.aim)}</h2><p>What units of the layer add to its logit on this photo "
        f"({_WAYS[found.way]}): the {len(speak_for)} that speak most for it, and the {len(against)} most against.</p>"
        f'<div class="wide"><table><thead><tr><th>unit</th><th class="number">adds</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _reading() -> str:
    return (
        "<section><h2>How to read this</h2><p>A unit that fires strongly is not yet a reason: see what it adds to the "
        "class, and what else fires it. A picture made by gradient ascent is one image that excites the unit, not all "
        "that does; dataset examples show what did among real pictures. The part of the photo that a deep unit sees "
        "can be all of it.</p></section>"
    )
