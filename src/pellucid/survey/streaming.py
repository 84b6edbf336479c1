"""One streaming pass of a dataset through a network: what every unit of every layer does on real pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from pellucid.errors import DatasetError, ModelError, RecipeError
from pellucid.models.ensemble import Ensemble
from pellucid.models.model import Model, Precision
from pellucid.survey.checkpoint import Checkpoint, SurveyFolder
from pellucid.survey.columns import examples_of, table_of, used_pictures
from pellucid.survey.dataset import Dataset
from pellucid.survey.fields import receptive_fields
from pellucid.survey.gathering import gather
from pellucid.survey.open_dataset import open_dataset
from pellucid.survey.pictures import Pictures
from pellucid.survey.reading import Batch, batches, to_network
from pellucid.survey.result import Survey
from pellucid.survey.settings import Settings, chosen_layers, fast_enough_and_true, usual_batch
from pellucid.survey.summary import summarise

__all__ = ["SurveyProgress", "survey"]

SurveyProgress = Callable[[int, int], bool | None]
"""Called with the pictures looked at and all there are; what is true ends the pass, which can go on later."""


def survey(
    model: Model,
    dataset: Any,
    output: str | Path | None = None,
    *,
    layers: Sequence[str] | str | None = None,
    classes: Sequence[str] | str | Path | None = None,
    k: int = 8,
    seed: int = 0,
    batch: int | None = None,
    precision: Precision | None = None,
    checkpoint_seconds: float = 60.0,
    callback: SurveyProgress | None = None,
) -> Survey:
    """Look at every unit of a network over a whole dataset, once, in one pass.

    For every unit: the `k` pictures with the highest and the lowest image-level maximum and draws from the slightly
    positive and slightly negative, with place and receptive field; histograms and quantiles of image-level means and
    maxima; the classes of the highest (`survey.columns` describes them all). Memory grows with units and k, not with
    pictures.

    Args:
        dataset: a folder of pictures (class folders give labels), Parquet files, or a map-style torch Dataset.
        output: a folder for the result. A pass that was cut off there, even by `kill -9`, goes on where it last
            saved, and ends with the same numbers; one that is complete is read, not made again.
        layers: names or patterns with wildcards; None: all.
        classes: names of the labels, or a file of them, where the dataset has none.
        batch, precision: by default as suits the network's size and device; bfloat16 only where the first pictures'
            responses stay within 2 % of float32's.
        checkpoint_seconds: how often a pass saves itself.

    Raises:
        DatasetError: no pictures, none that can be read, or labels that do not match classes.
        TargetError: a pattern that fits no layer.
        TableError: `output` holds a survey of something else.
        RecipeError: k or batch below 1.
    """
    if isinstance(model, Ensemble):
        raise ModelError("a survey is of one network: survey those of an ensemble one by one")
    for name, number in (("k", k), ("batch", batch)):
        if number is not None and number < 1:
            raise RecipeError(f"{name}={number}: a survey needs at least 1")
    pictures = open_dataset(dataset, classes)
    names = _label_names(pictures, model)
    chosen = chosen_layers(model, layers)
    size = batch or usual_batch(model.size)
    with torch.no_grad():
        used = precision or fast_enough_and_true(model, chosen, _first_images(pictures, model, size))
    settings = Settings.of(model, pictures, chosen, k, seed, size, used)
    folder = SurveyFolder(Path(output), settings) if output is not None else None
    if folder is not None and (done := folder.finished()) is not None:
        return done
    point = (folder.checkpoint() if folder is not None else None) or Checkpoint.at_start(model, settings)
    worker = model.folded(chosen).at(device=model.device, precision=used)
    _passed(worker, pictures, settings, point, folder, checkpoint_seconds, callback)
    if not point.tally.seen:
        why = f", the first because {point.skipped[0].reason}" if point.skipped else ""
        raise DatasetError(f"none of the {point.stop} pictures of '{pictures.name}' can be read{why}")
    result = _result(model, pictures, settings, point, names)
    if folder is not None:
        folder.finish(result, point)
    return result


def _passed(
    worker: Model,
    dataset: Dataset,
    settings: Settings,
    point: Checkpoint,
    folder: SurveyFolder | None,
    checkpoint_seconds: float,
    callback: SurveyProgress | None,
) -> None:
    """Take all batches behind the point into its tally, or as many as the callback lets pass."""
    for one in batches(dataset, worker, settings.batch, point.stop):
        if len(one.images):
            point.tally.add(summarise(worker, to_network(one.images, worker), settings.layers), one.places)
        point.passed(one)
        stops = callback is not None and bool(callback(point.stop, settings.length))
        if folder is not None and (stops or folder.seconds_since_saved > checkpoint_seconds):
            folder.save(point)
        if stops:
            break
    point.tally.settle()


def _first_images(dataset: Dataset, model: Model, size: int) -> torch.Tensor:
    """The first pictures that can be read, a few, as the network takes them."""
    first: Iterator[Batch] = batches(dataset, model, size)
    found = next((one.images[:4] for one in first if len(one.images)), torch.zeros(0, model.channels, *model.size))
    return to_network(found, model)


def _result(
    model: Model, dataset: Dataset, settings: Settings, point: Checkpoint, names: Sequence[str] | None
) -> Survey:
    """The table of a tally, and the pictures that it shows."""
    tally = point.tally.by_unit()
    examples = examples_of(tally, settings.k)
    pictures: Pictures = gather(dataset, model, settings.batch, used_pictures(examples), names)
    fields = receptive_fields(model, settings.layers)
    table = table_of(model, settings, tally, examples, fields, pictures.labels, names)
    return Survey(table, pictures, settings, tuple(point.skipped), is_complete=point.stop >= settings.length)


def _label_names(dataset: Dataset, model: Model) -> tuple[str, ...] | None:
    """What labels are called: by the dataset, or by the network where the labels are as many as its classes."""
    if dataset.classes is not None or dataset.num_labels is None or model.classes is None:
        return dataset.classes
    return model.classes if dataset.num_labels == len(model.classes) else None
