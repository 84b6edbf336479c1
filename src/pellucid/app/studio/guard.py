"""What stands before every route: whose requests are answered, how large they may be, and what browsers may do."""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from pellucid.app.site.pages import POLICY

__all__ = ["Guard", "allowed_hosts"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_MOST_BYTES = 64 * 1024  # of a request's body: a note is the longest thing that is sent
_CHANGING = ("POST", "PUT", "PATCH", "DELETE")
_HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Guard:
    """ASGI middleware. Refuses other hosts' names (a page elsewhere could have its name lead here), changes that no
    page of the viewer asked for, and bodies over 64 KiB; adds headers that keep browsers from more than is meant.

    `hosts` are the names that the viewer goes by; with `any_address`, also every address written in numbers.
    """

    def __init__(self, app: Any, hosts: Iterable[str], *, any_address: bool = False) -> None:
        self.app, self.hosts, self.any_address = app, frozenset(hosts), any_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if refusal := self._refusal(scope["method"], headers):
            await _refuse(send, *refusal)
            return
        await self.app(scope, _limited(receive), _with_headers(send))

    def _refusal(self, method: str, headers: dict[bytes, bytes]) -> tuple[int, str] | None:
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._is_own(host):
            return 421, f"this viewer does not go by the name {host[:80]!r}"
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > _MOST_BYTES:
            return 413, f"the viewer takes {_MOST_BYTES // 1024} KiB at most"
        if method not in _CHANGING:
            return None
        origin = headers.get(b"origin")
        if origin is not None and origin.decode("latin-1").partition("://")[2] != host:
            return 403, "only the viewer's own pages may change anything"
        if headers.get(b"x-pellucid") != b"1":
            return 403, "only the viewer's own pages may change anything: they send X-Pellucid: 1"
        if method != "DELETE" and headers.get(b"content-type", b"").partition(b";")[0].strip() != b"application/json":
            return 415, "the viewer takes JSON"
        return None

    def _is_own(self, host: str) -> bool:
        name = _without_port(host)
        return name in self.hosts or (self.any_address and _is_address(name))


def allowed_hosts(host: str) -> tuple[tuple[str, ...], bool]:
    """The names that a viewer bound to `host` goes by, and whether it also answers to any address in numbers."""
    own = ("localhost", "127.0.0.1", "::1")
    if host in own:
        return own, False
    return (*own, host.lower(), socket.gethostname().lower()), True


def _without_port(host: str) -> str:
    """`[::1]:8000` is `::1`; a name is lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _limited(receive: Receive) -> Receive:
    """Bodies that do not say how long they are end where they get too long."""
    got = 0

    async def limited() -> Message:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        if got > _MOST_BYTES:
            return {"type": "http.disconnect"}
        return message

    return limited


def _with_headers(send: Send) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *_HEADERS]}
        await send(message)

    return guarded


async def _refuse(send: Send, status: int, why: str) -> None:
    body = json.dumps({"error": why}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
