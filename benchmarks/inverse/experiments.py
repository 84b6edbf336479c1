"""Experiments 1 to 3: objectives of small networks, rendered, inverted and compared with what they were.

    python -m benchmarks.inverse.experiments run --out build/inverse                   # resumable: case by case
    python -m benchmarks.inverse.experiments report --out build/inverse                # results/DATE-networks.md

The seed of the objectives is drawn when the folder is made, and kept in it. `--targets` and `--steps` cut a case short;
the report says how many there were.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import torch
from benchmarks.inverse import networks

import pellucid as pl
from pellucid.inverse.choosing import choose_critical_space
from pellucid.inverse.critical_spaces import critical_space
from pellucid.inverse.evaluation import Evaluation, evaluate, judged
from pellucid.inverse.evaluation_files import coefficient_bars, save_evaluation, table_rows
from pellucid.inverse.inverting import evidence_of, invert

TREE = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results"
_SAMPLES = 32  # Jacobians that a critical space is found from, as in the paper


@dataclass(frozen=True)
class Case:
    """Objectives of one layer: how many, and how their pictures are made and read.

    `paper` is what the source reports for the like of it, as far as its text says.
    """

    name: str
    network: Callable[[], pl.Model]
    layer: str
    num_random: int
    num_single: int
    cosine_power: int = 2
    aggregation: str = "pooled"
    units: int | None = None
    needs_space: bool = False
    noise_draws: int = 16
    recipe: Mapping[str, Any] = field(default_factory=dict)
    reoptimise: int = 0
    paper: str = ""


_LOGITS = {"num_random": 50, "num_single": 10, "needs_space": True}
_DENSE3: dict[str, Any] = {"network": networks.densenet, "layer": "dense3", "num_random": 45, "num_single": 15}
_FEW = {**_DENSE3, "num_random": 18, "num_single": 6}  # for comparisons of many cases
_GEOMETRY = {"image": "geometry", "size": (16, 16)}
CASES = (
    Case("logits", networks.densenet, "output", **_LOGITS, reoptimise=12, paper="9 dimensions, accurate with them"),
    Case(
        "logits-without4", networks.densenet_without4, "output", **_LOGITS, paper="9 and 8 dimensions; accurate with 8"
    ),
    Case("logits-k0", networks.densenet, "output", **_LOGITS, cosine_power=0, paper="not reported"),
    Case("dense3-32", **_DENSE3, units=32, reoptimise=12, paper="accurate"),
    Case("dense3-32-k0", **_DENSE3, units=32, cosine_power=0, paper="better than the response; SSIM stays high"),
    Case("srnet", networks.srnet, "blocks.7", 45, 15, recipe=_GEOMETRY, paper="accurate, all 64"),
    Case("dense3-32-mean", **_DENSE3, units=32, aggregation="mean", paper="slightly larger angles"),
    Case("dense3-32-centre", **_DENSE3, units=32, aggregation="centre", paper="slightly larger angles"),
    Case("dense3-32-mean-k0", **_DENSE3, units=32, aggregation="mean", cosine_power=0, paper="fails"),
    Case("dense3-32-centre-k0", **_DENSE3, units=32, aggregation="centre", cosine_power=0, paper="fails"),
    Case(
        "mixed4a",
        lambda: pl.load("default"),
        "mixed4a",
        45,
        15,
        noise_draws=8,
        paper="GoogLeNet inception4c: few outliers",
    ),
    Case("srnet-k0", networks.srnet, "blocks.7", 45, 15, 0, recipe=_GEOMETRY, paper="accurate"),
    *(Case(f"dense3-{n}", **_FEW, units=n) for n in (8, 16, 64)),
    Case("dense3-132", **_FEW, paper="accurate"),
    *(Case(f"dense3-{n}-k0", **_FEW, units=n, cosine_power=0) for n in (8, 16, 64)),
    Case("dense3-132-k0", **_FEW, cosine_power=0, paper="degenerates: 70 to 90 degrees with most channels"),
    Case("dense3-32-waves", **_FEW, units=32, recipe={"image": "fourier"}, paper="as pixels"),
    Case("dense3-32-flat-waves", **_FEW, units=32, recipe={"image": "fourier", "decay": 0.0}, paper="as pixels"),
    Case("dense3-32-robust", **_FEW, units=32, recipe={"transforms": "jitter:2"}, paper="as without"),
)
COMPARISONS = {
    "Cosine power and aggregation, 32 channels of dense3": (
        *("dense3-32", "dense3-32-k0", "dense3-32-mean", "dense3-32-mean-k0"),
        *("dense3-32-centre", "dense3-32-centre-k0"),
    ),
    "How many channels, k = 2": tuple(f"dense3-{n}" for n in (8, 16, 32, 64, 132)),
    "How many channels, k = 0": tuple(f"dense3-{n}-k0" for n in (8, 16, 32, 64, 132)),
    "Parameterization of the image": ("dense3-32", "dense3-32-waves", "dense3-32-flat-waves", "dense3-32-robust"),
}


def run(out: Path, only: list[str], num_targets: int | None, steps: int) -> None:
    """Every case that is not there yet."""
    out.mkdir(parents=True, exist_ok=True)
    about = out / "about.json"
    if not about.exists():
        about.write_text(json.dumps({"seed": secrets.randbelow(10**6)}))
    seed = json.loads(about.read_text())["seed"]
    for case in CASES:
        if (only and case.name not in only) or (out / case.name / "result.json").exists():
            continue
        share = 1.0 if num_targets is None else min(1.0, num_targets / (case.num_random + case.num_single))
        found = evaluate(
            model := case.network(),
            case.layer,
            num_random=round(case.num_random * share),
            num_single=round(case.num_single * share),
            cosine_power=case.cosine_power,
            aggregation=case.aggregation,  # type: ignore[arg-type]
            units=case.units,
            recipe={"steps": steps, "trial": False, **case.recipe},
            noise_draws=case.noise_draws,
            reoptimise=case.reoptimise,
            seed=seed,
        )
        folder = out / case.name
        document: dict[str, Any] = {"seed": seed, "targets": len(found.targets), "steps": steps}
        evaluations = {"all dimensions": found}
        if case.needs_space:
            within, document["critical space"] = _with_spaces(model, case, found)
            evaluations |= within
        for name, evaluation in evaluations.items():
            save_evaluation(evaluation, folder / name.replace(" ", "-"))
            document[name] = {
                "summary": evaluation.summary(),
                "coefficients": evaluation.coefficients.tolist(),
                "seconds": dict(evaluation.seconds),
                "worst": table_rows(evaluation)[:20],
            }
        found.rendering.save(folder / "pictures.png", sidecar=False)
        (folder / "result.json").write_text(json.dumps(document, indent=1))
        medians = {name: round(float(e.angles_deg["prediction"].median()), 2) for name, e in evaluations.items()}
        sys.stdout.write(f"{case.name}: {medians} { ({k: round(v) for k, v in found.seconds.items()}) }\n")
        sys.stdout.flush()


def _with_spaces(model: pl.Model, case: Case, found: Evaluation) -> tuple[dict[str, Evaluation], dict[str, Any]]:
    """The same pictures inverted within every critical space that the first half's Jacobians give, and what was found.

    The space is chosen by the other half, whose objectives are known and were not used to find it.
    """
    half = min(_SAMPLES, len(found.targets) // 2)
    evidence = evidence_of(model, found.rendering, noise_draws=case.noise_draws)
    space = critical_space([one.gram for one in evidence[:half]], are_grams=True)
    choice = choose_critical_space(space, evidence[half:], found.targets[half:], case.cosine_power)
    evaluations: dict[str, Evaluation] = {}
    for size in sorted({plateau.dimension for plateau in space.plateaus if plateau.dimension}):
        if size > space.num_units - 2:
            continue
        within = invert(model, found.rendering, critical_space=space.without(size), noise_draws=case.noise_draws)
        name = f"{space.num_units - size} dimensions"
        evaluations[name] = judged(found.targets, found.rendering, within, found.seconds, found.seed)
    about = {
        "samples": half,
        "plateaus": [
            {
                "excluded": one.dimension,
                "eps": [one.low, one.high],
                "basis": [[round(value, 3) for value in row] for row in one.basis.T.tolist()],
            }
            for one in space.plateaus
        ],
        "chosen": space.num_units - choice.space.excluded.shape[1],
        "medians_deg": {str(space.num_units - size): round(median, 3) for size, median in choice.medians_deg},
    }
    return evaluations, about


def report(out: Path) -> None:
    """Everything that has been run as one dated page with its figures."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    done = [(case, json.loads((out / case.name / "result.json").read_text())) for case in CASES if _is_done(out, case)]
    missing = [case.name for case in CASES if not _is_done(out, case)]
    lines = [
        f"# Experiments 1 to 3: objectives of small networks, inverted ({date.today().isoformat()})",
        "",
        "Made by `python -m benchmarks.inverse.experiments`. Angles in degrees between the predicted and the true",
        "objective, median / maximum over all targets, modulo what the critical space leaves out on both sides.",
        "",
        "| case | targets | steps | searched | prediction | plain | response | random | the paper says |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for case, document in done:
        lines += [_row(case, document, name) for name in _parts(document)]
    if missing:
        lines += ["", f"Not run: {', '.join(missing)}."]
    lines += _comparisons({case.name: document for case, document in done})
    for case, document in done:
        lines += _section(out, case, document)
    page = RESULTS / f"{date.today().isoformat()}-networks.md"
    page.write_text("\n".join(lines) + "\n")
    sys.stdout.write(f"{page}\n")


def _is_done(out: Path, case: Case) -> bool:
    return (out / case.name / "result.json").exists()


def _parts(document: dict[str, Any]) -> list[str]:
    return [name for name, value in document.items() if isinstance(value, dict) and "summary" in value]


def _row(case: Case, document: dict[str, Any], name: str) -> str:
    summary = document[name]["summary"]
    cells = [
        f"{summary[who]['median_deg']:.2f} / {summary[who]['max_deg']:.1f}"
        for who in ("prediction", "plain", "response", "random")
    ]
    chosen = document.get("critical space", {}).get("chosen")
    mark = " (chosen)" if chosen is not None and name == f"{chosen} dimensions" else ""
    begin, end = [case.name, document["targets"], document["steps"]], case.paper
    if name != "all dimensions":
        begin, end = ["", "", ""], ""
    return f"| {' | '.join(map(str, [*begin, name + mark, *cells, end]))} |"


def _comparisons(done: Mapping[str, dict[str, Any]]) -> list[str]:
    """Cases that differ in one thing: the shares of their targets by singular vector, side by side."""
    lines: list[str] = []
    for place, (title, names) in enumerate(COMPARISONS.items(), 1):
        found = {name: done[name]["all dimensions"] for name in names if name in done}
        if len(found) < 2:
            continue
        figure = RESULTS / f"{date.today().isoformat()}-comparison-{place}.png"
        shares = {name.removeprefix("dense3-"): torch.tensor(one["coefficients"]) for name, one in found.items()}
        coefficient_bars(shares).savefig(figure, format="png", dpi=100)
        medians = [f"{name} {one['summary']['prediction']['median_deg']:.2f}" for name, one in found.items()]
        lines += ["", f"## {title}", "", f"Medians in degrees: {', '.join(medians)}.", "", f"![Shares]({figure.name})"]
    return lines


def _section(out: Path, case: Case, document: dict[str, Any]) -> list[str]:
    """One case: its figure, how the targets lie in the singular vectors, its 20 worst first."""
    lines = ["", f"## {case.name}", ""]
    part = f", its first {case.units} channels" if case.units else ""
    lines.append(
        f"`{case.layer}`{part}, k = {case.cosine_power}, {case.aggregation}; seed {document['seed']}, "
        f"{document['targets']} targets, {document['steps']} steps of Adam."
    )
    space = document.get("critical space")
    if space:
        medians = ", ".join(f"{size}: {median}" for size, median in space["medians_deg"].items())
        lines += [
            "",
            f"Critical spaces from {space['samples']} Jacobians; medians on the others by dimension: {medians}.",
        ]
        for plateau in space["plateaus"]:
            if 0 < plateau["excluded"] <= 3:
                low, high = plateau["eps"]
                lines.append(f"- without {plateau['excluded']} (eps {low:.2g} to {high:.2g}): {plateau['basis']}")
    for name in _parts(document):
        part = document[name]
        shares = ", ".join(f"{share:.3f}" for share in part["coefficients"][:6])
        stages = ", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in part["seconds"].items())
        lines += [
            "",
            f"**{name}**: shares of the targets by singular vector {shares}, …; {stages}.",
        ]
        if case.reoptimise and name == "all dimensions":
            figure = RESULTS / f"{date.today().isoformat()}-{case.name}.png"
            figure.write_bytes((out / case.name / name.replace(" ", "-") / "angles.png").read_bytes())
            lines += ["", f"![Angle to the target and SSIM after re-optimising]({figure.name})"]
        ssim = {
            who: {k: round(v, 3) for k, v in row.items() if k.startswith("ssim")}
            for who, row in part["summary"].items()
        }
        if any(ssim.values()):
            lines += ["", f"Median SSIM after re-optimising: {ssim}."]
        lines += [
            "",
            "The worst first (degrees; its response): " + ", ".join(_worst(row) for row in part["worst"]) + ".",
        ]
    return lines


def _worst(row: dict[str, Any]) -> str:
    return f"{row['prediction_deg']:.1f} ({row['response_deg']:.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("--out", type=Path, default=TREE / "build/inverse", help="folder of results, case by case")
    parser.add_argument("--only", nargs="*", default=[], choices=[case.name for case in CASES])
    parser.add_argument("--targets", type=int, help="so many of a case's targets only")
    parser.add_argument("--steps", type=int, default=600)
    arguments = parser.parse_args()
    if arguments.what == "run":
        run(arguments.out, arguments.only, arguments.targets, arguments.steps)
    else:
        report(arguments.out)


if __name__ == "__main__":
    main()
