"""A photo explained by the units of a layer: which fire, how unusually, where, for what class, what they look for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.ascent.photos import read_photo
from pellucid.ascent.source import Portrait, RenderingSource, RenderNow, portraits_of
from pellucid.errors import TableError, TargetError
from pellucid.explain.attribution import last_spatial_layer
from pellucid.explain.contributions import Contributions, contributions_to
from pellucid.explain.explanation import ExampleOf, Explanation, FiringUnit
from pellucid.images.fitting import fitted
from pellucid.models.layers import OUTPUT
from pellucid.models.model import Model
from pellucid.models.targets import Target
from pellucid.models.value_range import in_range
from pellucid.objectives.response import places, reduced
from pellucid.survey.fields import receptive_fields
from pellucid.survey.result import Survey, percentile_in
from pellucid.survey.unit_table import About, UnitTable

__all__ = ["Order", "explain", "picture_sources"]

Order = Literal["activation", "percentile", "contribution"]
_SHOWN_PX = 336  # the shorter side of what is shown: small networks' maps are laid over more of the photo than they saw


def explain(
    model: Model,
    photo: str | Path | Tensor,
    layer: str | None = None,
    *,
    of: str | int | None = None,
    count: int = 5,
    by: str = "activation",
    survey: Survey | str | Path | None = None,
    pictures: RenderingSource | Sequence[RenderingSource] | None = None,
) -> Explanation:
    """Say which units of a layer fire on a photo, and what each is: the strongest `count` in full, all in a table.

    For every unit: its mean activation over positions, where it is strongest, what it contributes to the class `of`
    (gradient x activation; exactly, by weight x activation, where what follows the layer is affine), and, with a
    survey, the percentile of its mean activation among the surveyed pictures. For the strongest also where it fires,
    the part of the photo that its strongest position sees, its picture, and the survey's examples.

    Args:
        photo: a file, or a tensor [c, h, w] in [0, 1]; it is cut and scaled to cover the network's size.
        layer: by default the last that has positions.
        of: a class by name or number; by default the predicted one.
        by: what ranks the units: "activation" (their mean), "percentile" (needs a survey; ties by activation) or
            "contribution" (for the class, largest first).
        survey: a `Survey`, or the folder of one, of this network.
        pictures: where pictures of units come from, the first source that has one; () for none. By default they are
            rendered now.

    Raises:
        TargetError: an unknown layer or class, a `by` that is none of these.
        TableError: the survey is of another network, or lacks the layer, and percentiles were asked for.
        ImageError: the photo cannot be read.
    """
    layer = last_spatial_layer(model) if layer is None else model.layer(layer).name
    if by not in get_args(Order):
        raise TargetError(f"units are ranked by {', '.join(get_args(Order))}, not by {by!r}")
    if count < 1:
        raise TargetError(f"{count} units were asked for: ask for at least 1")
    found = Survey.load(survey) if isinstance(survey, (str, Path)) else survey
    _check_survey(found, model, layer, by)
    whole = read_photo("photo", photo, model)
    seen = fitted(whole[None], model.size).clamp(0, 1)
    with torch.no_grad():
        activations = model.tap(in_range(seen, model.value_range).to(model.device), [layer])
    maps = places(activations[layer], model.layer(layer))[0].float().cpu()
    predictions, aim = _classes(model, seen, of)
    adds = None if aim is None else _contributions(model, seen[0], aim, layer)
    table = _table(model, layer, maps, adds, found)
    order = _ranked(table, cast(Order, by))
    strongest = [table.targets[unit] for unit in order[:count]]
    portraits = portraits_of(strongest, picture_sources(pictures, model))
    scale = -(-_SHOWN_PX // min(model.size))
    return Explanation(
        model_name=model.name,
        model_hash=model.weights_hash,
        photo_name=Path(photo).name if isinstance(photo, (str, Path)) else "photo",
        photo=seen[0],
        shown=fitted(whole[None], (scale * model.size[0], scale * model.size[1])).clamp(0, 1)[0],
        layer=layer,
        by=cast(Order, by),
        predictions=predictions,
        aim=None if aim is None else _class_name(model, aim),
        way=None if adds is None else adds.way,
        table=table,
        units=tuple(_units(model, layer, maps, table, order[:count], portraits, found)),
        value_range=model.value_range,
        num_surveyed=0 if found is None else found.num_pictures,
    )


def picture_sources(
    given: RenderingSource | Sequence[RenderingSource] | None, model: Model
) -> Sequence[RenderingSource]:
    """Where pictures come from, in order: what was given, or the ascent."""
    if given is None:
        return (RenderNow(model),)
    return (given,) if isinstance(given, RenderingSource) else given


def _check_survey(found: Survey | None, model: Model, layer: str, by: str) -> None:
    """See that a survey speaks of this network, and of this layer where it must."""
    if found is not None and found.settings.model_hash != model.weights_hash:
        raise TableError(
            f"the survey is of {found.settings.model} ({found.settings.model_hash}), not of {model.name} "
            f"({model.weights_hash}): make one with pellucid survey {model.name} DATASET -o DIR"
        )
    if by == "percentile" and (found is None or found.table.row(Target.unit(layer, 0)) is None):
        what = "no survey was given" if found is None else f"the survey does not cover {layer}"
        raise TableError(f"units cannot be ranked by percentile: {what}")


def _classes(
    model: Model, seen: Float[Tensor, "1 c h w"], of: str | int | None
) -> tuple[tuple[tuple[str, float], ...], int | None]:
    """The five likeliest classes with their probabilities, and the class to explain; none of a network without."""
    if OUTPUT not in model.layers:
        if of is not None:
            raise TargetError(f"{model.name} returns no classes, so that nothing contributes to {of!r}")
        return (), None
    with torch.no_grad():
        output = model(in_range(seen, model.value_range).to(model.device))[0].float().cpu()
    likely = output if model.output_kind == "probabilities" else output.softmax(0)
    top = likely.argsort(descending=True)[:5].tolist()
    aim = top[0] if of is None else model.class_index(str(of))
    return tuple((_class_name(model, index), float(likely[index])) for index in top), aim


def _class_name(model: Model, index: int) -> str:
    return model.classes[index].partition(",")[0] if model.classes and index < len(model.classes) else f"class {index}"


def _contributions(model: Model, photo: Float[Tensor, "c h w"], aim: int, layer: str) -> Contributions | None:
    """By weight x activation where that is exact, else by gradient x activation; None of a layer without effect."""
    for way in ("weight-x-activation", "gradient-x-activation"):
        try:
            return contributions_to(model, photo, f"logit:{aim}", layer, way)
        except TargetError:
            continue
    return None


def _table(
    model: Model, layer: str, maps: Float[Tensor, "n h w"], adds: Contributions | None, found: Survey | None
) -> UnitTable:
    """All units of the layer: activation, place, contribution and percentile, as far as they are known."""
    flat = maps.flatten(1)
    best = flat.argmax(1)
    cols = maps.shape[2]
    targets = [str(Target.unit(layer, unit)) for unit in range(len(maps))]
    means = reduced(maps, "mean").tolist()
    columns: dict[str, tuple[Any, About]] = {
        "activation": (means, About("mean activation over positions, on the photo")),
        "highest": (flat.amax(1).tolist(), About("highest activation over positions, on the photo")),
        "row": ((best // cols).tolist(), About("row of the layer's map where it is highest")),
        "col": ((best % cols).tolist(), About("column of the layer's map where it is highest")),
    }
    if adds is not None:
        about = adds.table(model).about("contribution")
        columns["contribution"] = adds.units.tolist(), about
    rows = [found.table.row(target) for target in targets] if found is not None else []
    if any(rows):
        percentiles = [
            None if row is None else percentile_in(row["mean_histogram"], mean)
            for row, mean in zip(rows, means, strict=True)
        ]
        meaning = "percentage of the surveyed pictures on which the mean activation is lower"
        columns["percentile"] = percentiles, About(meaning, {"pictures": found.num_pictures if found else 0})
    return UnitTable.of(model, targets, columns)


def _ranked(table: UnitTable, by: Order) -> list[int]:
    """The units' numbers, first the one that this asks for."""
    activation = table["activation"]
    if by == "contribution" and "contribution" not in table.columns:
        raise TargetError("units cannot be ranked by contribution: no class depends on this layer")
    first = table[by]
    return sorted(range(len(table)), key=lambda unit: (-(first[unit] or 0.0), -activation[unit], unit))


