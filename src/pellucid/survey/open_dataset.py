"""A set of pictures from whatever people have: a folder, Parquet files, a torch Dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pellucid.errors import DatasetError
from pellucid.survey.dataset import Dataset, ImageFolder, matching_files, read_class_names
from pellucid.survey.parquet_dataset import ParquetDataset
from pellucid.survey.torch_dataset import TorchDataset

__all__ = ["open_dataset"]


def open_dataset(source: Any, classes: Sequence[str] | str | Path | None = None) -> Dataset:
    """The pictures of a folder, of Parquet files (a name, a pattern such as `train-*.parquet`, a folder of them, or a
    list) or of a map-style torch Dataset; a `Dataset` as it is.

    `classes` name the labels, in order: texts, or a file with one a line.

    Raises:
        DatasetError: there is no such thing, it is empty, or its labels do not match the classes.
    """
    if isinstance(source, Dataset):
        return source
    names = read_class_names(Path(classes)) if isinstance(classes, (str, Path)) else classes
    if isinstance(source, (str, Path)):
        return _from_disk(str(source), names)
    if isinstance(source, (list, tuple)) and source and all(isinstance(part, (str, Path)) for part in source):
        return ParquetDataset([Path(part) for part in source], names)
    return TorchDataset(source, names)


def _from_disk(source: str, classes: Sequence[str] | None) -> Dataset:
    path = Path(source).expanduser()
    if path.is_dir():
        shards = sorted(path.glob("*.parquet"))
        return ParquetDataset(shards, classes) if shards else ImageFolder(path, classes)
    found = matching_files(str(path))
    if not found or not all(one.is_file() for one in found):
        raise DatasetError(f"no dataset '{source}': give a folder of pictures, or Parquet files")
    if wrong := [one for one in found if one.suffix != ".parquet"]:
        raise DatasetError(f"'{wrong[0]}' is no dataset: give a folder of pictures, or .parquet files")
    return ParquetDataset(found, classes)
