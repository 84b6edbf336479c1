"""Experiment 4: objectives of a CIFAR ResNet-20 with real weights, rendered, inverted and held against the goals.

    python benchmarks/inverse/resnet20.py render --out build/inverse    # resumable: ten pictures at a time
    python benchmarks/inverse/resnet20.py report --out build/inverse    # report.md beside them
    python benchmarks/inverse/resnet20.py report --out build/inverse --reoptimise 20    # and SSIM of layer2's first 20

The seed of the objectives is drawn when the folder is made, and kept in it. Each case has 40 random sparse objectives
and 10 single units.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

import pellucid as pl
from pellucid.ascent.rendering import Rendering
from pellucid.inverse.evaluation import Evaluation, judged, reoptimised_for_all
from pellucid.inverse.linear_algebra import angle_deg
from pellucid.inverse.sampling import sparse_objectives, sparseness
from pellucid.inverse.verify import SMALL_RATE
from pellucid.objectives.response_direction import response_direction

TREE = Path(__file__).parents[2]
SHARED = Path(os.environ.get("PELLUCID_SHARED", TREE.parent / "shared"))
RANDOM, SINGLE, TOGETHER = 40, 10, 10
RATES = (0.05, SMALL_RATE)  # the source's learning rate of re-optimising, and one without Adam's first large steps


@dataclass(frozen=True)
class Case:
    """A layer and a cosine power, and how long its pictures are made."""

    name: str
    layer: str
    num_units: int
    cosine_power: int
    steps: int
    aggregation: str = "pooled"


CASES = (
    Case("layer2", "layer2", 32, 2, 400),
    Case("logits", "output", 10, 2, 600),
    Case("logits-k0", "output", 10, 0, 600),
    Case("layer3", "layer3", 64, 2, 1200),
)
DRAWS = 64  # evaluations of noise that a Jacobian is averaged over: with 16 its spread is what limits layer3
# Noise of 0.01 on pixels before the sigmoid, two evaluations a step, and a rate that falls from 0.05 to 0: the ascent
# then ends where the mean gradient vanishes. L-BFGS on a fixed set of draws climbs on, but from kink to kink.
RECIPE = {
    "image": "pixels",
    "color": "none",
    "transforms": "none",
    "learning_rate": 0.05,
    "schedule": "cosine",
    "parameter_noise": 0.01,
    "noise_draws": 2,
    "precision": "float32",
    "trial": False,
}


def network() -> pl.Model:
    """The ResNet-20 of the shared folder."""
    weights = SHARED / "models/resnet20-cifar10.safetensors"
    return pl.load(f"{TREE / 'examples/resnet20.py'}:resnet20", weights=weights)


def targets_of(case: Case, seed: int) -> torch.Tensor:
    """Forty random sparse objectives and ten single units, drawn without replacement, [50, n]."""
    random = sparse_objectives(RANDOM, case.num_units, seed=seed)
    order = torch.randperm(case.num_units, generator=torch.Generator().manual_seed(seed))[:SINGLE]
    return torch.cat([random, torch.eye(case.num_units, dtype=torch.float64)[order]])


def render(out: Path, only: list[str]) -> None:
    """Make all pictures, ten at a time; what is there is kept."""
    out.mkdir(parents=True, exist_ok=True)
    about = out / "about.json"
    if not about.exists():
        about.write_text(json.dumps({"seed": secrets.randbelow(10**6)}))
    seed = json.loads(about.read_text())["seed"]
    model = network()
    for case in (case for case in CASES if not only or case.name in only):
        wanted = targets_of(case, seed)
        for first in range(0, len(wanted), TOGETHER):
            file = out / f"{case.name}-{first:02}.png"
            if file.with_suffix(".safetensors").exists():
                continue
            began = time.perf_counter()
            objectives = [
                response_direction(case.layer, t, cosine_power=case.cosine_power)
                for t in wanted[first : first + TOGETHER]
            ]
            made = pl.render(model, objectives, steps=case.steps, **RECIPE)
            made.save(file)
            save_file({"seconds": torch.tensor(time.perf_counter() - began)}, file.with_suffix(".time"))
            sys.stdout.write(f"{file.name} {time.perf_counter() - began:.0f} s\n")
            sys.stdout.flush()


GOALS = {"layer2": (2.5, 5.0), "layer3": (4.0, 6.0), "logits": (1.7, 4.0), "logits-k0": (5.0, float("inf"))}


def report(out: Path, reoptimise: int) -> None:
    """Invert what has been rendered, and write `report.md` beside it: every case, the 20 worst first."""
    seed = json.loads((out / "about.json").read_text())["seed"]
    model = network()
    lines = [f"Seed of the objectives {seed}; angles in degrees, median / maximum.", ""]
    lines += ["| case | pictures | single Jacobian | answer | plain | response | chance | goal |", "| --- " * 8 + "|"]
    details: list[str] = []
    for case in CASES:
        files = sorted(out.glob(f"{case.name}-[0-9][0-9].safetensors"))
        if not files:
            continue
        row, detail = _case(model, case, files, seed, reoptimise if case.name == "layer2" else 0)
        lines.append(row)
        details += detail
        (out / "report.md").write_text("\n".join([*lines, "", *details]) + "\n")
        sys.stdout.write(row + "\n")
        sys.stdout.flush()


def _case(model: pl.Model, case: Case, files: list[Path], seed: int, reoptimise: int) -> tuple[str, list[str]]:
    wanted = targets_of(case, seed)
    angles: dict[str, list[torch.Tensor]] = {}
    parts = [Rendering.load(file) for file in files]
    places = [int(file.stem.rpartition("-")[2]) for file in files]
    space, found_space = None, ""
    if case.layer == "output":  # found from the pictures alone: no objective is looked at
        evidence = [one for part in parts for one in pl.inverse.evidence_of(model, part, noise_draws=DRAWS)]
        space = pl.inverse.critical_space([one.gram for one in evidence], are_grams=True)
        ones = torch.full((case.num_units, 1), case.num_units**-0.5, dtype=torch.float64)
        away = float("nan") if space.excluded.shape[1] != 1 else float(angle_deg(space.excluded[:, 0], ones[:, 0]))
        widths = [(plateau.dimension, round(plateau.width, 1)) for plateau in space.plateaus[:4]]
        found_space = (
            f"critical space of {space.dimension} dimensions, W-perp {min(away, 180 - away):.1f} degrees from "
        )
        found_space += f"(1, …, 1); plateaus (dimension, width): {widths}"
    rows: list[tuple[float, str]] = []
    judgements: list[Evaluation] = []
    for place, part in zip(places, parts, strict=True):
        targets = wanted[place : place + len(part)]
        single = pl.inverse.invert(model, part, noise=0.0, critical_space=space)
        mean = pl.inverse.invert(model, part, critical_space=space, noise_draws=DRAWS)
        angles.setdefault("single", []).append(angle_deg(single.knowable(single.objectives), single.knowable(targets)))
        evaluation = judged(targets, part, mean, {}, seed)
        judgements.append(evaluation)
        for name, values in evaluation.angles_deg.items():
            angles.setdefault(name, []).append(values)
        for which, angle in enumerate(evaluation.angles_deg["prediction"].tolist()):
            doubts = ", ".join(doubt.kind for doubt in mean.warnings[which])
            rows.append(
                (angle, f"{place + which}: {angle:.2f}, sparseness {float(sparseness(targets[which])):.2f} {doubts}")
            )
    all_angles = {name: torch.cat(values) for name, values in angles.items()}
    shown = {name: f"{float(v.median()):.2f} / {float(v.max()):.2f}" for name, v in all_angles.items()}
    count = len(all_angles["prediction"])
    names = ("single", "prediction", "plain", "response", "random")
    goal = "{:g} / {:g}".format(*GOALS[case.name])
    row = f"| {case.name}, k = {case.cosine_power} | {count} | {' | '.join(shown[name] for name in names)} | {goal} |"
    worst = [text for _, text in sorted(rows, reverse=True)[:20]]
    detail = [f"## {case.name}", "", *([found_space, ""] if found_space else []), "The worst first:", ""]
    detail += [f"- {text}" for text in worst] + [""]
    if reoptimise:
        detail += _kept(model, judgements, reoptimise)
    return row, detail


def _kept(model: pl.Model, judgements: list[Evaluation], count: int) -> list[str]:
    """The table of how alike the first pictures stay when they are optimised on, for each predictor."""
    values: dict[tuple[str, float], list[torch.Tensor]] = {}
    for evaluation in judgements:
        if (left := min(count, len(evaluation.targets))) > 0:
            count -= left
            for key, ssim in reoptimised_for_all(model, evaluation, left, RATES).ssim.items():
                values.setdefault(key, []).append(ssim)
    names = list(dict.fromkeys(name for name, _ in values))
    total = len(torch.cat(next(iter(values.values()))))
    lines = [f"SSIM to what they were of the first {total} pictures after 500 steps of Adam for …, median:", ""]
    lines += [f"| learning rate | {' | '.join(names)} |", "| --- " * (len(names) + 1) + "|"]
    for rate in RATES:
        cells = " | ".join(f"{float(torch.cat(values[name, rate]).median()):.3f}" for name in names)
        lines.append(f"| {rate:g} | {cells} |")
    return [*lines, ""]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("render", "report"))
    parser.add_argument("--out", type=Path, default=TREE / "build/inverse")
    parser.add_argument("--reoptimise", type=int, default=0, help="so many pictures of layer2")
    parser.add_argument("--only", nargs="*", default=[], choices=[case.name for case in CASES])
    arguments = parser.parse_args()
    if arguments.what == "render":
        render(arguments.out, arguments.only)
    else:
        report(arguments.out, arguments.reoptimise)
