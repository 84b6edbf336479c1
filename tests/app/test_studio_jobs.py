"""Pictures made from a page: what may be asked for, by which network, and that a job is seen, stopped and survived."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import pellucid as pl
from pellucid.app.studio.glass import Glass
from pellucid.app.studio.jobs import Busy, Workshop
from pellucid.app.studio.serve import PortTaken, bound
from pellucid.app.studio.server import Viewer
from pellucid.app.studio.source import Source, source_for
from pellucid.app.studio.wishes import Wish
from pellucid.ascent.recipe import Recipe
from pellucid.atlas.card import Card
from pellucid.atlas.store import Atlas
from pellucid.errors import PellucidError
from viewing import Wanted, make_atlas, make_viewer, served

EMBEDDED = {"spec": "default", "weights": None}


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An atlas that names the embedded network, with its true hash."""
    wanted = Wanted(
        layers={"conv1": 32}, name="default", weights_hash=pl.load("default").weights_hash, source=EMBEDDED, px=32,
        recipe=Recipe(steps=16, size=(32, 32)),
    )  # fmt: skip
    return make_atlas(tmp_path_factory.mktemp("jobs") / "atlas", wanted)


@pytest.fixture(scope="module")
def card(atlas: Path) -> Card:
    return Atlas.open(atlas).card


@pytest.fixture(scope="module")
def viewing(atlas: Path) -> Iterator[tuple[str, Viewer]]:
    """A real server with a real worker, and what it answers from."""
    viewer = make_viewer(atlas)
    with served(viewer) as address:
        yield address, viewer


def ask(address: str, path: str, body: Any = None, method: str = "GET") -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"X-Pellucid": "1", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{address}/-/{path}", data, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def begin(address: str, **changes: Any) -> int:
    document = {"way": "again", "target": "conv1:3", "unit": "conv1:3", "steps": 12, "seed": 5} | changes
    return int(ask(address, "jobs", document, "POST")["id"])


def events(address: str, job: int) -> Iterator[dict[str, Any]]:
    with urllib.request.urlopen(f"{address}/-/jobs/{job}/events", timeout=60) as stream:
        for line in stream:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])


def test_a_job_shows_its_picture_growing_and_ends_with_it(viewing: tuple[str, Viewer]) -> None:
    seen = list(events(viewing[0], begin(viewing[0], steps=40)))
    assert {one["state"] for one in seen} == {"queued", "running", "done"}
    running = [one for one in seen if one["state"] == "running"]
    assert running[0]["previews"][0].startswith("data:image/webp;base64,")
    (made,) = seen[-1]["pictures"]
    assert made["status"] == "done after 40 steps"
    assert made["score"] > 0
    assert ask(viewing[0], "jobs?unit=conv1%3A3")[0]["state"] == "done"


def test_a_job_is_stopped_under_way_and_in_the_queue(viewing: tuple[str, Viewer]) -> None:
    address = viewing[0]
    long, waiting = begin(address, steps=2048), begin(address, steps=2048)
    stream = events(address, long)
    assert any(one["state"] == "running" for one in stream)
    ask(address, f"jobs/{waiting}", method="DELETE")
    assert [one["state"] for one in events(address, waiting)] == ["cancelled"]
    ask(address, f"jobs/{long}", method="DELETE")
    last = list(stream)[-1]
    assert last["state"] == "cancelled"
    assert "interrupted" in last["pictures"][0]["status"]


def test_a_watcher_that_vanishes_takes_nothing_with_it(viewing: tuple[str, Viewer]) -> None:
    address, viewer = viewing
    job = begin(address, steps=300)
    stream = events(address, job)
    next(stream)
    stream.close()  # closes the connection in the middle of the stream
    assert list(events(address, job))[-1]["state"] == "done"
    assert viewer.workshop.jobs[job].has_ended


def test_a_worker_that_dies_fails_its_job_and_the_next_one_has_a_new_worker(viewing: tuple[str, Viewer]) -> None:
    address, viewer = viewing
    job = begin(address, steps=2048)
    stream = events(address, job)
    assert any(one["state"] == "running" for one in stream)
    worker = viewer.workshop._worker
    assert worker is not None
    os.kill(worker.pid, signal.SIGKILL)
    last = list(stream)[-1]
    assert (last["state"], "worker ended" in last["text"]) == ("failed", True)
    assert list(events(address, begin(address, steps=4)))[-1]["state"] == "done"


def test_a_thousand_requests_from_32_clients_are_all_answered(viewing: tuple[str, Viewer]) -> None:
    paths = ("data/book", "data/0/0/unit/3", "thumb/0/0/4", "data/0/0/layer")

    def get(number: int) -> int:
        with urllib.request.urlopen(f"{viewing[0]}/-/{paths[number % 4]}", timeout=60) as answer:
            answer.read()
            return int(answer.status)

    with ThreadPoolExecutor(32) as clients:
        assert list(clients.map(get, range(1000))) == [200] * 1000


def test_two_viewers_do_not_share_a_port() -> None:
    with bound("127.0.0.1", None) as first, bound("127.0.0.1", None) as second:
        taken = first.getsockname()[1]
        assert second.getsockname()[1] != taken
        assert first.proto == socket.IPPROTO_TCP  # or asyncio leaves Nagle's delay on, 40 ms an answer
        with pytest.raises(PortTaken, match=rf"port {taken} is taken.*--port \d+ is free"):
            bound("127.0.0.1", taken)


