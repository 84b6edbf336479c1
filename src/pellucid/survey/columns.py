"""The columns of a survey's table, one row a unit: what each holds is said here once, and in the table itself.

| column | what it holds |
| --- | --- |
| `pictures` | number of pictures that the row rests on |
| `fires` | share of them on which the unit is above zero anywhere (before the rectifier that ends the layer, if any) |
| `mean_activation` | mean over pictures of the image-level mean (over positions) of what the layer returns |
| `max_activation`, `min_activation` | highest and lowest image-level maximum, before the rectifier |
| `mean_histogram`, `max_histogram` | struct `low`, `width`, `counts`; bin i begins at low + i width |
| `mean_quantiles`, `max_quantiles` | list of numbers at `QUANTILES`, read off the histograms |
| `highest`, `slightly_positive`, `slightly_negative`, `lowest` | examples: lists of struct, see below |
| `classes` | list of struct `label`, `name`, `count` of the highest examples, most frequent first |

An example is a struct: `picture` (place in the dataset, the key of the survey's `pictures.parquet`), `value` (its
image-level maximum), `row`, `col` (where in the layer's map), `top`, `left`, `bottom`, `right` (the receptive field of
that position in px of the picture as the network sees it, half-open: the crop) and `label` (-1: none). Examples stand
from the highest value to the lowest, but `lowest` from the lowest up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from pellucid.models.model import Model
from pellucid.models.targets import Target
from pellucid.survey.fields import Fields
from pellucid.survey.histograms import Histograms
from pellucid.survey.settings import Settings
from pellucid.survey.tally import Tally
from pellucid.survey.unit_table import About, UnitTable

__all__ = ["FACETS", "QUANTILES", "examples_of", "table_of", "used_pictures"]

QUANTILES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
FACETS = ("highest", "slightly_positive", "slightly_negative", "lowest")
"""Four ways of choosing examples (Olah et al., "Feature Visualization", Distill 2017)."""

_WHERE = "; with place and receptive field"
_MEANINGS = {
    "highest": "pictures with the highest image-level maximum" + _WHERE,
    "slightly_positive": "pictures between the quantiles 0.5 and 0.6 of image-level maxima, of a random draw" + _WHERE,
    "slightly_negative": "pictures between the quantiles 0.4 and 0.5 of image-level maxima, of a random draw" + _WHERE,
    "lowest": "pictures with the lowest image-level maximum" + _WHERE,
}
_HISTOGRAM = pa.struct([("low", pa.float64()), ("width", pa.float64()), ("counts", pa.list_(pa.int64()))])
_CLASSES = pa.list_(pa.struct([("label", pa.int32()), ("name", pa.string()), ("count", pa.int32())]))


def examples_of(tally: Tally, k: int) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """For each facet the values, pictures (-1: none) and places of every unit's examples, each [n, up to k]."""
    high, low = tally.highest, tally.lowest
    return {
        "highest": (high.values, high.pictures, high.places),
        "slightly_positive": tally.sample.between(0.5, 0.6, k),
        "slightly_negative": tally.sample.between(0.4, 0.5, k),
        "lowest": (low.values, low.pictures, low.places),
    }


def used_pictures(examples: Mapping[str, tuple[Tensor, Tensor, Tensor]]) -> list[int]:
    """The pictures that are any unit's example, in rising order."""
    found = torch.cat([pictures.flatten() for _, pictures, _ in examples.values()]).unique()
    return [int(picture) for picture in found if picture >= 0]


