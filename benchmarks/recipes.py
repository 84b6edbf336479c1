"""Find the learning rate, the schedule and the number of steps of the default recipe, and of MACO's.

    python benchmarks/recipes.py default:mixed4a,mixed5a --out recipes
    python benchmarks/recipes.py default:mixed4a,mixed5a --image maco --out recipes
    python benchmarks/recipes.py torchvision:squeezenet1_1:features.6,features.9 --out recipes \\
        --weights FILE.safetensors --mean 0.485,0.4582,0.4076 --std 0.00392,0.00392,0.00392

Every recipe renders the same units from the same starts. Their clean activation (float32, no transforms) is read off
snapshots and divided by what Lucid's own settings (Adam 0.05, constant; MACO: a constant 0.2) reach in 512 steps, unit
by unit. Steps are counted, not seconds, so that other work on the machine changes nothing. Printed for each recipe:

    share after N steps   the median over the units of that quotient
    steps to 1            the median number of steps until it is 1 ("-": more than half of the units never get there)
    sturdy                clean activation that is left under transforms no recipe trained with (a perspective view of
                          noise: shear 8, scale 0.85..1.15, noise 0.05), over the same for the reference
    burnt                 share of pixel values within 0.02 of black or white (the reference's in its own row)

and the curves as a picture. Nothing else of the recipe differs from its default.
"""

from __future__ import annotations

import argparse
import csv
import statistics
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import pellucid as pl
from pellucid.ascent.schedule import is_on_plateau
from pellucid.draws import Draws
from pellucid.objectives.from_target import expand_targets, objective_of
from pellucid.objectives.objective import per_image
from pellucid.transforms.presets import parse

GRID = (8, 16, 32, 48, 64, 96, 128, 160, 192, 224, 256)
UNSEEN = "shear:8 scale:0.85..1.15 noise:0.05"


@dataclass(frozen=True)
class Variant:
    """One recipe to try."""

    schedule: str
    rate: float
    steps: int

    def __str__(self) -> str:
        return f"{self.schedule} {self.rate:g}, {self.steps} steps"


@dataclass(frozen=True)
class Trials:
    """The recipes to try for an image, and the one they are measured by."""

    reference: Variant
    variants: tuple[Variant, ...]


TRIALS = {
    "fourier": Trials(
        Variant("constant", 0.05, 512),
        (
            *(Variant("constant", rate, 256) for rate in (0.05, 0.08, 0.1, 0.12, 0.16, 0.25)),
            *(Variant(schedule, rate, 256) for schedule in ("linear", "cosine") for rate in (0.12, 0.2, 0.3)),
            *(Variant("cosine", rate, 128) for rate in (0.12, 0.2, 0.3)),
            *(Variant("cosine", rate, 64) for rate in (0.2, 0.3)),
        ),
    ),
    "maco": Trials(
        Variant("constant", 0.2, 512),
        (
            *(Variant("constant", rate, 256) for rate in (0.05, 0.1, 0.2)),
            *(Variant("linear", rate, 256) for rate in (0.2, 0.3)),
            *(Variant("cosine", rate, 256) for rate in (0.1, 0.2, 0.3, 0.5, 1.0)),
            *(Variant("cosine", rate, 128) for rate in (0.2, 0.3)),
        ),
    ),
}


@dataclass
class Outcome:
    """What one variant did: clean activations [steps, units] at `grid`, and what is left unseen, and burnt."""

    grid: list[int]
    clean: Tensor
    unseen: Tensor
    burnt: float


def clean_scores(model: pl.Model, targets: list[str], images: Tensor) -> Tensor:
    """The activation of every target on its own picture, in float32."""
    singles = expand_targets([pl.Target.parse(text) for text in targets], model)
    objective = per_image([objective_of(single, model, model.size) for single in singles])
    with torch.no_grad():
        return objective(model.tap(images, objective.taps))


def unseen_scores(model: pl.Model, targets: list[str], images: Tensor, draws: int = 16) -> Tensor:
    """The mean activation over random views that no recipe trained with."""
    transform = parse(UNSEEN)
    keys = Draws.from_keys([f"view {target}" for target in targets])
    views = [clean_scores(model, targets, transform(images, keys.at(step)).clamp(0, 1)) for step in range(draws)]
    return torch.stack(views).mean(0)


def outcome(model: pl.Model, targets: list[str], image: str, variant: Variant) -> Outcome:
    """Render the targets by one variant."""
    grid = [step for step in (*GRID, 320, 384, 448, 512) if step <= variant.steps]
    got = pl.render(
        model,
        targets,
        image=image,
        steps=variant.steps,
        learning_rate=variant.rate,
        schedule=variant.schedule,
        snapshots=grid,
        trial=False,
    )
    pictures = [got.snapshots[step].nan_to_num(0.5) for step in grid]
    last = got.images
    return Outcome(
        grid,
        torch.stack([clean_scores(model, targets, images) for images in pictures]),
        unseen_scores(model, targets, last),
        float(((last < 0.02) | (last > 0.98)).float().mean()),
    )


