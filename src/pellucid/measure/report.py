"""A table of measures as a page to read: the worst units first, what the measures say by layer, what each means."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from PIL import Image

from pellucid.ascent.source import Portrait
from pellucid.images.files import write
from pellucid.images.sheets import contact_sheet, picture
from pellucid.images.whole_files import written_whole
from pellucid.measure.about import MEANINGS
from pellucid.measure.manipulation import HIGH_REACH
from pellucid.models.targets import Target
from pellucid.survey.unit_table import UnitTable

__all__ = ["by_layer", "layer_of", "page", "write_page"]

_SHOWN = 20  # worst units, and best
_SHEET_PX = 700  # wide, where pictures are small enough
_HEADS = {
    "reach_percentile": "reach, percentile",
    "reach_ratio": "reach, ratio",
    "robustness": "robustness",
    "path_similarity": "path similarity",
    "machine_interpretability": "machine interpretability",
    "interpretability_accuracy": "its accuracy",
    "seed_agreement": "seed agreement",
    "model_randomisation": "model randomisation",
    "example_likeness": "likeness to natural top",
    "transfer_top1": "transfer, top 1",
    "transfer_top5": "transfer, top 5",
}


def layer_of(target: str) -> str:
    """The layer that a target's first term names; of a class, what kind of score it is."""
    term = Target.parse(target).terms[0]
    return term.layer or term.kind


def by_layer(table: UnitTable) -> list[dict[str, Any]]:
    """A row for each layer: its units, the median of each measure (None: nothing was measured), and how many units are
    flagged, or reach less than the 90th percentile of natural images."""
    rows: dict[str, list[int]] = {}
    for row, target in enumerate(table.targets):
        rows.setdefault(layer_of(target), []).append(row)
    columns = {name: table[name] for name in table.columns}
    found = []
    for layer, members in rows.items():
        line: dict[str, Any] = {"layer": layer, "units": len(members)}
        for name in _HEADS:
            if name in columns:
                known = [float(columns[name][row]) for row in members if columns[name][row] is not None]
                line[name] = median(known) if known else None
        line["below_90th"] = sum(columns["reach_percentile"][row] < HIGH_REACH for row in members)
        line["flagged"] = sum(bool(columns["flagged"][row]) for row in members)
        found.append(line)
    return found


def page(table: UnitTable, title: str, notes: Sequence[str], pictures: str | None) -> str:
    """The page as Markdown; `pictures` is the folder of its images as the page names it, or None for none."""
    ranked = table.sorted_by("trust", descending=False)
    about = table.about("score").provenance
    parts = [
        f"# {title}",
        "",
        f"{len(table)} pictures of `{table.model_name}` (weights {table.model_hash}), measured against "
        f"{about['images']} images of `{Path(str(about['reference'])).name}`. Likeness of pictures: "
        f"{about['likeness']}. Held-out transforms: `{about['transforms']}`.",
        "",
        *(f"{note}\n" for note in notes),
        f"## The {min(_SHOWN, len(table))} worst",
        "",
        "By `trust`, the mean of a unit's ranks by all measures, among the units measured here.",
        "",
        *([f"![The worst units' pictures, worst first]({pictures}/worst.webp)", ""] if pictures else []),
        *_units(ranked, range(min(_SHOWN, len(ranked)))),
        "",
        "## What they say",
        "",
        *(f"- {line}" for line in said(table)),
        "",
        *([f"![Measures by layer]({pictures}/by-layer.webp)", ""] if pictures else []),
        "Medians by layer:",
        "",
        *_layers(by_layer(table)),
        "",
        f"## The {min(_SHOWN, len(table))} best",
        "",
        *([f"![The best units' pictures, best first]({pictures}/best.webp)", ""] if pictures else []),
        *_units(ranked, range(len(ranked) - 1, max(-1, len(ranked) - 1 - _SHOWN), -1)),
        "",
        "## What each measure means",
        "",
        "| column | meaning | source |",
        "| --- | --- | --- |",
        *(f"| `{name}` | {MEANINGS[name][0]} | {MEANINGS[name][1] or '–'} |" for name in table.columns),
        "",
    ]
    return "\n".join(parts)


