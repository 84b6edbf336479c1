"""Workers: whoever renders, the pictures are the same, each is there once, and a lost worker loses nothing."""

from __future__ import annotations

import gc
import os
import signal
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from atlas_networks import QUICK, tiny
from atlas_networks import __file__ as NETWORKS
from pellucid.atlas.crew import Workers
from pellucid.atlas.order import card_for
from pellucid.atlas.outcome import SweepProgress, SweepReport
from pellucid.atlas.place import Place
from pellucid.atlas.processes import process_workers
from pellucid.atlas.renderer import Post
from pellucid.atlas.shards import Key
from pellucid.atlas.stock import take_stock
from pellucid.atlas.store import Atlas
from pellucid.atlas.sweeping import Sweep, sweep, workers_of
from pellucid.errors import AtlasError, ModelError

SOURCE = {"spec": f"{NETWORKS}:factory"}
SLOW = {**QUICK, "steps": 40, "batch": 2, "lanes": 1}


def images(url: Path) -> Mapping[Key, bytes | None]:
    atlas = Atlas.open(url)
    return {key: atlas.image(*key) for key in atlas.keys}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes of it."""
    url = tmp_path_factory.mktemp("alone")
    sweep(tiny(), url, **SLOW)
    return url


def by_workers(url: Path, workers: Workers, kill: object = None) -> SweepReport:
    card = card_for(tiny(), source=SOURCE, **SLOW)
    return Sweep(Place.of(url), card, kill).run(tiny(), workers)  # type: ignore[arg-type]


def nothing_is_doubled(url: Path) -> bool:
    stock = take_stock(Place.of(url))
    return not stock.doubled and not stock.damaged and len(stock.pictures) == 14


def test_two_processes_one_of_which_is_killed_make_the_pictures_of_one(alone: Path, tmp_path: Path) -> None:
    crew = []

    def start(post: Post) -> object:
        crew.extend(process_workers(post, 2))
        return crew

    killed: list[int] = []

    def kill(progress: SweepProgress) -> None:
        if not killed and progress.images_done:
            killed.append(crew[0].pids[0])
            os.kill(killed[0], signal.SIGKILL)

    report = by_workers(tmp_path / "two", start, kill)  # type: ignore[arg-type]
    assert killed
    assert report.rendered == Counter(done=14)
    assert images(tmp_path / "two") == images(alone)
    assert nothing_is_doubled(tmp_path / "two")


@pytest.fixture(scope="module")
def ray() -> Iterator[object]:
    ray = pytest.importorskip("ray")
    yield ray
    ray.shutdown()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on the processes that Ray leaves to be collected
        gc.collect()


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_two_ray_workers_one_of_which_is_killed_make_the_pictures_of_one(
    alone: Path, tmp_path: Path, ray: object
) -> None:
    workers = workers_of("ray", 2, threads=1)
    assert workers is not None
    crew = []

    def start(post: Post) -> object:
        crew.extend(workers(post))
        return crew

    killed = []

    def kill(progress: SweepProgress) -> None:
        if not killed and progress.images_done:
            ray.kill(crew[1]._actor)  # type: ignore[attr-defined]
            killed.append(1)

    report = by_workers(tmp_path / "ray", start, kill)  # type: ignore[arg-type]
    assert killed
    assert report.rendered == Counter(done=14)
    assert images(tmp_path / "ray") == images(alone)
    assert nothing_is_doubled(tmp_path / "ray")


def test_a_worker_that_cannot_load_the_network_says_so(tmp_path: Path) -> None:
    card = card_for(tiny(units=9), source=SOURCE, **SLOW)
    with pytest.raises(ModelError, match="a worker loads other weights"):
        Sweep(Place.of(tmp_path), card).run(tiny(units=9), workers_of("processes", 1))


def test_executors_that_make_no_sense_are_refused() -> None:
    with pytest.raises(AtlasError, match=r"no executor 'dask'\. There are: local, processes, ray\."):
        workers_of("dask")
    with pytest.raises(AtlasError, match="2 workers need another executor"):
        workers_of("local", 2)
    with pytest.raises(AtlasError, match="an address is that of a Ray cluster"):
        workers_of("processes", address="auto")


def test_memory_places_are_not_for_workers() -> None:
    with pytest.raises(AtlasError, match=r"is in the memory of one process"):
        Post.of(tiny(), card_for(tiny(), **SLOW), Place.of("memory://x"))