def steps_to(quotients: Tensor, grid: list[int]) -> float:
    """The median number of steps until a unit's quotient [steps, units] is 1; infinite where it is never."""
    first = []
    for unit in quotients.T:
        reached = (unit >= 1).nonzero()
        first.append(grid[int(reached[0])] if len(reached) else float("inf"))
    return statistics.median_low(first)


def study(model: pl.Model, layer: str, image: str, units: int, out: Path) -> None:
    """One layer: a table on the terminal, a CSV and the curves."""
    trials = TRIALS[image]
    count = model.layer(layer).units
    targets = [f"{layer}:{unit}" for unit in torch.linspace(0, count - 1, units).long().tolist()]
    reference = outcome(model, targets, image, trials.reference)
    fired = reference.clean[-1] > 0
    print(f"\n{model.name} {layer}, {image}: {int(fired.sum())} units of {len(targets)} rise by the reference")
    print("| recipe | " + " | ".join(str(step) for step in (64, 128, 256)) + " | steps to 1 | sturdy | burnt |")
    print("| --- " * 7 + "|", flush=True)
    curves: dict[str, tuple[list[int], list[float]]] = {}
    name = f"{model.name}-{layer}-{image}".replace("/", "-")
    with (out / f"{name}.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["recipe", "step", "median quotient"])
        for variant in (trials.reference, *trials.variants):
            result = reference if variant is trials.reference else outcome(model, targets, image, variant)
            quotients = result.clean[:, fired] / reference.clean[-1, fired]
            medians = quotients.median(1).values.tolist()
            curves[str(variant)] = (result.grid, medians)
            table.writerows([str(variant), step, f"{m:.4f}"] for step, m in zip(result.grid, medians, strict=True))
            at = dict(zip(result.grid, medians, strict=True))
            cells = [f"{at[step]:.2f}" if step in at else "" for step in (64, 128, 256)]
            needed = steps_to(quotients, result.grid)
            sturdy = (result.unseen[fired] / result.clean[-1, fired]).median() / (
                reference.unseen[fired] / reference.clean[-1, fired]
            ).median()
            cells += ["-" if needed == float("inf") else f"{needed:g}", f"{sturdy:.2f}", f"{result.burnt:.1%}"]
            print(f"| {variant} | " + " | ".join(cells) + " |", flush=True)
    draw(curves, f"{model.name} {layer}, {image}", str(trials.reference), out / f"{name}.png")
    print_plateaus(model, targets, image)


def print_plateaus(model: pl.Model, targets: list[str], image: str, steps: int = 512) -> None:
    """When each plateau rule would have stopped the pictures of one long run, and what would have been lost."""
    grid = list(range(8, steps + 1, 8))
    got = pl.render(model, targets, image=image, steps=steps, snapshots=grid, trial=False)
    clean = torch.stack([clean_scores(model, targets, got.snapshots[step].nan_to_num(0.5)) for step in grid])
    print("| plateau | gain | stopped early | median steps | clean activation at the stop / after all steps |")
    print("| --- " * 5 + "|")
    for span in (16, 32, 64):
        for gain in (0.0, 0.01, 0.02, 0.05):
            stops, kept = [], []
            for column in range(len(targets)):
                history = got.history[:, column].tolist()
                rule = (n for n in range(2 * span, steps) if is_on_plateau(history[:n], span, gain))
                stops.append(next(rule, steps))
                kept.append(float(clean[stops[-1] // 8 - 1, column] / clean[-1, column].clamp(min=1e-9)))
            early = sum(stop < steps for stop in stops)
            middle, left = statistics.median(stops), statistics.median(kept)
            print(f"| {span} | {gain:g} | {early} of {len(stops)} | {middle:g} | {left:.2f} |", flush=True)


def draw(curves: dict[str, tuple[list[int], list[float]]], title: str, reference: str, file: Path) -> None:
    """The quotient over the steps, a line for each recipe."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5), layout="constrained")
    styles = {"constant": "-", "linear": "--", "cosine": ":"}
    for name, (steps, values) in curves.items():
        axes.plot(steps, values, styles[name.split()[0]], label=name, linewidth=1.5)
    axes.axhline(1, color="grey", linewidth=0.8)
    axes.set(xlabel="steps", ylabel=f"clean activation / that of {reference}", title=title, xlim=(0, 300))
    axes.legend(fontsize=7, ncols=2)
    figure.savefig(file, dpi=110)
    pyplot.close(figure)


def main() -> None:
    """Study each layer asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL:LAYER,LAYER", help="the layers lie behind the last colon")
    parser.add_argument("--weights", help="file for all models; their own by default")
    parser.add_argument("--mean", type=lambda text: tuple(map(float, text.split(","))))
    parser.add_argument("--std", type=lambda text: tuple(map(float, text.split(","))))
    parser.add_argument("--image", choices=TRIALS, default="fourier", help="what is optimised (default: %(default)s)")
    parser.add_argument("--units", type=int, default=16, help="of each layer, evenly spread")
    parser.add_argument("--out", type=Path, default=Path("recipes"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for text in options.models:
        spec, _, layers = text.rpartition(":")
        model = pl.load(spec, weights=options.weights, mean=options.mean, std=options.std)
        for layer in layers.split(","):
            study(model, layer, options.image, options.units, options.out)


if __name__ == "__main__":
    main()