def test_the_queue_has_an_end(card: Card) -> None:
    document = {"way": "again", "target": "conv1:3", "unit": "conv1:3", "steps": 12, "seed": 5}

    async def fill() -> None:
        workshop = Workshop(Source({"spec": "nothing"}, "", may_download=False))
        workshop._work = asyncio.Event().wait  # type: ignore[assignment, method-assign]  # nobody works
        for _ in range(13):
            await workshop.add(Wish.read(document, card))
        with pytest.raises(Busy, match="wait already"):
            await workshop.add(Wish.read(document, card))
        await workshop.close()

    asyncio.run(fill())


def test_looking_at_a_picture_does_not_change_it() -> None:
    model = pl.load("default")
    recipe = Recipe(steps=6, size=(32, 32), lanes=1)
    glass = Glass(recipe, model)
    seen: list[Any] = []
    looked = pl.render(
        model, "conv1:3", recipe=recipe, make_image=glass.maker, callback=lambda _: bool(seen.append(glass.look()))
    )
    assert len(seen) >= 5
    assert (looked.images == pl.render(model, "conv1:3", recipe=recipe).images).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"way": "eval"}, "no way 'eval'"),
        ({"way": ["again"]}, "no way"),
        ({"steps": 0}, "from 1 to 2048"),
        ({"steps": 10**9}, "from 1 to 2048"),
        ({"steps": True}, "whole number"),
        ({"seed": -1}, "seed is a whole number"),
        ({"seed": "0"}, "seed is a whole number"),
        ({"target": 3}, "a target is a text"),
        ({"target": "x" * 301}, "at most 300"),
        ({"target": "conv1:99"}, "no 99"),
        ({"target": "nowhere:1"}, "no layer 'nowhere'"),
        ({"target": "conv1:*"}, "several targets"),
        ({"target": "dir:conv1@/etc/passwd"}, "reads a file"),
        ({"target": "caricature:conv1@/etc/passwd"}, "reads a file"),
        ({"target": "inversion:conv1@photo.png + conv1:3"}, "reads a file"),
        ({"target": "probe:mine"}, "reads a file or is of Python"),
        ({"unit": None}, "the unit is the text"),
    ],
)
def test_a_page_asks_for_no_more_than_it_may(card: Card, changes: dict[str, Any], words: str) -> None:
    document = {"way": "again", "target": "conv1:3", "unit": "conv1:3", "steps": 12, "seed": 5} | changes
    with pytest.raises(PellucidError, match=words):
        Wish.read(document, card)


def test_ways_of_asking_again(card: Card) -> None:
    def wish(way: str, target: str = "conv1:3") -> Wish:
        return Wish.read({"way": way, "target": target, "unit": "conv1:3", "steps": 12, "seed": 5}, card)

    assert wish("negative").target == "-conv1:3"
    assert wish("strongest").target == "conv1:3~max"
    assert wish("diverse").recipe["members"] == 4
    assert wish("again").recipe["seed"] == 5
    assert wish("target", "logit:goldfish").target == "logit:goldfish"
    assert wish("again").recipe["size"] == card.recipe.as_dict()["size"]


@pytest.mark.parametrize(
    ("named", "said", "model", "weights"),
    [
        ("code.py:factory", "it was not touched", None, None),
        ("hf:someone/model", "comes from elsewhere", None, None),
        ("torchvision:../../x", "it was not touched", None, None),
        (None, "made in Python", None, None),
        ("code.py:factory", "it was not touched", None, "mine.safetensors"),  # weights do not vouch for the code
        ("default", "", None, None),
        ("torchvision:googlenet", "", None, None),
        ("code.py:factory", "", "code.py:factory", None),  # the user's own words
    ],
)
def test_an_atlas_alone_has_no_code_run(
    tmp_path: Path, named: str | None, said: str, model: str | None, weights: str | None
) -> None:
    source = None if named is None else {"spec": named}
    card = Atlas.open(make_atlas(tmp_path, Wanted(layers={"mixed4a": 8}, source=source))).card
    found, why = source_for(card, model, weights)
    assert (found is None) == bool(said)
    assert said in why
    assert found is None or found.may_download == (model is not None)


def test_opening_a_strangers_atlas_runs_nothing_that_it_names(tmp_path: Path) -> None:
    code = tmp_path / "code.py"
    code.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\ndef factory(): ...\n")
    wanted = Wanted(layers={"mixed4a": 8}, source={"spec": f"{code}:factory", "weights": str(code)})
    with served(make_viewer(make_atlas(tmp_path / "atlas", wanted))) as address:
        assert ask(address, "data/book")["live"]["can"] is False
        with pytest.raises(urllib.error.HTTPError) as refused:
            begin(address, target="mixed4a:3")
        assert refused.value.code == 409
        refused.value.close()
        time.sleep(0.2)
    assert not (tmp_path / "ran").exists()
    assert threading.active_count() < 50


def test_a_network_with_other_weights_is_refused(tmp_path: Path) -> None:
    atlas = make_atlas(tmp_path / "atlas", Wanted(layers={"conv1": 32}, source=EMBEDDED))
    with served(make_viewer(atlas)) as address:
        last = list(events(address, begin(address)))[-1]
    assert last["state"] == "failed"
    assert "the atlas's are 0123456789abcdef" in last["text"]
