"""Experiment 4: objectives of a CIFAR ResNet-20 with real weights, rendered, inverted and held against the goals.

    python benchmarks/inverse/resnet20.py render --out build/inverse    # resumable: ten pictures at a time
    python benchmarks/inverse/resnet20.py report --out build/inverse    # benchmarks/inverse/results/DATE-resnet20.md

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
from pellucid.inverse.sampling import sparse_objectives
from pellucid.objectives.response_direction import response_direction

TREE = Path(__file__).parents[2]
SHARED = Path(os.environ.get("PELLUCID_SHARED", TREE.parent / "shared"))
RANDOM, SINGLE, TOGETHER = 40, 10, 10


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
    Case("layer3", "layer3", 64, 2, 600),
)
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("render", "report"))
    parser.add_argument("--out", type=Path, default=TREE / "build/inverse")
    parser.add_argument("--only", nargs="*", default=[], choices=[case.name for case in CASES])
    arguments = parser.parse_args()
    if arguments.what == "render":
        render(arguments.out, arguments.only)
