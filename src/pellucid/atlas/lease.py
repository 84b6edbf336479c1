"""One sweep at a time on one atlas: a lease with a heartbeat, which others can take over when its sweep has died.

`lease.json` is the lease of the first sweep. Who takes over from a sweep that died with token T makes
`lease-after-T.json`, which only one can: so the end of that chain is the lease in force, and each file has one writer.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType

import psutil

from pellucid.atlas.place import Place
from pellucid.errors import AtlasError

__all__ = ["LEASE", "Lease", "Owner", "owner_of"]

LEASE = "lease.json"
_BEAT = 10.0  # seconds between heartbeats
_DEAD = 6  # heartbeats that do not come


@dataclass(frozen=True)
class Owner:
    """Who holds an atlas. `machine` is the same for processes that can see each other; times are seconds since 1970."""

    token: str
    host: str
    machine: str
    pid: int
    process_began: float
    beat: float
    seconds: float

    @classmethod
    def me(cls, seconds: float) -> Owner:
        """This process, under a new token."""
        began = psutil.Process().create_time()
        return cls(secrets.token_hex(8), platform.node(), _machine(), os.getpid(), began, time.time(), seconds)

    @property
    def is_gone(self) -> bool | None:
        """Whether its process has ended; None where this cannot be seen from here."""
        if self.machine != _machine():
            return None
        try:
            return abs(psutil.Process(self.pid).create_time() - self.process_began) > 1
        except psutil.NoSuchProcess:
            return True
        except psutil.Error:
            return None

    @property
    def is_late(self) -> bool:
        """Whether its last heartbeat is long ago, by this machine's clock."""
        return time.time() - self.beat > _DEAD * self.seconds


class Lease:
    """The right to write to an atlas, for as long as the `with` lasts.

    Raises:
        AtlasError: on entry, another sweep holds it and is alive.
    """

    def __init__(self, place: Place, *, seconds: float = _BEAT) -> None:
        self.place, self.seconds = place, seconds
        self._owner = Owner.me(seconds)
        self._name = LEASE
        self._last_beat = 0.0
        self._ends = threading.Event()
        self._lost = ""
        self._thread = threading.Thread(target=self._beats, name="lease", daemon=True)

    def __enter__(self) -> Lease:
        self._take()
        self._last_beat = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ends.set()
        self._thread.join()
        if not self._lost:
            for name in _leases(self.place):
                self.place.remove(name)

    def check(self) -> None:
        """See that the lease is still this sweep's; to be called before anything is written.

        Raises:
            AtlasError: another sweep took it over, because this one gave no sign of life.
        """
        if self._lost:
            raise AtlasError(self._lost)

    def _take(self) -> None:
        """Become the owner."""
        while True:
            holder = owner_of(self.place)
            if holder is None:
                self._name = LEASE
            else:
                if not _is_dead(self.place, holder):
                    raise AtlasError(_in_use(self.place, holder))
                self._name = f"lease-after-{holder.token}.json"
            self._owner = replace(self._owner, beat=time.time())
            if self.place.create(self._name, _packed(self._owner)):
                return

    def _beats(self) -> None:
        """Sign of life, until the end or until the lease is lost."""
        while not self._ends.wait(self.seconds):
            try:
                holder = owner_of(self.place)
                if holder is None or holder.token != self._owner.token:
                    who = f"process {holder.pid} on {holder.host}" if holder else "another sweep"
                    self._lost = f"{who} took over {self.place.url!r}, as this sweep had given no sign of life"
                    return
                self._owner = replace(self._owner, beat=time.time())
                self.place.write(self._name, _packed(self._owner))
                self._last_beat = time.monotonic()
            except AtlasError as error:
                if time.monotonic() - self._last_beat > _DEAD * self.seconds:
                    self._lost = f"the lease of {self.place.url!r} could not be renewed: {error}"
                    return


def owner_of(place: Place) -> Owner | None:
    """Who holds the atlas at a place, alive or not; None when nobody does.

    Raises:
        AtlasError: the place cannot be read.
    """
    found = {name: owner for name in _leases(place) if (owner := _read(place, name))}
    owner = found.get(LEASE)
    while owner and (heir := found.get(f"lease-after-{owner.token}.json")):
        owner = heir
    return owner


def _leases(place: Place) -> list[str]:
    """The files of leases, the first sweep's first: when that one is gone, the others mean nothing."""
    return sorted((n for n in place.names(suffix=".json") if n.startswith("lease")), key=lambda n: (n != LEASE, n))


def _read(place: Place, name: str) -> Owner | None:
    """The owner in a file; one that cannot be read is a stranger who died long ago."""
    try:
        return Owner(**json.loads(place.read(name)))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return Owner("unreadable", "an unknown machine", "", 0, 0.0, 0.0, _BEAT)


def _packed(owner: Owner) -> bytes:
    return json.dumps(asdict(owner)).encode()


def _is_dead(place: Place, holder: Owner) -> bool:
    """Whether a lease's owner has died. Where only its heartbeat can be seen, and is late by this machine's clock,
    whether it comes after all is waited for: clocks differ."""
    gone = holder.is_gone
    if gone or not holder.machine:
        return True
    if not holder.is_late:
        return False
    time.sleep(1.5 * holder.seconds)
    return owner_of(place) == holder


def _in_use(place: Place, holder: Owner) -> str:
    ago = max(0, round(time.time() - holder.beat))
    return (
        f"another sweep is at work on {place.url!r}: process {holder.pid} on {holder.host}, last seen {ago} s ago; "
        f"wait for it, or stop it (it counts as dead {round(_DEAD * holder.seconds)} s after its last sign of life)"
    )


def _machine() -> str:
    """Names what shares this process's numbers of processes: a host since its start, or a container on it."""
    try:
        boot, container = Path("/proc/sys/kernel/random/boot_id").read_text().strip(), os.readlink("/proc/self/ns/pid")
    except OSError:  # no Linux
        boot = container = ""
    return f"{platform.node()} {boot} {container}"
