"""Networks from a Python file of the user: `FILE.py:factory`."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pellucid.errors import ModelError, PellucidError, did_you_mean

__all__ = ["call_factory"]


def call_factory(file: str, factory: str) -> Any:
    """What the function `factory` in the Python file returns, called without arguments.

    The file is imported anew under a private name, and may import its neighbours.

    Raises:
        ModelError: no such file or function, or the file raises; the message names the line.
    """
    path = Path(file).expanduser()
    if not path.is_file():
        raise ModelError(f"no file {file!r} for the network {file}:{factory}.")
    name = f"_pellucid_factory_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with _importable(path.parent), _errors_located(path):
        sys.modules[name] = module  # dataclasses, pickles and copies look their classes up there
        spec.loader.exec_module(module)
        build = vars(module).get(factory)
        if not callable(build):
            options = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
            near = did_you_mean(factory, options) or (f" It has: {', '.join(options[:8])}." if options else "")
            raise ModelError(f"no function {factory!r} in {file}.{near}")
        return build()


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    entry = str(folder.resolve())
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        if entry in sys.path:
            sys.path.remove(entry)


@contextmanager
def _errors_located(path: Path) -> Iterator[None]:
    try:
        yield
    except PellucidError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's file raises is shown with its line
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame.lineno for frame in frames if Path(frame.filename).resolve() == path.resolve()]
        line = error.lineno if isinstance(error, SyntaxError) else own[-1] if own else None
        place = f"{path}:{line}" if line else str(path)
        reason = (str(error).strip() or "no message").partition("\n")[0]
        raise ModelError(f"{place}: {type(error).__name__}: {reason}") from error