def _units(
    model: Model,
    layer: str,
    maps: Float[Tensor, "n h w"],
    table: UnitTable,
    chosen: Sequence[int],
    portraits: Mapping[str, Portrait],
    found: Survey | None,
) -> list[FiringUnit]:
    fields = receptive_fields(model, [layer])[layer]
    units = []
    for rank, unit in enumerate(chosen, 1):
        target = table.targets[unit]
        row = cast("dict[str, Any]", table.row(target))
        surveyed = found.table.row(target) if found is not None else None
        units.append(
            FiringUnit(
                target=target,
                rank=rank,
                activation=row["activation"],
                place=(row["row"], row["col"]),
                box=fields.box(row["row"] * maps.shape[2] + row["col"]),
                map=maps[unit],
                contribution=row.get("contribution"),
                percentile=row.get("percentile"),
                histogram=surveyed["mean_histogram"] if surveyed else None,
                portrait=portraits.get(target),
                examples=_examples(found, surveyed),
                classes=tuple((one["name"], one["count"]) for one in surveyed["classes"]) if surveyed else (),
            )
        )
    return units


def _examples(found: Survey | None, row: Mapping[str, Any] | None) -> tuple[ExampleOf, ...]:
    """The survey's strongest examples of a unit, with their pictures."""
    if found is None or row is None:
        return ()
    return tuple(
        ExampleOf(
            webp=found.pictures.encoded(one["picture"]),
            name=found.pictures.about(one["picture"])["class"] or found.pictures.about(one["picture"])["name"],
            value=one["value"],
            box=(one["top"], one["left"], one["bottom"], one["right"]),
            size=found.settings.size,
        )
        for one in row["highest"]
    )
