"""One sweep on the command line: its plan, its progress, what became of it."""

from __future__ import annotations

import json
import time

import typer

from pellucid.app.cli.atlas_feeds import lacks_feeds, put_feeds
from pellucid.app.cli.progress import Watch
from pellucid.app.cli.tables import note, print_table
from pellucid.ascent.progress import duration
from pellucid.atlas.card import Card, read_card
from pellucid.atlas.crew import Workers
from pellucid.atlas.estimate import Estimate, estimate
from pellucid.atlas.outcome import SweepProgress, SweepReport
from pellucid.atlas.place import Place
from pellucid.atlas.stock import take_stock
from pellucid.atlas.store import Atlas
from pellucid.atlas.sweeping import Sweep
from pellucid.errors import PellucidError
from pellucid.models.model import Model

__all__ = ["carry_out"]

_LOG_SECONDS = 60  # between lines about the progress where there is no terminal for a bar
_NAMED = 5  # units named in a report
_BAD = {"failed": "raised an error", "dead": "could not be made to rise", "nonfinite": "had values that are no numbers"}


def carry_out(
    model: Model,
    card: Card,
    url: str,
    watch: Watch,
    *,
    dry_run: bool = False,
    retry_failed: bool = False,
    as_json: bool = False,
    workers: Workers | None = None,
) -> int:
    """Print the plan of a sweep, do it, say what became of it, and return the exit code."""
    place = Place.of(url)
    there = read_card(place)
    if there is not None:
        there.refuse_to_mix(card, place.url)
        card = there.joined(card)
    stock = take_stock(place, progress=lambda share: watch.goes_on("reading what is there", share))
    watch.says("timing a few steps")
    plan = estimate(model, card, place, stock.keys(retry_failed=retry_failed))
    if not as_json:
        _show(plan, place)
    elif dry_run:
        typer.echo(json.dumps(_document(plan, place)))
    if dry_run:
        return 0
    if plan.disk_free is not None and plan.disk > plan.disk_free and not as_json:
        note(f"warning: there may be too little room: about {_size(plan.disk)} needed, {_size(plan.disk_free)} free")
    with watch.stops_on_interrupt():
        following = _Following(watch, quiet=as_json)
        report = Sweep(place, plan.card, following, retry_failed=retry_failed, stock=stock).run(model, workers)
    lacking = "" if report.left else _fed(model, place, watch, is_alone=workers is None)
    if as_json:
        typer.echo(json.dumps(_result(plan, report)))
    else:
        _tell(report)
        if lacking:
            note(f"what its units feed is not known ({lacking}): pellucid atlas feeds {place.url}")
    return 130 if report.interrupted else 0


def _fed(model: Model, place: Place, watch: Watch, *, is_alone: bool) -> str:
    """See to it that a whole atlas knows what its units feed, which takes as long as a step or two of each; in words
    what keeps it from that, empty where nothing does. Who leads workers may have no accelerator: it is left to them."""
    atlas = Atlas.open(place)
    if not lacks_feeds(atlas):
        return ""
    if not is_alone:
        return "workers leave it to you"
    try:
        put_feeds(model, atlas, watch)
    except KeyboardInterrupt:
        return "interrupted"
    except PellucidError as error:
        return str(error)
    return ""


class _Following:
    """The callback of a sweep: a bar, or in a log a line a minute."""

    def __init__(self, watch: Watch, *, quiet: bool) -> None:
        self.watch = watch
        self._logs = watch.bar.disable and not quiet
        self._last = time.monotonic()

    def __call__(self, progress: SweepProgress) -> bool:
        if self._logs and time.monotonic() - self._last >= _LOG_SECONDS:
            self._last = time.monotonic()
            shown = progress.fields
            note(f"{shown['description']}, {shown['rate']}, {shown['left']}")
        return self.watch(progress)


def _show(plan: Estimate, place: Place) -> None:
    """The plan, as a table."""
    card = plan.card
    names = [name for name in card.layers if name in card.units]
    layers = ", ".join(names if len(names) <= 12 else [*names[:6], "…", *names[-5:]])
    views = "".join(
        (
            ", each with its negative" if card.negative else "",
            f" and a diverse set of {card.diverse}" if card.diverse else "",
        )
    )
    rows = [
        ("atlas", place.url),
        ("layers", f"{len(names)}: {layers}"),
        ("units", ", ".join([str(card.num_units), *views])),
        ("pictures", f"{plan.num_images} to make, of {card.recipe.total_steps} steps each; {plan.present} are there"),
    ]
    if plan.timed:
        rate = plan.num_images / max(plan.seconds, 1e-9)
        run = plan.resolved
        rows += [
            ("device", f"{run['device']}, {run['precision']}, {run['batch']} pictures a lane"),
            ("time", f"about {duration(plan.seconds)} ({rate:.2f} pictures/s, timed at {', '.join(plan.timed)})"),
            ("memory", _size(plan.memory) if plan.memory else "unknown"),
            ("disk", f"about {_size(plan.disk)}" + (f"; {_size(plan.disk_free)} free" if plan.disk_free else "")),
        ]
    print_table(("plan", card.model.name), rows)


def _tell(report: SweepReport) -> None:
    """What became of a sweep, on standard error."""
    for name, what in report.repaired.items():
        note(f"{name} was damaged ({what}); its pictures were rendered again")
    for status, words in _BAD.items():
        named = [one for one in report.bad if one.status == status]
        shown = [f"{one.target} ({one.error})" if one.error else one.target for one in named[:_NAMED]]
        if named:
            more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
            note(f"{', '.join(shown)}{more} {words}")
    made = sum(report.rendered.values())
    took = f"{made} pictures made in {duration(report.seconds)}; {report.before + made} are in {report.url}"
    if report.interrupted:
        note(f"pellucid: interrupted; {took}, {report.left} are missing; the same command goes on with it")
    else:
        note(f"{took}; look at it with: pellucid view {report.url}")


def _document(plan: Estimate, place: Place) -> dict[str, object]:
    return {
        "atlas": place.url,
        "model": plan.card.model.name,
        "model_hash": plan.card.model.hash,
        "layers": {name: len(units) for name, units in plan.card.units.items()},
        "num_images": plan.num_images,
        "present": plan.present,
        "seconds": plan.seconds,
        "seconds_per_image_step": dict(plan.timed),
        "memory_bytes": plan.memory,
        "disk_bytes": plan.disk,
        "disk_free_bytes": plan.disk_free,
        "recipe": plan.card.recipe.as_dict(),
    }


def _result(plan: Estimate, report: SweepReport) -> dict[str, object]:
    return {
        "atlas": report.url,
        "plan": {"num_images": plan.num_images, "seconds": plan.seconds},
        "rendered": dict(report.rendered),
        "before": report.before,
        "left": report.left,
        "repaired": dict(report.repaired),
        "bad": [
            {"target": one.target, "view": one.view, "status": one.status, "error": one.error} for one in report.bad
        ],
        "seconds": round(report.seconds, 2),
        "interrupted": report.interrupted,
    }


def _size(count: int) -> str:
    """`12 MB`, `3.4 GB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count / 1e3:.3g} kB"
