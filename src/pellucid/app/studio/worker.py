"""The program that renders for a viewer: jobs come in as lines of JSON, what becomes of them goes out as lines.

    python -m pellucid.app.studio.worker

First line in: how to load the network (`Source`). Then `{"render": 3, "target": …, "recipe": {…}}`, `{"stop": 3}`.
Lines out: `{"job": 3, "state": "running", …}` with previews, then `done`, `cancelled` or `failed`. It ends with its
input.

A process of its own, so that a step never holds up a page, and a network that crashes or eats the memory takes nothing
with it.
"""

from __future__ import annotations

import base64
import io
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

import torch

from pellucid.app.studio.glass import Glass
from pellucid.ascent.progress import Progress, duration
from pellucid.ascent.recipe import Recipe
from pellucid.ascent.render import render
from pellucid.ascent.rendering import Rendering
from pellucid.errors import ModelError, PellucidError, WeightsError, is_out_of_memory
from pellucid.images.sheets import picture
from pellucid.models import zoo
from pellucid.models.model import Model

__all__ = ["load", "main", "rendered"]

_BETWEEN_PREVIEWS = 0.35  # seconds: about as often as one can see, and little beside a step

Say = Callable[[Mapping[str, Any]], None]


def main() -> None:
    """Answer until the input ends."""
    out = _own_output()

    def say(message: Mapping[str, Any]) -> None:
        out.write(json.dumps(message, allow_nan=False) + "\n")
        out.flush()

    first = sys.stdin.readline()
    if not first:
        return
    jobs: queue.Queue[Mapping[str, Any] | None] = queue.Queue()
    stopped: set[int] = set()
    threading.Thread(target=_listen, args=(jobs, stopped), daemon=True).start()
    model: Model | None = None
    source = json.loads(first)
    while (job := jobs.get()) is not None:
        number = int(job["render"])
        try:
            if model is None:
                say({"job": number, "state": "queued", "ahead": 0})
                model = load(source)
            rendered(model, job, say, lambda number=number: number in stopped)  # type: ignore[misc]
        except PellucidError as error:
            say({"job": number, "state": "failed", "text": str(error)})
        except Exception as error:  # noqa: BLE001  the user's own network may raise anything
            text = "the memory is full" if is_out_of_memory(error) else f"{type(error).__name__}: {error}"
            say({"job": number, "state": "failed", "text": text.partition("\n")[0]})


def load(source: Mapping[str, Any]) -> Model:
    """The network that a viewer names, seen to be that of its atlas.

    Raises:
        ModelError: it cannot be loaded, or has other weights than the atlas's.
    """
    if not source["may_download"]:
        os.environ["HF_HUB_OFFLINE"] = "1"
        torch.hub.download_url_to_file = _no_download
    arguments = {name: value for name, value in source["arguments"].items() if value is not None}
    if isinstance(arguments.get("size"), list):
        arguments["size"] = tuple(arguments["size"])
    model = zoo.load(**arguments)
    if model.weights_hash != source["weights_hash"]:
        raise ModelError(
            f"{model.name} has weights {model.weights_hash} here, and the atlas's are {source['weights_hash']}: "
            "start the viewer with --model and --weights of that network"
        )
    return model


def rendered(model: Model, job: Mapping[str, Any], say: Say, is_stopped: Callable[[], bool]) -> None:
    """Render one job, and say what becomes of it."""
    number = int(job["render"])
    recipe = Recipe.of(job["recipe"])
    glass = Glass(recipe, model)
    said = 0.0

    def on_step(run: Progress) -> bool:
        nonlocal said
        if is_stopped():
            return True
        now = time.monotonic()
        if now - said > _BETWEEN_PREVIEWS:
            said = now
            fraction = run.image_steps / max(1, run.total_image_steps)
            text = f"{100 * fraction:.0f} %, {duration(run.seconds_left)} left"
            say(
                {
                    "job": number,
                    "state": "running",
                    "fraction": round(fraction, 4),
                    "text": text,
                    "previews": [_address(shown) for shown in glass.look()],
                }
            )
        return False

    if is_stopped():
        say({"job": number, "state": "cancelled", "text": "stopped"})
        return
    began = time.monotonic()
    try:
        made = render(model, job["target"], recipe=recipe, callback=on_step, make_image=glass.maker)
    except KeyboardInterrupt:  # stopped before the first step
        say({"job": number, "state": "cancelled", "text": "stopped"})
        return
    state = "cancelled" if any(status.state == "interrupted" for status in made.status) else "done"
    text = f"{made.resolved.device}, {duration(time.monotonic() - began)}"
    say({"job": number, "state": state, "text": text, "pictures": _pictures(made)})


def _pictures(made: Rendering) -> list[dict[str, Any]]:
    return [
        {
            "src": _address(picture(shown, alpha=made.alpha)),
            "score": float(score) if torch.isfinite(score) else None,
            "status": str(status),
        }
        for shown, score, status in zip(made.pictures, made.scores, made.status, strict=True)
    ]


def _address(shown: Any) -> str:
    """A picture as an address that holds it."""
    buffer = io.BytesIO()
    shown.save(buffer, "WEBP", lossless=True, method=0)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _listen(jobs: queue.Queue[Mapping[str, Any] | None], stopped: set[int]) -> None:
    for line in sys.stdin:
        message = json.loads(line)
        if "stop" in message:
            stopped.add(int(message["stop"]))
        else:
            jobs.put(message)
    stopped.update(range(1_000_000))  # the viewer is gone: what is under way ends after its step
    jobs.put(None)


def _own_output() -> TextIO:
    """Standard output for messages alone: what a network or a library prints goes to standard error."""
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return own


def _no_download(url: str, *_: object, **__: object) -> None:
    raise WeightsError(
        f"the weights at {str(url)[:120]} are not on this machine, and an atlas's word is not enough to fetch them: "
        "start the viewer with --model and the network's name"
    )


if __name__ == "__main__":
    main()
