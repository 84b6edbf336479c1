"""What a worker of a sweep does, in a process of its own: load the network once, render chunks, write shards."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from pellucid.ascent.progress import Progress
from pellucid.atlas.card import Card
from pellucid.atlas.chunk import Chunk, render_chunk, resolve
from pellucid.atlas.place import Place
from pellucid.atlas.shards import Picture
from pellucid.atlas.writer import Writer
from pellucid.errors import AtlasError, ModelError
from pellucid.models.model import Model
from pellucid.models.zoo import load

__all__ = ["Post", "Renderer"]


@dataclass(frozen=True)
class Post:
    """All that a worker needs to know, as plain data.

    Attributes:
        source: arguments of `pl.load`, or the pickled network. hash: of the weights that it must have.
        url, storage: where the atlas is. threads: of torch, 0 for its own choice. device: to be used instead of the
            recipe's, where there are several.
    """

    source: Mapping[str, Any] | bytes
    hash: str
    url: str
    storage: Mapping[str, Any]
    threads: int = 0
    device: str = ""

    @classmethod
    def of(cls, model: Model, card: Card, place: Place, threads: int = 0) -> Post:
        """The post for a network: by how it was loaded, or the network itself.

        Raises:
            AtlasError: it can be sent in neither way, or the atlas lies in this process's memory.
        """
        if place.url.startswith("memory://"):
            raise AtlasError(f"{place.url!r} is in the memory of one process, and workers are others: use a folder")
        storage = dict(place.options)
        known = card.model.source
        if known is not None and known.get("weights") != "none":
            return cls(dict(known), model.weights_hash, place.url, storage, threads)
        try:
            return cls(pickle.dumps(model), model.weights_hash, place.url, storage, threads)
        except Exception as error:  # whatever a module of the user's raises
            raise AtlasError(
                f"{model.name} cannot be sent to other processes ({error}): name a function that makes it, FILE.py:f"
            ) from error

    def network(self) -> Model:
        """The network.

        Raises:
            ModelError: it cannot be loaded, or has other weights than in the process that leads the sweep.
        """
        model = pickle.loads(self.source) if isinstance(self.source, bytes) else load(**self.source)
        if not isinstance(model, Model) or model.weights_hash != self.hash:
            raise ModelError(
                "a worker loads other weights than the process that leads the sweep: is their file the same?"
            )
        return model


class Renderer:
    """Renders chunks of one sweep; made once in each worker."""

    def __init__(self, post: Post) -> None:
        if post.threads:
            torch.set_num_threads(post.threads)
        self.post, self.model = post, post.network()
        self.place = Place.of(post.url, **post.storage)

    def resolve(self, card: Card, layer: str) -> dict[str, Any]:
        """How a layer's pictures are made on this worker's machine."""
        return resolve(self.model, self._here(card), layer)

    def render(self, card: Card, chunk: Chunk) -> list[Picture]:
        """Render a chunk into shards; its pictures, without images.

        Raises:
            AtlasError: whatever is rendered raises, or a shard cannot be written.
        """
        writer = Writer(self.place)
        made: list[Picture] = []

        def emit(pictures: list[Picture]) -> None:
            writer.put(pictures)
            made.extend(replace(one, image=None) for one in pictures)

        def tick(progress: Progress) -> None:
            writer.tick()

        try:
            render_chunk(self.model, self._here(card), chunk, emit, tick)
        finally:
            writer.flush()
        return made

    def _here(self, card: Card) -> Card:
        return replace(card, recipe=replace(card.recipe, device=self.post.device)) if self.post.device else card
