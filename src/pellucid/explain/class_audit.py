"""Audit of a class: which units carry it on its own photos, and what the network can do without each of them.

A class that is recognised by a watermark, a frame or a background shows here: one unit carries it, fires at the same
place of every photo, looks for something else than the class, and without it the photos are no longer recognised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from pellucid.ascent.source import RenderingSource, portraits_of
from pellucid.draws import Draws
from pellucid.errors import DatasetError, TargetError
from pellucid.explain.attribution import last_spatial_layer
from pellucid.explain.audit_result import Ablation, Audit, AuditedUnit
from pellucid.explain.class_labels import outputs_of_labels
from pellucid.explain.contributions import aimed, gradient_at
from pellucid.explain.explanation import ExampleOf
from pellucid.explain.looks import encoded
from pellucid.explain.photo import picture_sources
from pellucid.models.layers import OUTPUT
from pellucid.models.model import Model
from pellucid.models.taps import Tap
from pellucid.models.targets import Target
from pellucid.objectives.objective import Objective
from pellucid.objectives.response import places
from pellucid.survey.dataset import Dataset
from pellucid.survey.fields import Fields, receptive_fields
from pellucid.survey.open_dataset import open_dataset
from pellucid.survey.reading import Skipped, batches, to_network
from pellucid.survey.unit_table import About, UnitTable

__all__ = ["AuditProgress", "audit"]

AuditProgress = Callable[[str, float], object]
"""Called with what is being done and how much of the whole is done, from 0 to 1."""

_BATCH = 16
_EXAMPLES = 8


def audit(
    model: Model,
    dataset: Any,
    class_: str | int,
    layer: str | None = None,
    *,
    count: int = 6,
    classes: Sequence[str] | str | Path | None = None,
    own: int = 200,
    others: int = 500,
    pictures: RenderingSource | Sequence[RenderingSource] | None = None,
    callback: AuditProgress | None = None,
) -> Audit:
    """Find the units that carry a class, and say what becomes of its recognition when each is silenced.

    Up to `own` photos of the class and `others` of all other classes are drawn from the dataset, always the same. Units
    of `layer` (the last with positions by default) are ranked by what they add to the class's logit on its own photos
    (gradient x activation, summed over positions and averaged over photos). The first `count` are set to zero one by
    one, and all together: how many of the own photos are still recognised, and how many others are taken for the class?

    Labels are matched to the network's classes by name where the dataset names them, else by number. `pictures` as for
    `explain`.

    Raises:
        DatasetError: no labels, labels that do not match the network's classes, or no photo of the class.
        TargetError: an unknown class or layer, or a class that does not depend on the layer.
    """
    if OUTPUT not in model.layers:
        raise TargetError(f"{model.name} returns no classes, so that none can be audited")
    aim = model.class_index(str(class_))
    layer = last_spatial_layer(model) if layer is None else model.layer(layer).name
    photos = open_dataset(dataset, classes)
    drawn = _drawn(photos, outputs_of_labels(photos, model), aim, own, others)
    says = callback or (lambda what, share: None)
    seen = _looked_at(model, photos, drawn, aim, layer, says)
    adds = seen.contributions.mean(0)
    first = adds.argsort(descending=True, stable=True)[:count].tolist()
    before = _judged(model, seen, aim, layer, [])
    single = {}
    for number, unit in enumerate(first):
        says(f"without unit {unit}", 0.5 + 0.5 * number / (len(first) + 1))
        single[unit] = _judged(model, seen, aim, layer, [unit])
    together = _judged(model, seen, aim, layer, first)
    targets = [str(Target.unit(layer, unit)) for unit in range(len(adds))]
    portraits = portraits_of([targets[unit] for unit in first], picture_sources(pictures, model))
    fields = receptive_fields(model, [layer])[layer]
    units = tuple(
        AuditedUnit(
            target=targets[unit],
            rank=rank,
            contribution=float(adds[unit]),
            share=float((seen.contributions.argmax(1) == unit).float().mean()),
            map=seen.maps[:, unit].float().mean(0),
            without=single[unit],
            portrait=portraits.get(targets[unit]),
            own=_examples(seen, ~seen.is_other, unit, fields, model),
            others=_examples(seen, seen.is_other, unit, fields, model),
        )
        for rank, unit in enumerate(first, 1)
    )
    return Audit(
        model_name=model.name,
        model_hash=model.weights_hash,
        size=model.size,
        class_name=model.classes[aim] if model.classes else f"class {aim}",
        layer=layer,
        dataset=photos.name,
        before=before,
        together=together,
        table=_table(model, targets, adds, single, f"logit:{aim}"),
        units=units,
        value_range=model.value_range,
        skipped=tuple(seen.skipped),
    )


def _drawn(dataset: Dataset, outputs: list[int] | None, aim: int, own: int, others: int) -> dict[int, bool]:
    """Places of the photos to look at, in order, and whether each is of another class. Labels are read, not photos.

    Raises:
        DatasetError: there are no labels, or no photo of the class.
    """
    mine: list[int] = []
    rest: list[int] = []
    for entry in dataset.entries():
        if entry.label is None:
            raise DatasetError(
                f"'{dataset.name}' has no labels, and an audit needs them: put the pictures in class folders"
            )
        output = entry.label if outputs is None else outputs[entry.label]
        (mine if output == aim else rest).append(entry.index)
    if not mine:
        raise DatasetError(f"'{dataset.name}' holds no photo of class {aim}")

    def some(places: list[int], most: int) -> list[int]:
        keys = Draws.from_keys([f"audit {place}" for place in places]).keys.tolist()
        return [place for _, place in sorted(zip(keys, places, strict=True))[:most]]

    chosen = dict.fromkeys(some(mine, own), False) | dict.fromkeys(some(rest, others), True)
    return dict(sorted(chosen.items()))


@dataclass
class _Seen:
    """The photos that could be read, and what the layer does on those of the class (own)."""

    images: Float[Tensor, "b c h w"]  # in [0, 1]
    names: list[str]
    is_other: Bool[Tensor, " b"]
    contributions: Float[Tensor, "o n"]  # of own photos
    maps: Float[Tensor, "o n r k"]  # of own photos, half precision
    peaks: Float[Tensor, "b n"]
    spots: Int64[Tensor, "b n"]
    skipped: list[Skipped]


def _looked_at(
    model: Model, dataset: Dataset, drawn: dict[int, bool], aim: int, layer: str, says: AuditProgress
) -> _Seen:
    """Read the photos once; take activations of all, and contributions of the class's own."""
    objective, _ = aimed(model, f"logit:{aim}", model.size)
    parts: list[tuple[Tensor, Tensor]] = []
    own: list[tuple[Tensor, Tensor]] = []
    looked: list[tuple[Tensor, Tensor]] = []
    names: list[str] = []
    skipped: list[Skipped] = []
    for one in batches(dataset, model, _BATCH, wanted=drawn):
        skipped += one.skipped
        if not len(one.images):
            continue
        other = torch.tensor([drawn[place] for place in one.places.tolist()])
        names += one.names
        parts.append((one.images, other))
        z, slope = _slopes(model, to_network(one.images, model), objective, layer)
        flat = z.flatten(2)
        looked.append((flat.amax(2).cpu(), flat.argmax(2).cpu()))
        own.append(((z * slope).sum((2, 3))[~other].cpu(), z[~other].half().cpu()))
        says(f"{len(names)} of {len(drawn)} photos", 0.5 * len(names) / len(drawn))
    is_other = torch.cat([other for _, other in parts]) if parts else torch.zeros(0, dtype=torch.bool)
    if not (~is_other).any():
        raise DatasetError(f"no photo of class {aim} in '{dataset.name}' can be read")
    return _Seen(
        images=torch.cat([images for images, _ in parts]),
        names=names,
        is_other=is_other,
        contributions=torch.cat([adds for adds, _ in own]),
        maps=torch.cat([maps for _, maps in own]),
        peaks=torch.cat([peaks for peaks, _ in looked]),
        spots=torch.cat([spots for _, spots in looked]),
        skipped=skipped,
    )


