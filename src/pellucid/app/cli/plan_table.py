"""`pellucid render --explain-plan`: what would be done, what was tried to decide it, and why."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from pellucid import __version__
from pellucid.app.cli.progress import watched
from pellucid.app.cli.tables import print_table
from pellucid.app.plan_file import kept_plans
from pellucid.ascent.recipe import Recipe
from pellucid.models.targets import Target

if TYPE_CHECKING:
    from pellucid.ascent.plan import Plan, Resolved
    from pellucid.ascent.trial import Trial
    from pellucid.models.model import Model

__all__ = ["explain", "run_as"]


def explain(opened: Callable[[], Model], targets: Sequence[Target], recipe: Recipe, *, as_json: bool) -> None:
    """Plan a run and print the plan. Renders nothing; what a trial chooses is remembered for the run itself."""
    with watched(quiet=as_json) as watch, kept_plans():
        watch.says("loading the network")
        model = opened()
        import pellucid as pl
        from pellucid.objectives.from_target import expand_targets

        singles = expand_targets(list(targets), model)
        watch.says("planning")
        plan = pl.plan(model, singles, recipe=recipe)
    if as_json:
        typer.echo(json.dumps(_document(model, recipe, len(singles), plan), allow_nan=False))
        return
    print_table(("plan", model.name), _rows(plan.resolved, recipe, len(singles)))
    if plan.trials:
        typer.echo()
        columns = ("trial", "batch", "ms an image", "off float32", "MiB an image", "cannot run")
        print_table(columns, [_row(trial) for trial in plan.trials], numeric=columns[1:5])
    if plan.reasons:
        typer.echo()
    for reason in plan.reasons:
        typer.echo(f"because: {reason}")


def run_as(resolved: Resolved) -> list[tuple[str, str]]:
    """How the network is run, by name."""
    return [
        ("device", resolved.device),
        ("precision", resolved.precision),
        ("layout", resolved.layout),
        ("batch norms", "folded where that is exact" if resolved.folded else "as they are"),
        ("size", f"{resolved.size[0]} x {resolved.size[1]} px"),
        ("batch", _batch(resolved)),
        ("threads", f"{resolved.threads}{' each' if resolved.lanes > 1 else ''}"),
        ("torch", resolved.torch),
    ]


def _batch(resolved: Resolved) -> str:
    if resolved.lanes == 1:
        return str(resolved.batch)
    return f"{resolved.batch} in {resolved.lanes} lanes side by side, {resolved.of_lane().batch} in each"


def _rows(resolved: Resolved, recipe: Recipe, num_images: int) -> list[tuple[str, str]]:
    pictures = f"{num_images} of {recipe.steps} steps each"
    return [("pictures", pictures), *run_as(resolved)]


def _row(trial: Trial) -> tuple[str, ...]:
    if trial.failure is not None:
        return str(trial.candidate), str(trial.batch), "–", "–", "–", trial.failure
    error = "–" if trial.error is None else f"{trial.error:.2%}"
    milliseconds, mebibytes = f"{1000 * trial.seconds:.3g}", f"{trial.bytes_per_image / 2**20:.3g}"
    return str(trial.candidate), str(trial.batch), milliseconds, error, mebibytes, ""


def _document(model: Model, recipe: Recipe, num_images: int, plan: Plan) -> dict[str, Any]:
    return {
        "pellucid": __version__,
        "model": model.name,
        "model_hash": model.weights_hash,
        "recipe": recipe.as_dict(),
        "recipe_hash": recipe.hash,
        "num_images": num_images,
        "resolved": asdict(plan.resolved) | {"hash": plan.resolved.hash},
        "trials": [{name: _finite(value) for name, value in asdict(trial).items()} for trial in plan.trials],
        "reasons": list(plan.reasons),
    }


def _finite(value: Any) -> Any:
    """JSON has no infinities: what could not be measured is null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
