"""Starting the viewer: a port of its own, and a server that ends with Ctrl-C."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import uvicorn

from pellucid.app.studio.guard import allowed_hosts
from pellucid.app.studio.server import Viewer, make_app
from pellucid.errors import PellucidError

__all__ = ["PORT", "PortTaken", "bound", "make_server", "serve"]

PORT = 7810  # of no registered service
_TRIED = 50  # ports behind a taken one


class PortTaken(PellucidError):
    """Another program listens there already."""


def bound(host: str, port: int | None) -> socket.socket:
    """A socket that listens at a host and port; without a port, at the first free one from `PORT`.

    Raises:
        PortTaken: the port is taken; names the next free one.
        PellucidError: there is no such address on this machine, or the port needs rights.
    """
    if port is not None:
        try:
            return _listening(host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise PellucidError(f"cannot listen at {host}:{port}: {error.strerror or error}") from None
        with _first_free(host, port + 1) as free:
            beside = free.getsockname()[1]
        raise PortTaken(f"port {port} is taken, by another viewer perhaps; --port {beside} is free")
    return _first_free(host, PORT)


def make_server(viewer: Viewer, host: str, on_ready: Callable[[], None]) -> uvicorn.Server:
    """The server, not yet running: `run(sockets=[…])` answers until `should_exit` is set."""
    names, any_address = allowed_hosts(host)
    config = uvicorn.Config(
        make_app(viewer, names, any_address=any_address),
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=1,  # pages that watch a job hold their connection open
        ws="none",
    )
    return _Server(config, on_ready)


def serve(viewer: Viewer, listening: socket.socket, host: str, on_ready: Callable[[], None]) -> None:
    """Answer until Ctrl-C."""
    try:
        make_server(viewer, host, on_ready).run(sockets=[listening])
    except KeyboardInterrupt:  # which uvicorn raises again after it has ended in good order
        pass
    finally:
        listening.close()


class _Server(uvicorn.Server):
    """Says when it answers."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self.on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        if self.started:
            self.on_ready()


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol by its number: asyncio turns Nagle's delay off (40 ms an answer) only where it reads that it is TCP.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(128)
    except BaseException:
        listening.close()
        raise
    return listening


def _first_free(host: str, first: int) -> socket.socket:
    for port in range(first, min(first + _TRIED, 65536)):
        try:
            return _listening(host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise PellucidError(f"cannot listen at {host}:{port}: {error.strerror or error}") from None
    raise PortTaken(f"ports {first} to {first + _TRIED - 1} are all taken")