def table_of(
    model: Model,
    settings: Settings,
    tally: Tally,
    examples: Mapping[str, tuple[Tensor, Tensor, Tensor]],
    fields: Mapping[str, Fields],
    labels: Mapping[int, int],
    names: Sequence[str] | None,
) -> UnitTable:
    """All that a pass found out, one row a unit. `labels` are those of the used pictures, `names` of the classes."""
    keys = [(name, unit) for name in settings.layers for unit in range(model.layers[name].units)]
    provenance = {
        "dataset": settings.dataset,
        "pictures": tally.seen,
        "precision": settings.precision,
        "size": list(settings.size),
    }
    seen = max(1, tally.seen)

    def about(meaning: str) -> About:
        return About(meaning, provenance)

    columns: dict[str, tuple[Any, About]] = {
        "pictures": ([tally.seen] * len(keys), about("pictures that the row rests on")),
        "fires": ((tally.fired / seen).tolist(), about("share of pictures on which the unit is above zero anywhere")),
        "mean_activation": ((tally.sums / seen).tolist(), about("mean over pictures and positions")),
        "max_activation": (tally.peaks.highest.tolist(), about("highest image-level maximum, before the rectifier")),
        "min_activation": (tally.peaks.lowest.tolist(), about("lowest image-level maximum, before the rectifier")),
    }
    for name, histograms in (("mean", tally.means), ("max", tally.peaks)):
        columns[f"{name}_histogram"] = _histogram_column(histograms), about(f"histogram of image-level {name}s")
        quantiles = histograms.quantiles(QUANTILES).tolist()
        columns[f"{name}_quantiles"] = quantiles, about(f"image-level {name}s at the quantiles {QUANTILES}")
    for facet, found in examples.items():
        columns[facet] = _example_column(found, keys, model, fields, labels), about(_MEANINGS[facet])
    classes = [_composition(pictures, labels, names) for pictures in examples["highest"][1].tolist()]
    columns["classes"] = pa.array(classes, _CLASSES), about("classes of the highest examples, most frequent first")
    return UnitTable.of(model, [Target.unit(name, unit) for name, unit in keys], columns)


def _histogram_column(histograms: Histograms) -> pa.Array:
    rows = []
    for first, exponent, counts in zip(
        histograms.first.tolist(), histograms.exponent.tolist(), histograms.counts.tolist(), strict=True
    ):
        last = max((at for at, count in enumerate(counts) if count), default=0)
        width = 2.0**exponent
        rows.append({"low": first * width, "width": width, "counts": counts[: last + 1]})
    return pa.array(rows, _HISTOGRAM)


def _example_column(
    found: tuple[Tensor, Tensor, Tensor],
    keys: Sequence[tuple[str, int]],
    model: Model,
    fields: Mapping[str, Fields],
    labels: Mapping[int, int],
) -> pa.Array:
    """A list of examples for each unit; written column by column, for there are many."""
    values, pictures, places = found
    chosen = pictures >= 0
    lengths = chosen.sum(1)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)]).int()
    owners = [keys[unit][0] for unit, length in enumerate(lengths.tolist()) for _ in range(length)]
    flat = places[chosen].tolist()
    boxes = [fields[name].box(place) for name, place in zip(owners, flat, strict=True)]
    widths = [model.layers[name].map_size[1] for name in owners]
    numbers = pictures[chosen].tolist()
    parts = {
        "picture": pa.array(numbers, pa.int64()),
        "value": pa.array(values[chosen].tolist(), pa.float32()),
        "row": pa.array([place // width for place, width in zip(flat, widths, strict=True)], pa.int32()),
        "col": pa.array([place % width for place, width in zip(flat, widths, strict=True)], pa.int32()),
        **{
            side: pa.array([box[at] for box in boxes], pa.int32())
            for at, side in enumerate(("top", "left", "bottom", "right"))
        },
        "label": pa.array([labels.get(number, -1) for number in numbers], pa.int32()),
    }
    structs = pa.StructArray.from_arrays(list(parts.values()), list(parts))
    return pa.ListArray.from_arrays(pa.array(offsets.tolist(), pa.int32()), structs)


def _composition(
    pictures: Sequence[int], labels: Mapping[int, int], names: Sequence[str] | None
) -> list[dict[str, Any]]:
    counts = Counter(label for picture in pictures if (label := labels.get(picture, -1)) >= 0)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [
        {"label": label, "name": str(label) if names is None else names[label], "count": count}
        for label, count in ordered
    ]
