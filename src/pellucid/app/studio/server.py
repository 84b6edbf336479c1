"""The viewer's routes: pages at `/LAYER/UNIT`, and everything else below `/-/`."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from fastapi import Body, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse

from pellucid.app.site import contents
from pellucid.app.site.addresses import Routes
from pellucid.app.site.examples import example_bytes
from pellucid.app.site.pages import FRONT_END, front_end, page
from pellucid.app.site.shelf import Shelf, Volume
from pellucid.app.site.thumbs import Thumbs
from pellucid.app.site.unit_contents import alike_contents, unit_contents
from pellucid.app.studio.guard import Guard
from pellucid.app.studio.jobs import Busy, Job, Workshop
from pellucid.app.studio.notes import Note, Notes
from pellucid.app.studio.wishes import Wish
from pellucid.errors import PellucidError

__all__ = ["Viewer", "make_app"]

Document = Annotated[dict[str, Any], Body()]
"""The body of a request that changes something."""

_KINDS = {"css": "text/css", "js": "text/javascript"}
_VIEWS = ("-/search", "-/notes", "-/about", "-/compare/", "-/like/")
_REFRESHED = 5.0  # seconds for which a reloaded page need not look for what a sweep has written
_FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}  # addresses change with the viewer's start
_NEVER = {"Cache-Control": "no-store"}


@dataclass
class Viewer:
    """What the routes answer from. `why_not_live` says why no page can render; empty where one can."""

    shelf: Shelf
    workshop: Workshop
    why_not_live: str = ""

    def __post_init__(self) -> None:
        self.notes = Notes(self.shelf.volumes[self.shelf.main].atlas.place)
        self.thumbs = [Thumbs(volume) for volume in self.shelf.volumes]
        self.token = secrets.token_hex(4)
        self._refreshed = time.monotonic()

    def volume(self, number: int) -> Volume:
        """A volume by its number, or 404."""
        found = self.shelf.volume(number)
        if found is None:
            raise HTTPException(404, "the viewer shows no such atlas")
        return found

    def layer(self, number: int, layer: int) -> tuple[Volume, str]:
        """A layer by its number, or 404."""
        volume = self.volume(number)
        if not 0 <= layer < len(volume.layers):
            raise HTTPException(404, "the atlas has no such layer")
        return volume, volume.layers[layer]

    def refresh(self) -> None:
        """Take in what a sweep has written, now and then."""
        if time.monotonic() - self._refreshed > _REFRESHED:
            self._refreshed = time.monotonic()
            self.shelf.refresh()
            self.token = secrets.token_hex(4)

    def job(self, number: int) -> Job:
        """A job by its number, or 404."""
        if number not in self.workshop.jobs:
            raise HTTPException(404, "there is no such job, or it ended long ago")
        return self.workshop.jobs[number]


def make_app(viewer: Viewer, hosts: tuple[str, ...], *, any_address: bool = False) -> FastAPI:
    """The viewer as an ASGI application that goes by the names `hosts`."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await viewer.workshop.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.add_middleware(Guard, hosts=hosts, any_address=any_address)
    _errors(app)
    _data(app, viewer)
    _pictures(app, viewer)
    _changes(app, viewer)
    _pages(app, viewer)
    return app


def _errors(app: FastAPI) -> None:
    @app.exception_handler(HTTPException)
    async def missing(_: Request, error: HTTPException) -> Response:
        return JSONResponse({"error": str(error.detail)}, error.status_code, headers=_NEVER)

    @app.exception_handler(RequestValidationError)
    async def unreadable(_: Request, error: RequestValidationError) -> Response:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        return JSONResponse({"error": f"{where}: {error.errors()[0]['msg']}"}, 422, headers=_NEVER)

    @app.exception_handler(PellucidError)
    async def refused(_: Request, error: PellucidError) -> Response:
        return JSONResponse({"error": str(error)}, 429 if isinstance(error, Busy) else 400, headers=_NEVER)


def _data(app: FastAPI, viewer: Viewer) -> None:
    shelf = viewer.shelf

    @app.get("/-/data/book")
    def book() -> Response:
        viewer.refresh()
        why, notes = viewer.why_not_live, viewer.notes.why_not
        steps = shelf.volumes[shelf.main].atlas.card.recipe.steps
        whole = contents.book(
            shelf, live={"can": not why, "why": why, "steps": steps}, notes={"can": not notes, "why": notes}
        )
        return _json({**whole, "token": viewer.token})

    @app.get("/-/data/names")
    def names() -> Response:
        return _json(contents.names(shelf.volumes[shelf.main]))

    @app.get("/-/data/notes")
    def notes() -> Response:
        return _json(viewer.notes.as_data())

    @app.get("/-/data/{number}/{layer}/layer")
    def layer(number: int, layer: int) -> Response:
        return _json(contents.layer_contents(*viewer.layer(number, layer)))

    @app.get("/-/data/{number}/{layer}/unit/{unit}")
    def unit(number: int, layer: int, unit: int) -> Response:
        viewer.layer(number, layer)
        found = unit_contents(shelf, number, layer, unit, Routes())
        if found is None:
            raise HTTPException(404, "the atlas has no such unit")
        return _json(found)

    @app.get("/-/data/{number}/{layer}/alike/{unit}")
    def alike(number: int, layer: int, unit: int) -> Response:
        volume, _ = viewer.layer(number, layer)
        one = volume.picture(layer, unit)
        return _json(alike_contents(volume, one.target) if one else None)