def _slopes(model: Model, images: Tensor, objective: Objective, layer: str) -> tuple[Tensor, Tensor]:
    """Activations and the score's slopes there, as maps [b, n, h, w]."""
    z, _, slope = gradient_at(model, images, [objective] * len(images), layer)
    known = model.layer(layer)
    return places(z, known).float(), places(slope, known).float()


def _judged(model: Model, seen: _Seen, aim: int, layer: str, silenced: Sequence[int]) -> Ablation:
    """How the photos are classified while some units of the layer say nothing."""
    hits = []

    def silence(z: Tensor) -> Tensor:
        muted = z.clone()
        muted[(slice(None), slice(None), silenced) if z.ndim == 3 else (slice(None), silenced)] = 0
        return muted

    with torch.no_grad():
        for images in seen.images.split(_BATCH):
            edits = {layer: silence} if silenced else None
            output = model.tap(to_network(images, model), [Tap(OUTPUT)], edits=edits)[OUTPUT]
            hits.append((output.argmax(1) == aim).cpu())
    hit = torch.cat(hits)
    mine, rest = hit[~seen.is_other], hit[seen.is_other]
    return Ablation(
        accuracy=float(mine.float().mean()),
        false_positives=float(rest.float().mean()) if len(rest) else None,
        num_own=len(mine),
        num_others=len(rest),
    )


def _examples(seen: _Seen, among: Bool[Tensor, " b"], unit: int, fields: Fields, model: Model) -> tuple[ExampleOf, ...]:
    """The photos of a group on which a unit fires most, with the part that it sees; only those where it fires."""
    peaks = torch.where(among, seen.peaks[:, unit], -torch.inf)
    best = peaks.argsort(descending=True, stable=True)[:_EXAMPLES].tolist()
    return tuple(
        ExampleOf(
            webp=encoded(seen.images[at]),
            name=seen.names[at],
            value=float(peaks[at]),
            box=fields.box(int(seen.spots[at, unit])),
            size=model.size,
        )
        for at in best
        if peaks[at] > 0
    )


def _table(
    model: Model, targets: list[str], adds: Float[Tensor, " n"], single: dict[int, Ablation], aim: str
) -> UnitTable:
    """Every unit's contribution; accuracy and false positives without those that were silenced."""
    columns: dict[str, tuple[Any, About]] = {
        "contribution": (adds.tolist(), About(f"gradient x activation for {aim}, mean over its own photos")),
        "accuracy_without": (
            [single[unit].accuracy if unit in single else None for unit in range(len(targets))],
            About("share of the class's photos recognised while the unit is set to zero"),
        ),
        "false_positives_without": (
            [single[unit].false_positives if unit in single else None for unit in range(len(targets))],
            About("share of other photos taken for the class while the unit is set to zero"),
        ),
    }
    return UnitTable.of(model, targets, columns)
