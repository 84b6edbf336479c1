"""What trials have chosen, kept in a file between runs of the command line."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs

__all__ = ["kept_plans", "plans_file"]

_MOST_KEPT = 500  # choices, the newest: some 50 kB


def plans_file() -> Path:
    """`plans.json` in the user's cache folder, or in the folder that PELLUCID_CACHE names."""
    own = os.environ.get("PELLUCID_CACHE")
    return (Path(own) if own else platformdirs.user_cache_path("pellucid")) / "plans.json"


@contextmanager
def kept_plans() -> Iterator[None]:
    """Know what earlier runs have tried for as long as this lasts, then keep what was tried meanwhile.

    It only saves time: a file that cannot be read counts as empty, and one that cannot be written is left as it is.
    """
    from pellucid.ascent.plan import known_plans

    file = plans_file()
    known_plans.update({key: entry for key, entry in _read(file).items() if key not in known_plans})
    before = dict(known_plans)
    try:
        yield
    finally:
        if new := {key: entry for key, entry in known_plans.items() if before.get(key) != entry}:
            others = {key: entry for key, entry in _read(file).items() if key not in new}  # another run's, perhaps
            _write(file, {**others, **new})


def _read(file: Path) -> dict[str, dict[str, object]]:
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return {k: entry for k, entry in entries.items() if isinstance(entry, dict)} if isinstance(entries, dict) else {}


def _write(file: Path, entries: Mapping[str, Mapping[str, object]]) -> None:
    """Write beside the file, then put it in its place: no reader sees half of it."""
    newest = dict(list(entries.items())[-_MOST_KEPT:])
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=file.name, suffix=".new")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as written:
                json.dump(newest, written, indent=1)
            os.replace(name, file)
        finally:
            Path(name).unlink(missing_ok=True)
