"""Where an atlas lies: a folder or a bucket, whose files are whole or not there."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pellucid.errors import AtlasError, did_you_mean, first_line

__all__ = ["Place"]

_UNFINISHED = ".part"
# What file systems raise: the operating system's errors, and those of a bucket's client library, which derive from them
# or from these.
_FAULTS = (OSError, ValueError, RuntimeError, ImportError)


@dataclass(frozen=True)
class Place:
    """A folder, by its path or by an fsspec URL (`s3://bucket/atlas`, `memory://atlas`). Names are relative to it.

    A file is written locally under another name, flushed to the disk and renamed; on a bucket it is one PUT.
    """

    url: str
    root: str
    fs: Any
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, url: str | Path, **options: Any) -> Place:
        """The place that a path or URL means; `options` are those of its fsspec file system. Nothing is made there.

        Raises:
            AtlasError: no such kind of URL, or the library for it is not installed.
        """
        text = str(url)
        if "://" not in text:  # a path, whatever characters it has
            path = os.path.abspath(os.path.expanduser(text))
            return cls(path, path, LocalFileSystem())
        protocol = text.partition("://")[0]
        if protocol not in fsspec.available_protocols():
            hint = did_you_mean(protocol, fsspec.available_protocols()) or " Such as s3://, gs:// or memory://."
            raise AtlasError(f"no kind of place {protocol!r} in {text!r}.{hint}")
        try:
            fs, root = fsspec.core.url_to_fs(text, **options)
        except ImportError as error:
            extra = " Install it with: pip install 'pellucid[s3]'" if protocol in ("s3", "s3a") else f" ({error})"
            raise AtlasError(f"the library for {protocol}:// is not installed.{extra}") from None
        except _FAULTS as error:
            raise AtlasError(f"cannot reach {text!r}: {first_line(error)}") from None
        if isinstance(fs, LocalFileSystem):
            return cls(root, root, fs)
        return cls(text.rstrip("/"), root.rstrip("/"), fs, options)

    @property
    def is_local(self) -> bool:
        """Whether it is a folder on this machine's disks."""
        return isinstance(self.fs, LocalFileSystem)

    def path(self, name: str) -> str:
        """Where a file of this name is, as the file system calls it."""
        return f"{self.root}/{name}"

    def names(self, folder: str = "", suffix: str = "") -> list[str]:
        """The files in a folder of the place, sorted; none where there is no such folder. Unfinished ones are left out.

        Raises:
            AtlasError: the place cannot be read.
        """
        where = self.path(folder).rstrip("/")
        try:
            self.fs.invalidate_cache(where)
            found = self.fs.ls(where, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except _FAULTS as error:
            raise AtlasError(f"cannot list {where!r}: {first_line(error)}") from None
        names = [PurePosixPath(entry["name"]).name for entry in found if entry["type"] == "file"]
        prefix = f"{folder}/" if folder else ""
        return sorted(prefix + n for n in names if n.endswith(suffix) and not n.endswith(_UNFINISHED))

    def read(self, name: str) -> bytes:
        """A file's bytes.

        Raises:
            FileNotFoundError: there is no such file.
            AtlasError: it cannot be read.
        """
        try:
            return bytes(self.fs.cat_file(self.path(name)))
        except FileNotFoundError:
            raise
        except _FAULTS as error:
            raise AtlasError(f"cannot read {self.path(name)!r}: {first_line(error)}") from None

    def write(self, name: str, data: bytes) -> None:
        """Put a file there, in place of one of that name; it is whole or not there, even when the machine dies.

        Raises:
            AtlasError: it cannot be written; what was there before is as it was.
        """
        try:
            if self.is_local:
                _write_locally(self.path(name), data)
            else:
                self.fs.pipe_file(self.path(name), data)
        except _FAULTS as error:
            raise AtlasError(f"cannot write {self.path(name)!r}: {first_line(error)}") from None

    def create(self, name: str, data: bytes) -> bool:
        """Put a file there unless there is one of that name; False when there is. Of several at once one succeeds.

        Raises:
            AtlasError: it cannot be written.
        """
        try:
            if self.is_local:
                return _create_locally(self.path(name), data)
            self.fs.pipe_file(self.path(name), data, mode="create")
        except FileExistsError:
            return False
        except _FAULTS as error:
            if "PreconditionFailed" in str(error) or "pre-conditions" in str(error):  # S3's word for "there is one"
                return False
            raise AtlasError(f"cannot write {self.path(name)!r}: {first_line(error)}") from None
        return True

    def remove(self, name: str) -> None:
        """Take a file away, if it is there.

        Raises:
            AtlasError: it cannot be removed.
        """
        try:
            self.fs.rm_file(self.path(name))
        except FileNotFoundError:
            pass
        except _FAULTS as error:
            raise AtlasError(f"cannot remove {self.path(name)!r}: {first_line(error)}") from None

    def remove_unfinished(self, folder: str) -> None:
        """Take away what a writer that died left half written; on a bucket there is none."""
        if self.is_local:
            for path in Path(self.path(folder)).glob(f".*{_UNFINISHED}"):
                path.unlink(missing_ok=True)


def _write_locally(path: str, data: bytes) -> None:
    unfinished = _unfinished(path, data)
    try:
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    _flush_folder(os.path.dirname(path))


def _create_locally(path: str, data: bytes) -> bool:
    """A second name for a whole file: making one is all or nothing, and fails where the name is taken."""
    unfinished = _unfinished(path, data)
    try:
        os.link(unfinished, path)
    except FileExistsError:
        return False
    finally:
        unfinished.unlink(missing_ok=True)
    _flush_folder(os.path.dirname(path))
    return True


def _unfinished(path: str, data: bytes) -> Path:
    """The bytes on the disk, beside `path`, under a name that nobody reads."""
    folder = Path(path).parent
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f".{secrets.token_hex(8)}{_UNFINISHED}"
    try:
        with open(unfinished, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return unfinished


def _flush_folder(folder: str) -> None:
    """Make a rename last through a loss of power, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
