"""An evaluation on disk: its tables as CSV and markdown, its figures as pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from pellucid.images.whole_files import written_whole
from pellucid.inverse.evaluation import PREDICTORS, Evaluation

__all__ = ["coefficient_bars", "markdown", "save_evaluation", "save_evaluations", "scatter", "table_rows"]

_COLORS = {"prediction": "#2a7f62", "plain": "#7fb8a4", "response": "#c8553d", "random": "#8d99ae", "target": "#2b2d42"}
_WORST = 20


def save_evaluation(evaluation: Evaluation, folder: str | Path) -> Path:
    """Write `targets.csv`, `summary.md`, `coefficients.png` and `angles.png` (with re-optimised pictures: and SSIM).

    Raises:
        ImageError: a file cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = table_rows(evaluation)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    for name, content in (("targets.csv", text.getvalue()), ("summary.md", markdown(evaluation))):
        with written_whole(folder / name) as file:
            file.write(content.encode())
    bars = coefficient_bars({"": evaluation.coefficients})
    for name, figure in (("coefficients.png", bars), ("angles.png", scatter(evaluation))):
        _drawn(figure, folder / name)
    return folder


def save_evaluations(evaluations: Mapping[str, Evaluation], folder: str | Path) -> Path:
    """Write each into its own folder, and side by side `comparison.md` and `coefficients.png`.

    Raises:
        ImageError: a file cannot be written.
    """
    folder = Path(folder)
    lines = ["| | targets | prediction | plain | response | random |", "| --- " * 6 + "|"]
    for name, evaluation in evaluations.items():
        save_evaluation(evaluation, folder / name)
        summary = evaluation.summary()
        cells = [
            f"{summary[who]['median_deg']:.2f} / {summary[who]['max_deg']:.2f}"
            for who in ("prediction", "plain", "response", "random")
        ]
        lines.append(f"| {name} | {len(evaluation.targets)} | {' | '.join(cells)} |")
    lines += ["", "Angles to the target in degrees, median / maximum.", ""]
    with written_whole(folder / "comparison.md") as file:
        file.write("\n".join(lines).encode())
    shares = {name: evaluation.coefficients for name, evaluation in evaluations.items()}
    _drawn(coefficient_bars(shares), folder / "coefficients.png")
    return folder


def _drawn(figure: Figure, path: Path) -> None:
    with written_whole(path) as file:
        figure.savefig(file, format="png", dpi=120)


def table_rows(evaluation: Evaluation) -> list[dict[str, float | int | str]]:
    """One row a target, the worst prediction first: its angles, its re-optimised SSIM, its doubts."""
    rows: list[dict[str, float | int | str]] = []
    for which in evaluation.worst:
        row: dict[str, float | int | str] = {"target": which, "largest_unit": int(evaluation.targets[which].argmax())}
        for name, angles in evaluation.angles_deg.items():
            row[f"{name}_deg"] = round(float(angles[which]), 4)
        for (name, rate), values in evaluation.ssim.items():
            row[f"ssim_{name}_{rate:g}"] = round(float(values[which]), 4) if which < len(values) else ""
        row["status"] = str(evaluation.rendering.status[which])
        row["doubts"] = "; ".join(doubt.kind for doubt in evaluation.inversion.warnings[which])
        rows.append(row)
    return rows


def markdown(evaluation: Evaluation) -> str:
    """Median and maximum of every predictor, the 20 worst predictions, and the seconds of each stage."""
    lines = ["| what is compared with the target | median | maximum |", "| --- | --- | --- |"]
    for name, found in evaluation.summary().items():
        if "median_deg" in found:
            lines.append(f"| {name} | {found['median_deg']:.2f} | {found['max_deg']:.2f} |")
    rates = sorted({rate for _, rate in evaluation.ssim})
    if rates:
        names = [name for name in PREDICTORS if (name, rates[0]) in evaluation.ssim]
        lines += ["", f"| SSIM after re-optimising for | {' | '.join(names)} |", f"| --- |{' --- |' * len(names)}"]
        for rate in rates:
            medians = " | ".join(f"{float(evaluation.ssim[name, rate].median()):.3f}" for name in names)
            lines.append(f"| learning rate {rate:g} | {medians} |")
    lines += ["", "The worst predictions first, in degrees:", ""]
    for row in table_rows(evaluation)[:_WORST]:
        doubts = f" ({row['doubts']})" if row["doubts"] else ""
        lines.append(f"- target {row['target']}: {row['prediction_deg']}, its response {row['response_deg']}{doubts}")
    stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in evaluation.seconds.items())
    lines += ["", f"{len(evaluation.targets)} targets, seed {evaluation.seed}; {stages}.", ""]
    return "\n".join(lines)


def coefficient_bars(shares: Mapping[str, Float[Tensor, " n"]], *, most: int = 8) -> Figure:
    """Stacked bars: how much of the targets lies in the left-singular vectors, the smallest singular value lowest.

    `shares` are evaluations' coefficients, a bar each.

    The height of the lowest part says how well the plain answer does; fragmented bars say that it fails.
    """
    figure = Figure(figsize=(1.6 + 0.9 * len(shares), 3.6), layout="constrained")
    axes = figure.add_subplot()
    for place, coefficients in enumerate(shares.values()):
        base = 0.0
        values = coefficients.tolist()
        for order, share in enumerate([*values[:most], sum(values[most:])]):
            shade = 0.25 + 0.6 * order / most
            color = _COLORS["prediction"] if order == 0 else (shade, shade, shade)
            axes.bar(place, share, bottom=base, color=color, edgecolor="white", linewidth=0.5, width=0.7)
            base += share
    axes.set_xticks(range(len(shares)), [name.replace(", ", "\n") for name in shares])
    axes.set_ylim(0, 1)
    axes.set_ylabel("share of the target, by singular vector")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def scatter(evaluation: Evaluation) -> Figure:
    """Angle to the target against SSIM after re-optimising; without re-optimised pictures, the sorted angles."""
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    axes = figure.add_subplot()
    rates = sorted({rate for _, rate in evaluation.ssim})
    for name in ("random", "response", "prediction"):
        angles = evaluation.angles_deg[name]
        if rates and (name, rates[-1]) in evaluation.ssim:
            ssim = evaluation.ssim[name, rates[-1]]
            axes.scatter(angles[: len(ssim)].tolist(), ssim.tolist(), s=14, alpha=0.8, color=_COLORS[name], label=name)
            axes.set_ylabel(f"SSIM after re-optimising (rate {rates[-1]:g})")
            axes.set_xlabel("angle to the target, degrees")
        else:
            axes.plot(angles.sort().values.tolist(), color=_COLORS[name], label=name)
            axes.set_xlabel("targets, in the order of their angle")
            axes.set_ylabel("angle to the target, degrees")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