def said(table: UnitTable) -> list[str]:
    """What the measures say of all the units, in sentences with their numbers."""
    lines, count = [], len(table)
    reach = table["reach_percentile"]
    below = sum(value < HIGH_REACH for value in reach)
    top = sum(value >= 100 for value in reach)
    lines.append(
        f"**Reach.** {below} of {count} pictures ({below / count:.1%}) excite their unit less than the "
        f"{HIGH_REACH:.0f}th percentile of natural images does; {top / count:.0%} more than every natural image."
    )
    paths = [value for value in table["path_similarity"] if value is not None]
    if paths:
        per = "; ".join(
            f"`{line['layer']}` {line['path_similarity']:.2f}"
            for line in by_layer(table)
            if line.get("path_similarity") is not None
        )
        low = sum(value < 0.25 for value in paths) / len(paths)
        lines.append(
            f"**Path similarity** (1: processed like the unit's natural top images, 0: like others), median by layer: "
            f"{per}. {low:.0%} of the units lie below 0.25."
        )
    if "model_randomisation" in table.columns:
        pairs = [
            (own, other)
            for own, other in zip(_optional(table, "seed_agreement"), table["model_randomisation"], strict=True)
            if own is not None and other is not None
        ]
        others = [value for value in table["model_randomisation"] if value is not None]
        line = f"**Randomisation.** The median likeness to the untrained network's picture is {median(others):.2f}"
        if pairs:
            apart = sum(own > other for own, other in pairs) / len(pairs)
            line += (
                f", that between seeds of the trained one {median(own for own, _ in pairs):.2f}; for {apart:.0%} of "
                f"{len(pairs)} units the seeds agree more than the untrained network does"
            )
        lines.append(f"{line}.")
    if "machine_interpretability" in table.columns:
        right = [value for value in table["interpretability_accuracy"] if value is not None]
        lines.append(
            f"**Machine interpretability.** By pictures of unit and opposite, {sum(right) / len(right):.0%} of the "
            "choices between a natural image that excites the unit and one that does not are right "
            f"({len(right)} units; chance 50%)."
        )
    flagged = sum(bool(value) for value in table["flagged"])
    lines.append(f"**Manipulation check.** {flagged} of {count} pictures are flagged.")
    return lines


def _optional(table: UnitTable, column: str) -> list[Any]:
    return table[column] if column in table.columns else [None] * len(table)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _units(table: UnitTable, rows: range) -> list[str]:
    names = ["trust", *(name for name in _HEADS if name in table.columns)]
    values = {name: table[name] for name in (*names, "flagged")}
    heads = ["unit", *(_HEADS.get(name, name) for name in names), "flagged"]
    lines = [f"| {' | '.join(heads)} |", f"| --- {'| ---: ' * (len(heads) - 1)}|"]
    for row in rows:
        cells = [f"`{table.targets[row]}`", *(_cell(values[name][row]) for name in (*names, "flagged"))]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _layers(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    names = [name for name in _HEADS if name in lines[0]]
    heads = ["layer", "units", *(_HEADS[name] for name in names), "below the 90th", "flagged"]
    rows = [f"| {' | '.join(heads)} |", f"| --- {'| ---: ' * (len(heads) - 1)}|"]
    for line in lines:
        cells = [f"`{line['layer']}`", str(line["units"]), *(_cell(line[name]) for name in names)]
        rows.append(f"| {' | '.join([*cells, str(line['below_90th']), str(line['flagged'])])} |")
    return rows


def write_page(
    table: UnitTable,
    portraits: Mapping[str, Portrait],
    file: str | Path,
    *,
    title: str | None = None,
    notes: Sequence[str] = (),
    value_range: tuple[float, float] = (0.0, 1.0),
) -> Path:
    """Write the page, and beside it a folder of its name with the worst and best units' pictures and a chart.

    Raises:
        ImageError: they cannot be written there.
    """
    file = Path(file)
    folder = file.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    ranked = table.sorted_by("trust", descending=False).targets
    low, high = value_range
    for name, chosen in (("worst", ranked[:_SHOWN]), ("best", ranked[::-1][:_SHOWN])):
        there = [target for target in chosen if target in portraits]
        if there:
            shown = [picture(((portraits[target].image - low) / (high - low)).clamp(0, 1)) for target in there]
            columns = min(5, len(there))
            enlarge = max(1, _SHEET_PX // columns // max(shown[0].size))
            sheet = contact_sheet(shown, there, background="light", columns=columns, enlarge=enlarge)
            write(folder / f"{name}.webp", sheet)
    write(folder / "by-layer.webp", chart(table))
    title = title or f"How far the pictures of {table.model_name} can be trusted"
    with written_whole(file) as written:
        written.write(page(table, title, notes, folder.name).encode())
    return file


def chart(table: UnitTable) -> Image.Image:
    """Each measure's spread over the units of each layer: the middle half as a box, the median as a line."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    names = [name for name in _HEADS if name in table.columns and name not in ("transfer_top1", "transfer_top5")]
    names = [name for name in names if any(value is not None for value in table[name])]
    layers = list(dict.fromkeys(map(layer_of, table.targets)))
    of = [layer_of(target) for target in table.targets]
    columns = 2
    rows = math.ceil(len(names) / columns)
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(8, 2.1 * rows), dpi=110, layout="constrained")
        grid = iter(figure.subplots(rows, columns, squeeze=False).flat)
        for name in names:
            axes = next(grid)
            values = table[name]
            boxes = [[v for v, at in zip(values, of, strict=True) if at == layer and v is not None] for layer in layers]
            axes.boxplot(boxes, showfliers=False, widths=0.6, medianprops={"color": "tab:red"})
            axes.set_xticks(range(1, len(layers) + 1), layers, rotation=0 if len(layers) < 5 else 25)
            axes.set_title(_HEADS[name], fontsize=9)
        for axes in grid:  # what is left of the last row
            axes.set_visible(False)
        written = io.BytesIO()
        figure.savefig(written, format="png")
    return Image.open(written)