def _pictures(app: FastAPI, viewer: Viewer) -> None:
    @app.get("/-/thumb/{number}/{layer}/{unit}")
    def thumb(number: int, layer: int, unit: int) -> Response:
        one = viewer.layer(number, layer)[0].picture(layer, unit)
        return _image(viewer.thumbs[number].of(one) if one else None)

    @app.get("/-/picture/{number}/{layer}/{unit}/{view}/{member}")
    def picture(number: int, layer: int, unit: int, view: str, member: int) -> Response:
        volume, _ = viewer.layer(number, layer)
        one = volume.picture(layer, unit)
        found = (
            [other for other in volume.atlas.unit(one.target) if (other.view, other.member) == (view, member)]
            if one
            else []
        )
        return _image(volume.atlas.image(found[0].target, found[0].view, member) if found else None)

    @app.get("/-/example/{number}/{layer}/{unit}/{column}/{place}")
    def example(number: int, layer: int, unit: int, column: int, place: int) -> Response:
        volume, _ = viewer.layer(number, layer)
        one, columns = volume.picture(layer, unit), volume.known.columns
        if one is None or not 0 <= column < len(columns) or columns[column].kind != "examples":
            return _image(None)
        entries = volume.known.value(columns[column], one.target) or []
        return _image(example_bytes(entries[place], volume.known.pictures) if 0 <= place < len(entries) else None)


def _changes(app: FastAPI, viewer: Viewer) -> None:
    shelf, workshop = viewer.shelf, viewer.workshop

    @app.put("/-/notes/{target:path}")
    def note(target: str, document: Document) -> Response:
        if not viewer.shelf.volumes[shelf.main].atlas.unit(target):
            raise HTTPException(404, f"the atlas has no unit {target[:80]!r}")
        written = Note.read(document)
        viewer.notes.write(target, written)
        return _json(asdict(written))

    @app.post("/-/jobs")
    async def begin(document: Document) -> Response:
        if viewer.why_not_live:
            raise HTTPException(409, viewer.why_not_live)
        wish = Wish.read(document, shelf.volumes[shelf.main].atlas.card)
        return _json((await workshop.add(wish)).as_data())

    @app.get("/-/jobs")
    async def jobs(unit: str = "") -> Response:
        return _json([job.as_data() for job in workshop.jobs.values() if job.wish.unit == unit])

    @app.delete("/-/jobs/{number}")
    async def stop(number: int) -> Response:
        job = viewer.job(number)
        await workshop.stop(job)
        return _json(job.as_data())

    @app.get("/-/jobs/{number}/events")
    async def events(number: int) -> Response:
        job = viewer.job(number)

        async def stream() -> AsyncIterator[str]:
            async for now in job.watch():
                yield f"data: {json.dumps(now)}\n\n" if now is not None else ": still there\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream", headers=_NEVER)


def _pages(app: FastAPI, viewer: Viewer) -> None:
    files = {name: front_end(name) for name in FRONT_END}

    @app.get("/-/static/{name}")
    async def static(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, "the front end has no such file")
        kind = _KINDS[name.rpartition(".")[2]]
        return Response(files[name], media_type=kind, headers={"Cache-Control": "no-cache"})

    @app.get("/{path:path}")
    async def view(path: str) -> Response:
        """Every address of a page is the same page: its scripts read the address. What is none says so, too."""
        main = viewer.shelf.volumes[viewer.shelf.main]
        layer, _, last = path.rstrip("/").rpartition("/")
        known = not path or path.startswith(_VIEWS) or path.rstrip("/") in main.layers
        is_unit = layer in main.layers and last.isdecimal() and len(last) < 10
        found = known or (is_unit and main.picture(main.layers.index(layer), int(last)) is not None)
        text = page(main.name, root="/-/", kind="server")
        return Response(text, 200 if found else 404, media_type="text/html", headers=_NEVER)


def _json(value: Any) -> Response:
    """Data, never kept: a sweep may be writing."""
    return Response(
        json.dumps(value, ensure_ascii=False, allow_nan=False), media_type="application/json", headers=_NEVER
    )


def _image(data: bytes | None) -> Response:
    """A picture, by what its first bytes say it is; anything else is not passed on."""
    kinds = ((b"RIFF", "image/webp"), (b"\xff\xd8", "image/jpeg"), (b"\x89PNG", "image/png"), (b"GIF8", "image/gif"))
    kind = next((kind for start, kind in kinds if data is not None and data.startswith(start)), None)
    if kind is None:
        raise HTTPException(404, "there is no such picture")
    return Response(data, media_type=kind, headers=_FOREVER)
