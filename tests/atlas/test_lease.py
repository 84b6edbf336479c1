"""The lease: one sweep at a time, and a dead one keeps nobody out."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from atlas_networks import QUICK, tiny
from pellucid.atlas.lease import LEASE, Lease, Owner, owner_of
from pellucid.atlas.place import Place
from pellucid.atlas.sweeping import sweep
from pellucid.errors import AtlasError


@pytest.fixture(params=["folder", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place.of(tmp_path if request.param == "folder" else f"memory://{uuid.uuid4().hex}")


def elsewhere(**changes: object) -> bytes:
    """A lease of another machine, whose processes cannot be seen from here."""
    owner = replace(Owner.me(0.05), host="far", machine="far away", **changes)  # type: ignore[arg-type]
    return json.dumps(asdict(owner)).encode()


def test_a_second_sweep_is_refused_and_told_who_is_at_work(place: Place) -> None:
    with Lease(place), pytest.raises(AtlasError, match=r"another sweep is at work on .*: process \d+ on .*, last seen"):
        sweep(tiny(), place.url, **QUICK)
    assert place.names() == []
    sweep(tiny(), place.url, layers="one", units="0", **QUICK)


def test_of_many_at_once_one_gets_it(place: Place) -> None:
    start, won, lost = threading.Barrier(8), [], []

    def contend() -> None:
        start.wait()
        try:
            with Lease(place):
                won.append(1)
                over.wait(60)
        except AtlasError:
            lost.append(1)
        if len(lost) == 7:
            over.set()

    over = threading.Event()
    threads = [threading.Thread(target=contend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 7)


def test_the_lease_of_a_process_that_was_killed_is_taken_over_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pellucid.atlas.lease import Lease\nfrom pellucid.atlas.place import Place\n"
        "with Lease(Place.of(sys.argv[1])):\n print('mine', flush=True)\n time.sleep(60)"
    )
    held = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert held.stdout is not None
    assert held.stdout.readline() == "mine\n"
    held.stdout.close()
    place = Place.of(tmp_path)
    with pytest.raises(AtlasError, match="at work"), Lease(place):
        pass
    held.kill()
    held.wait()
    began = time.monotonic()
    with Lease(place) as lease:
        assert time.monotonic() - began < 10  # it would have waited 15 s for a heartbeat
        lease.check()
    assert place.names() == []


def test_of_a_far_machine_only_the_heartbeat_counts(place: Place) -> None:
    place.write(LEASE, elsewhere())
    with pytest.raises(AtlasError, match=r"process .* on far"), Lease(place):
        pass
    place.write(LEASE, elsewhere(beat=time.time() - 60))
    with Lease(place):
        assert (owner_of(place) or Owner.me(0)).host != "far"
    assert place.names() == []


def test_a_late_clock_is_not_a_death(place: Place) -> None:
    """Its clock is an hour behind, but its heart beats."""
    late = elsewhere(beat=time.time() - 3600, seconds=1.0)
    place.write(LEASE, late)
    stops = threading.Event()

    def beat() -> None:
        number = 0
        while not stops.wait(0.05):
            number += 1
            place.write(LEASE, json.dumps({**json.loads(late), "beat": time.time() - 3600 + number}).encode())

    heart = threading.Thread(target=beat)
    heart.start()
    try:
        with pytest.raises(AtlasError, match="at work"), Lease(place):
            pass
    finally:
        stops.set()
        heart.join()


def test_who_was_taken_for_dead_writes_no_more(place: Place) -> None:
    with Lease(place, seconds=0.05) as lease:
        holder = owner_of(place)
        assert holder is not None
        place.create(f"lease-after-{holder.token}.json", elsewhere())
        lease._thread.join(10)  # until its next heartbeat
        with pytest.raises(AtlasError, match=r"on far took over .*, as this sweep had given no sign of life"):
            lease.check()
    assert (owner_of(place) or Owner.me(0)).host == "far"  # and leaves the other's lease alone


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"token": 1}'])
def test_an_unreadable_lease_keeps_nobody_out(place: Place, data: bytes) -> None:
    place.write(LEASE, data)
    with Lease(place):
        pass
    assert place.names() == []
