"""What tests of the viewer share: small atlases written through the real store, and a real server of one."""

from __future__ import annotations

import gc
import io
import json
import random
import string
import threading
import urllib.parse
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from pellucid.app.site.shelf import Shelf
from pellucid.app.studio.jobs import Workshop
from pellucid.app.studio.serve import bound, make_server
from pellucid.app.studio.server import Viewer
from pellucid.app.studio.source import source_for
from pellucid.ascent.recipe import Recipe
from pellucid.atlas.card import CARD, Card, LayerCard, ModelCard
from pellucid.atlas.place import Place
from pellucid.atlas.shards import Picture, View
from pellucid.atlas.store import Atlas
from pellucid.atlas.writer import Writer
from pellucid.survey.unit_table import About, UnitTable

CLASSES = ("goldfish", "king penguin", "tabby", "teapot")


@dataclass(frozen=True)
class Wanted:
    """An atlas to make: layer -> number of units, and what is said of its network."""

    layers: Mapping[str, int] = field(default_factory=lambda: {"mixed4a": 40, "logits": 4})
    px: int = 16
    name: str = "tiny"
    weights_hash: str = "0123456789abcdef"
    source: Mapping[str, Any] | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    negative: bool = True
    shift: float = 0.0  # of all scores
    recipe: Recipe = field(default_factory=lambda: Recipe(steps=16))


def webp(seed: int, px: int = 16) -> bytes:
    """A picture of a few colours."""
    rng = np.random.default_rng(seed)
    colors = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(colors).resize((px, px), Image.Resampling.NEAREST).save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


def make_atlas(folder: Path, wanted: Wanted | None = None) -> Path:
    """Write an atlas. Unit 5 of the first layer is dead and unit 6 failed; unit n of a layer has score n / 10."""
    wanted = wanted or Wanted()
    layers = {
        name: LayerCard(
            name, "Linear" if name == "logits" else "Block", "bc", (n,) if name == "logits" else (n, 8, 8), n
        )
        for name, n in wanted.layers.items()
    }
    model = ModelCard(wanted.name, wanted.weights_hash, wanted.source, (wanted.px, wanted.px), 3, (0.0, 1.0), CLASSES)
    units = {name: tuple(range(n)) for name, n in wanted.layers.items()}
    card = Card(model, layers, units, wanted.recipe, negative=wanted.negative, about=dict(wanted.about))
    place = Place.of(folder)
    place.write(CARD, card.to_bytes())
    images = [webp(seed, wanted.px) for seed in range(64)]
    views: tuple[View, ...] = ("picture", "negative") if wanted.negative else ("picture",)
    first = next(iter(wanted.layers))
    for layer, count in wanted.layers.items():
        for view in views:
            writer = Writer(place, most_rows=512)
            for unit in range(count):
                state = {5: "dead", 6: "failed"}.get(unit, "done") if layer == first else "done"
                image = None if state == "failed" else images[(unit + (view != "picture")) % len(images)]
                score = None if state == "failed" else unit / 10 + wanted.shift
                target = f"{layer}:{unit}"
                one = Picture(
                    target, layer, unit, view, 0, image, wanted.px, wanted.px, score, state, 16, None, 0,
                    "it broke" if state == "failed" else None,
                )  # fmt: skip
                writer.put([one])
            writer.flush()
    return folder


def put_table(folder: Path) -> None:
    """A table of all kinds of columns that a page can show, beside an atlas."""
    atlas = Atlas.open(folder)
    targets = [one.target for one in atlas.pictures()]
    columns: dict[str, tuple[list[Any], str]] = {
        "sparsity": ([at / len(targets) for at in range(len(targets))], "share of pictures without response"),
        "top_class": (["tabby" if at == 7 else f"class {at}" for at in range(len(targets))], "its best class"),
        "histogram": ([[9, 4, 1]] * len(targets), "how often it responds how strongly"),
        "edges": ([[0.0, 1.0, 2.0, 3.0]] * len(targets), "of the histogram"),
        "nearest": ([[{"target": "mixed4a:0", "similarity": 0.9}, {"target": "gone:1"}]] * len(targets),
                    "units that respond alike"),
        "examples": ([[{"image": webp(at), "activation": 1.5, "label": "tabby"}] for at in range(len(targets))],
                     "pictures that excite it most"),
    }  # fmt: skip
    fields = [pa.field("target", pa.string())]
    arrays = [pa.array(targets, pa.string())]
    for name, (values, meaning) in columns.items():
        array = pa.array(values)
        arrays.append(array)
        about = json.dumps(asdict(About(meaning, {"dataset": "made up"}))).encode()
        fields.append(pa.field(name, array.type, metadata={b"about": about}))
    model = atlas.card.model
    atlas.put_table("dataset", UnitTable(pa.table(arrays, schema=pa.schema(fields)), model.name, model.hash))


def make_viewer(folder: Path, *, compare: Path | None = None) -> Viewer:
    """A viewer of an atlas, as `pellucid view` makes it."""
    shelf = Shelf.open(folder, compare=compare)
    source, why_not = source_for(shelf.volumes[shelf.main].atlas.card, None, None)
    return Viewer(shelf, Workshop(source), why_not)


def fuzzed_paths(count: int) -> Iterator[str]:
    """Paths, as they go over the line, that try to leave an atlas or to make its viewer stumble."""
    draw = random.Random(0)
    parts = ["..", "%2e%2e", "..%2f", "%2f", "%5c..", "\\..", "....//", "%00", "\0", "%c0%ae", "secret.txt", "atlas",
             "atlas.json", "pictures", "tables", "/etc/passwd", "file://", "C:\\", "-", "static", "data", "thumb", "0",
             "mixed4a", "notes", "picture", "example", "~", "%252e%252e", "\u2025", "secret.txt%00.webp"]  # fmt: skip
    for _ in range(count):
        pieces = [
            draw.choice(parts) if draw.random() < 0.85 else draw.choice(string.punctuation)
            for _ in range(draw.randint(1, 8))
        ]
        start = draw.choice(["", "-/static/", "-/thumb/", "-/picture/0/0/", "-/data/0/"])
        yield urllib.parse.quote(f"/{start}{draw.choice(['/', '']).join(pieces)}", safe="/%")


@contextmanager
def served(viewer: Viewer) -> Iterator[str]:
    """The address of a real server of a viewer, in a thread of this process."""
    listening = bound("127.0.0.1", None)
    ready = threading.Event()
    server = make_server(viewer, "127.0.0.1", ready.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        assert ready.wait(30)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(15)
        listening.close()
        assert not thread.is_alive()
        with warnings.catch_warnings():  # of connections that a browser still held when the server left
            warnings.simplefilter("ignore", ResourceWarning)
            del server, thread
            gc.collect()
