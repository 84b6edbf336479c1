"""The sweep: every unit of a network rendered into an atlas, begun, gone on with and finished."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pellucid.ascent.progress import Progress
from pellucid.ascent.recipe import Recipe
from pellucid.atlas.card import CARD, Card, read_card
from pellucid.atlas.chunk import Chunk, chunks, members, render_chunk, resolve
from pellucid.atlas.crew import Crew, Worker, Workers
from pellucid.atlas.lease import Lease
from pellucid.atlas.order import card_for
from pellucid.atlas.outcome import SweepProgress, SweepReport
from pellucid.atlas.place import Place
from pellucid.atlas.renderer import Post
from pellucid.atlas.shards import FOLDER, Key, Picture
from pellucid.atlas.stock import Stock, settle, take_stock
from pellucid.atlas.store import Atlas
from pellucid.atlas.writer import Writer
from pellucid.errors import AtlasError
from pellucid.models.model import Model

__all__ = ["EXECUTORS", "Sweep", "sweep", "workers_of"]

EXECUTORS = ("local", "processes", "ray")


def sweep(
    model: Model,
    url: str | Path,
    *,
    layers: str | Sequence[str] | None = None,
    units: str | Sequence[int] | None = None,
    images: int = 1,
    negative: bool = False,
    recipe: Recipe | Mapping[str, Any] | None = None,
    source: Mapping[str, Any] | None = None,
    about: Mapping[str, Any] | None = None,
    retry_failed: bool = False,
    callback: Callable[[SweepProgress], bool | None] | None = None,
    executor: str = "local",
    workers: int = 0,
    address: str | None = None,
    storage: Mapping[str, Any] | None = None,
    **settings: Any,
) -> SweepReport:
    """Render units of a network into the atlas at a path or URL, as far as they are not there yet.

    A sweep that was stopped, by Ctrl-C, a crash or a full disk, is gone on with by the same call; what was being
    rendered then begins again, and all pictures are those of a sweep that nobody stopped. More layers, units or views
    may be asked for later.

    Args:
        url: a folder, or an fsspec URL (`s3://bucket/atlas`); `storage` are options of its file system.
        layers: names or patterns (`"mixed4*"`); by default every block with weights.
        units: channel numbers of each layer, `"0-15,40"`; by default all.
        images: 1, or the picture and a diverse set of so many.
        negative: also a picture of what each unit is least like.
        recipe: how; `settings` are fields of `Recipe` that change it.
        source: arguments of `pl.load` by name that load this network again; kept for whoever opens the atlas.
        about: plain data to be kept with it.
        retry_failed: render units again that raised an error.
        callback: called after every step of a batch; returning True stops the sweep.
        executor: "local", in this process; "processes", several of this machine; or "ray", a cluster.
        workers: how many; by default one for each GPU, or as many as there are cores for. address: of the Ray cluster.

    Raises:
        AtlasError: another sweep is at work there, or it is an atlas of another network, recipe or newer version, or
            it cannot be written.
        TargetError, RecipeError, ModelError: what is asked for makes no sense; nothing was written.
    """
    card = card_for(
        model,
        layers=layers,
        units=units,
        images=images,
        negative=negative,
        recipe=recipe,
        source=source,
        about=about,
        **settings,
    )
    run = Sweep(Place.of(url, **(storage or {})), card, callback, retry_failed=retry_failed)
    return run.run(model, workers_of(executor, workers, address))


def workers_of(executor: str, count: int = 0, address: str | None = None, threads: int = 0) -> Workers | None:
    """What starts the workers of a sweep; None for this process.

    Raises:
        AtlasError: no such executor, or settings that are for another one.
    """
    if executor not in EXECUTORS:
        raise AtlasError(f"no executor {executor!r}. There are: {', '.join(EXECUTORS)}.")
    if executor == "local" and count > 1:
        raise AtlasError(f"{count} workers need another executor than 'local': processes, or ray")
    if address is not None and executor != "ray":
        raise AtlasError(f"an address is that of a Ray cluster, and the executor is {executor!r}")
    if executor == "processes":
        from pellucid.atlas.processes import process_workers

        return lambda post: process_workers(replace(post, threads=threads), count)
    if executor == "ray":
        from pellucid.atlas.cluster import ray_workers

        return lambda post: ray_workers(replace(post, threads=threads), count, address)
    return None


class Sweep:
    """One sweep under way."""

    def __init__(
        self,
        place: Place,
        card: Card,
        callback: Callable[[SweepProgress], bool | None] | None = None,
        *,
        retry_failed: bool = False,
        stock: Stock | None = None,
        lease_seconds: float | None = None,
    ) -> None:
        """`stock` is what was seen there before, if it was."""
        self._stock = stock
        self.place, self.card, self.callback, self.retry_failed = place, card, callback, retry_failed
        self.lease = Lease(place) if lease_seconds is None else Lease(place, seconds=lease_seconds)
        self.rendered: Counter[str] = Counter()
        self.bad: list[Picture] = []
        self.present: set[Key] = set()
        self.repaired: dict[str, str] = {}
        self._began = time.perf_counter()
        self._steps = self._total = 0
        self.num_images = 0
        self.interrupted = False

    def run(self, model: Model, workers: Workers | None = None) -> SweepReport:
        """Render what is missing, in this process or by workers; see `sweep`."""
        before_it_began = read_card(self.place)
        if before_it_began is not None:
            before_it_began.refuse_to_mix(self.card, self.place.url)
        with self.lease:
            self._begin()
            before = len(self.present)
            try:
                if workers is None:
                    self._render(model)
                elif self.num_images:
                    self._lead(workers(Post.of(model, self.card, self.place)))
            except KeyboardInterrupt:
                self.interrupted = True
            left = self._missing()
            if not left:
                self._settle()
        return SweepReport(
            url=self.place.url,
            rendered=self.rendered,
            before=before,
            repaired=self.repaired,
            left=left,
            seconds=time.perf_counter() - self._began,
            interrupted=self.interrupted,
            bad=tuple(self.bad),
        )

    def _begin(self) -> None:
        """Take stock of what is there, take away what is damaged, and write down what is to come."""
        there = read_card(self.place)
        if there is not None:
            there.refuse_to_mix(self.card, self.place.url)
            self.card = there.joined(self.card)
        self.place.remove_unfinished(FOLDER)
        stock = take_stock(self.place, self._stock)
        for name in stock.damaged:
            self.place.remove(name)
        self.repaired = stock.damaged
        if self.card != there:
            self.place.write(CARD, self.card.to_bytes())
        self.present = stock.keys(retry_failed=self.retry_failed)
        self.num_images = self._missing()
        self._total = self.num_images * self.card.recipe.total_steps

    def _missing(self) -> int:
        """Pictures that are not there."""
        return sum(len(chunk.units) * members(self.card, chunk.view) for chunk in chunks(self.card, self.present))

    def _render(self, model: Model) -> None:
        """All chunks, one after another."""
        writer = Writer(self.place)

        def emit(pictures: list[Picture]) -> None:
            self.lease.check()
            writer.put(pictures)
            self.count(pictures)

        try:
            for chunk in chunks(self.card, self.present):
                if chunk.layer not in self.card.resolved:
                    self._keep_resolved(chunk.layer, resolve(model, self.card, chunk.layer))
                done_before = sum(self.rendered.values())

                def watch(progress: Progress, chunk: Chunk = chunk) -> bool:
                    self.lease.check()
                    writer.tick()
                    return self.shows(chunk.layer, progress.image_steps)

                whole = render_chunk(model, self.card, chunk, emit, watch)
                self._steps += (sum(self.rendered.values()) - done_before) * self.card.recipe.total_steps
                if not whole:
                    self.interrupted = True
                    return
        finally:
            writer.flush()

    def _lead(self, workers: Sequence[Worker]) -> None:
        """All chunks, handed out to workers."""
        crew = Crew(
            workers,
            card=lambda: self.card,
            resolved=self._keep_resolved,
            done=self.count,
            present=self._present,
            watch=self._watch_workers,
        )
        try:
            self.interrupted = not crew.run(chunks(self.card, self.present))
        finally:
            for worker in workers:
                worker.stop()

    def _present(self, chunk: Chunk) -> list[Picture]:
        """The pictures of a chunk that are in the atlas, whoever made them."""
        atlas = Atlas.open(self.place)
        return [one for one in atlas.pictures(chunk.layer, chunk.view) if one.unit in set(chunk.units)]

    def _watch_workers(self) -> bool:
        self.lease.check()
        done = sum(self.rendered.values())
        self._steps = done * self.card.recipe.total_steps
        return self.shows("", 0)

    def _keep_resolved(self, layer: str, found: Mapping[str, Any]) -> None:
        """Write down how a layer is rendered, before the first picture of it."""
        self.card = replace(self.card, resolved={**self.card.resolved, layer: found})
        self.place.write(CARD, self.card.to_bytes())

    def count(self, pictures: Sequence[Picture]) -> None:
        """Some pictures were made."""
        for one in pictures:
            self.rendered[one.status] += 1
            self.present.add(one.key)
            if not one.is_good:
                self.bad.append(replace(one, image=None))

    def shows(self, doing: str, steps: int) -> bool:
        """Tell whoever listens how far it is; True when they stop it."""
        if self.callback is None:
            return False
        done = sum(self.rendered.values())
        seconds = time.perf_counter() - self._began
        dead = self.rendered["dead"] + self.rendered["nonfinite"]
        counts = (min(self._steps + steps, self._total), self._total, done, self.num_images, seconds)
        return self.callback(SweepProgress(*counts, dead, self.rendered["failed"], doing)) is True

    def _settle(self) -> None:
        """Few shards of many, where there is more than one of a layer and view."""
        shards: dict[str, list[str]] = defaultdict(list)
        for name in self.place.names(FOLDER, ".parquet"):
            shards[name.rpartition("-")[0]].append(name)
        for names in shards.values():
            if len(names) > 1:
                self.lease.check()
                settle(self.place, names)
