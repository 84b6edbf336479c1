"""Which units of the next layer a unit feeds, and which feed it: weights, multiplied out between the two layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.errors import TargetError
from pellucid.explain.contributions import by_unit, gradient_at
from pellucid.models.gradients import IdentityReLU
from pellucid.models.model import Model
from pellucid.models.positions import Position
from pellucid.models.targets import Target
from pellucid.models.value_range import in_range
from pellucid.objectives.units import check_channels, region
from pellucid.survey.unit_table import About, UnitTable

__all__ = ["feeds", "weights_between"]

_MOST_UNITS = 32  # of the later layer that go through the network at once, and
_MOST_PIXELS = 8 * 224 * 224  # of their pictures together: bounds memory
_SOURCE = "Voss et al., Visualizing Weights, Distill 2021 (expanded weights)"
_FEEDS = "units of the next layer that it raises most, and then those that it lowers most, below zero"
_FED_BY = "units of the layer before that raise it most, and then those that lower it most, below zero"
_WEIGHT = ": the weights on the way, multiplied out with every rectifier open"

_Entry = dict[str, str | float]

OnProgress = Callable[[float], "bool | None"]
"""Told which share is done; True stops it."""


def weights_between(
    model: Model,
    earlier: str,
    later: str,
    units: Sequence[int] | None = None,
    *,
    size: tuple[int, int] | None = None,
) -> Float[Tensor, "m n"]:
    """How much each unit of a later layer rises with each unit of an earlier one: [later units, earlier units].

    The slope of the later unit at the centre of its map by the earlier one at all its positions together, with every
    rectifier between them open. For networks of convolutions, batch norms, rectifiers and pooling that is the product
    of their weights and the same for every picture, but for what padding takes away at the borders. Where other
    nonlinearities lie between (GELU, attention, layer norm) it is their slope at a picture of noise. `units` picks
    some of the later layer's.

    Raises:
        TargetError: an unknown layer or unit, or the later layer does not depend on the earlier.

    Source: Voss et al., "Visualizing Weights", Distill 2021.
    """
    size = size or model.size
    wanted = list(range(model.layer(later, size).units)) if units is None else list(units)
    found = model.layer(earlier, size)
    noise = torch.rand(1, model.channels, *size, generator=torch.Generator().manual_seed(0))
    picture = in_range(noise, model.value_range).to(model.device)
    rows, batch = [], _batch(size)
    for first in range(0, len(wanted), batch):
        part = wanted[first : first + batch]
        objectives = [region(later, unit, Position("centre")) for unit in part]
        with IdentityReLU():
            _, _, slope = gradient_at(model, picture.expand(len(part), -1, -1, -1), objectives, earlier)
        rows.append(by_unit(slope, found).sum((2, 3)).float().cpu())
    return torch.cat(rows)


def feeds(
    model: Model,
    units: Mapping[str, Sequence[int]],
    *,
    count: int = 7,
    size: tuple[int, int] | None = None,
    progress: OnProgress | None = None,
) -> UnitTable:
    """For every unit, those of the next layer that it feeds most, and those of the layer before that feed it most.

    Columns `feeds` and `fed_by`: lists of `{target, weight}`, at most `count` that rise, the most first, and then as
    many that fall. The layer before is the nearest of `units` (layer -> its units, in forward order) that the layer
    depends on: of branches side by side none feeds another. For a weight see `weights_between`.

    Raises:
        TargetError: an unknown layer, or a unit that it has not.
        KeyboardInterrupt: `progress` stopped it.
    """
    for name, numbers in units.items():
        check_channels(name, numbers, model.layer(name, size).units)
    befores = {later: before for later in units if (before := _before(model, later, list(units), size)) is not None}
    done, total = 0, sum(len(units[later]) for later in befores)
    weights: dict[str, Tensor] = {}
    for later, before in befores.items():
        parts, batch = [], _batch(size or model.size)
        for first in range(0, len(units[later]), batch):
            part = units[later][first : first + batch]
            parts.append(weights_between(model, before, later, part, size=size)[:, list(units[before])])
            done += len(part)
            if progress is not None and progress(done / total):
                raise KeyboardInterrupt
        weights[later] = torch.cat(parts)
    targets = {name: [str(Target.unit(name, unit)) for unit in numbers] for name, numbers in units.items()}
    feeding: dict[str, list[_Entry]] = {}
    fed_by: dict[str, list[_Entry]] = {}
    for later, before in befores.items():
        fed_by |= _largest(weights[later], targets[later], targets[before], count)
    for name in units:
        behind = [later for later, before in befores.items() if before == name]  # several, where branches begin
        if behind:
            others = [target for later in behind for target in targets[later]]
            feeding |= _largest(torch.cat([weights[later] for later in behind]).T, targets[name], others, count)
    how = {"layer before": befores, "source": _SOURCE}
    all_targets = [target for of_layer in targets.values() for target in of_layer]
    columns = {
        "feeds": (_column(feeding, all_targets), About(_FEEDS + _WEIGHT, how)),
        "fed_by": (_column(fed_by, all_targets), About(_FED_BY + _WEIGHT, how)),
    }
    return UnitTable.of(model, all_targets, columns)


def _batch(size: tuple[int, int]) -> int:
    return max(1, min(_MOST_UNITS, _MOST_PIXELS // (size[0] * size[1])))


def _before(model: Model, later: str, names: Sequence[str], size: tuple[int, int] | None) -> str | None:
    """The nearest layer before one that it depends on, seen at its first unit; None for the first."""
    for earlier in reversed(names[: names.index(later)]):
        try:
            weights_between(model, earlier, later, [0], size=size)
        except TargetError:  # it does not depend on this one
            continue
        return earlier
    return None


def _largest(
    weights: Float[Tensor, "m n"], targets: Sequence[str], others: Sequence[str], count: int
) -> dict[str, list[_Entry]]:
    """Target of each row -> its largest weights above zero, falling, and then those below, rising."""
    found = {}
    for target, row in zip(targets, weights, strict=True):
        order = row.argsort(descending=True, stable=True).tolist()
        up = [at for at in order[:count] if row[at] > 0]
        down = [at for at in reversed(order[-count:]) if row[at] < 0]
        found[target] = [{"target": others[at], "weight": float(row[at])} for at in (*up, *down)]
    return found


def _column(found: Mapping[str, list[_Entry]], targets: Sequence[str]) -> pa.Array:
    kind = pa.list_(pa.struct([("target", pa.string()), ("weight", pa.float32())]))
    return pa.array([found.get(target) for target in targets], kind)
