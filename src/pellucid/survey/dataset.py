"""Sets of pictures to survey: an order that never changes, labels where there are any, pictures read one by one."""

from __future__ import annotations

import glob
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from pellucid.errors import DatasetError
from pellucid.images import files

__all__ = ["Dataset", "Entry", "ImageFolder", "checked_label", "matching_files", "read_class_names"]


@dataclass(frozen=True)
class Entry:
    """One picture of a set, not read yet: its place, its name, its label if it has one.

    `read(channels)` gives it as [channels, h, w] in [0, 1], or raises ImageError.
    """

    index: int
    name: str
    label: int | None
    read: Callable[[int], Float[Tensor, "c h w"]]


class Dataset(ABC):
    """Pictures in a fixed order.

    `classes` are the names of the labels, in order, where they are known; `num_labels` is how many labels there are
    (the highest, plus one), where that is known.
    """

    name: str
    classes: tuple[str, ...] | None = None
    num_labels: int | None = None

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    @abstractmethod
    def identity(self) -> str:
        """Changes when the set does: a pass that goes on must go on over the same pictures."""

    @abstractmethod
    def entries(self, start: int = 0, wanted: Iterable[int] | None = None) -> Iterator[Entry]:
        """The entries from `start` on, in order; or those of the `wanted` places, in rising order."""


class ImageFolder(Dataset):
    """The picture files of a folder and its subfolders, by their paths in alphabetical order.

    Where all pictures lie in subfolders, the first-level subfolder is a picture's class. Hidden files and folders, and
    files that are not named as pictures are (`images.files.SUFFIXES`), are passed over.

    Raises:
        DatasetError: there is no such folder, it holds no picture, or `classes` do not fit its subfolders.
    """

    def __init__(self, folder: Path, classes: Sequence[str] | None = None) -> None:
        self.folder, self.name = folder, str(folder)
        self._paths = sorted(self._pictures(), key=lambda path: path.parts)
        if not self._paths:
            raise DatasetError(f"'{folder}' holds no picture ({', '.join(files.SUFFIXES[:4])} …)")
        folders = sorted({path.parts[0] for path in self._paths if len(path.parts) > 1})
        has_classes = all(len(path.parts) > 1 for path in self._paths)
        if classes is not None and (not has_classes or len(classes) != len(folders)):
            held = f"{len(folders)} class folders" if has_classes else "pictures that lie in no class folder"
            raise DatasetError(f"{len(classes)} class names were given, but '{folder}' holds {held}")
        self._labels = {name: label for label, name in enumerate(folders)} if has_classes else {}
        if has_classes:
            self.classes, self.num_labels = tuple(classes or folders), len(folders)

    def _pictures(self) -> Iterator[Path]:
        for path in self.folder.rglob("*"):
            inside = path.relative_to(self.folder)
            if path.suffix.lower() in files.SUFFIXES and not any(part.startswith(".") for part in inside.parts):
                yield inside

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def identity(self) -> str:
        """A hash of the paths."""
        text = "\n".join(path.as_posix() for path in self._paths)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def entries(self, start: int = 0, wanted: Iterable[int] | None = None) -> Iterator[Entry]:
        """See `Dataset`."""
        for index in range(start, len(self)) if wanted is None else sorted(wanted):
            path = self._paths[index]
            label = self._labels.get(path.parts[0])
            yield Entry(index, path.as_posix(), label, lambda channels, path=path: self._read(path, channels))  # type: ignore[misc]

    def _read(self, path: Path, channels: int) -> Float[Tensor, "c h w"]:
        return files.read(self.folder / path, channels=channels, name=path.as_posix())


def checked_label(label: int, classes: Sequence[str] | None, name: str) -> int:
    """A label that its classes have.

    Raises:
        DatasetError: it is none of them.
    """
    if label < 0 or (classes is not None and label >= len(classes)):
        named = f"{len(classes)} classes are named" if classes is not None else "labels count from 0"
        raise DatasetError(f"labels do not match classes: {name} has label {label}, and {named}")
    return label


def read_class_names(path: Path) -> tuple[str, ...]:
    """Names of classes from a file: a JSON list, or one a line; of `id<tab>name`, the name.

    Raises:
        DatasetError: it cannot be read, or names none.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read class names from '{path}': {error}") from None
    try:
        names = json.loads(text)
    except ValueError:
        names = [line.rpartition("\t")[2].strip() for line in text.splitlines() if line.strip()]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise DatasetError(f"'{path}' names no classes: one a line, or a JSON list of texts")
    return tuple(names)


def matching_files(pattern: str) -> list[Path]:
    """The files that a name or a pattern with wildcards means, in alphabetical order."""
    return [Path(found) for found in sorted(glob.glob(pattern))] if set(pattern) & set("*?[") else [Path(pattern)]
