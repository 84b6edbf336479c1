"""Labels of a dataset and classes of a network brought together, by name where there are names."""

from __future__ import annotations

from pellucid.errors import DatasetError, did_you_mean
from pellucid.models.layers import OUTPUT
from pellucid.models.model import Model
from pellucid.survey.dataset import Dataset

__all__ = ["outputs_of_labels"]


def outputs_of_labels(dataset: Dataset, model: Model) -> list[int] | None:
    """The network's output that each label means; None where labels are numbers of outputs.

    Raises:
        DatasetError: labels without an output, or two for one.
    """
    count = model.layer(OUTPUT).units
    if dataset.classes is None:
        if dataset.num_labels is not None and dataset.num_labels > count:
            raise DatasetError(
                f"labels do not match classes: '{dataset.name}' has labels up to {dataset.num_labels - 1}, and "
                f"{model.name} has {count} classes"
            )
        return None
    if model.classes is None:
        if len(dataset.classes) != count:
            raise DatasetError(
                f"labels do not match classes: '{dataset.name}' has {len(dataset.classes)}, {model.name} has {count}"
            )
        return None
    known: dict[str, set[int]] = {}
    for output, label in enumerate(model.classes):
        for name in _names(label):
            known.setdefault(name, set()).add(output)
    outputs = []
    for label in dataset.classes:
        fits = next((found for name in _names(label) if len(found := known.get(name, set())) == 1), None)
        if fits is None:
            hint = did_you_mean(label, model.classes) or " Name the labels with --classes FILE."
            raise DatasetError(f"labels do not match classes: {model.name} has no class {label!r}.{hint}")
        outputs.append(next(iter(fits)))
    if len(set(outputs)) < len(outputs):
        twice = next(name for at, name in enumerate(dataset.classes) if outputs.index(outputs[at]) < at)
        raise DatasetError(f"labels do not match classes: {twice!r} is the second label for one class of {model.name}")
    return outputs


def _names(label: str) -> list[str]:
    """A class's whole name, then the synonyms between its commas."""
    whole = label.casefold()
    return [whole, *(part.strip() for part in whole.split(","))]
