"""From a target, which is text made a value, to the objective it means for one network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.errors import TargetError
from pellucid.images.files import SUFFIXES, read
from pellucid.images.fitting import fitted
from pellucid.models.layers import OUTPUT
from pellucid.models.model import Model
from pellucid.models.targets import Target, Term
from pellucid.models.value_range import in_range
from pellucid.objectives.classes import log_probability, logit, probability
from pellucid.objectives.distributions import distribution_match, sorted_average
from pellucid.objectives.masks import read_mask
from pellucid.objectives.metrics import Metric, level, metric
from pellucid.objectives.objective import Objective
from pellucid.objectives.photos import caricature, inversion
from pellucid.objectives.probes import Probe, find_probe, probe
from pellucid.objectives.response import REDUCTIONS, Reduction
from pellucid.objectives.response_direction import response_direction
from pellucid.objectives.units import direction, layer, region

__all__ = ["expand_targets", "objective_of"]


def expand_targets(targets: list[Target], model: Model) -> list[Target]:
    """One target for each channel that a range or `*` stands for, in order."""
    return [single for target in targets for single in target.expand(lambda name: model.layer(name).units)]


def objective_of(
    target: Target, model: Model, size: tuple[int, int] | None = None, *, probes: Mapping[str, Probe] | None = None
) -> Objective:
    """The objective that a target means for this network, on pictures of `size` (the network's own by default).

    `probes` are those that `probe:NAME` may name; `probe:FILE.safetensors` needs none.

    Raises:
        TargetError: an unknown layer, class or probe, a channel out of range, a position outside the map.
    """
    total = Objective(())
    for term in target.terms:
        signed = -term.weight if term.negative else term.weight
        if term.position is not None and term.position.file:
            term = replace(term, position=read_mask(term.position.file))
        total = total + _of_term(term, model, size or model.size, probes or {}) * signed
    return total


def _of_term(term: Term, model: Model, size: tuple[int, int], probes: Mapping[str, Probe]) -> Objective:
    if term.kind in ("logit", "prob", "logprob"):
        index = model.class_index(term.name)
        ends_in_softmax = model.output_kind == "probabilities"
        make = {"logit": logit, "prob": probability, "logprob": log_probability}[term.kind]
        return make(index, ends_in_softmax=ends_in_softmax)
    if term.kind == "probe":
        found, latent = find_probe(term.name, probes)
        units = model.layer(found.layer, size).units
        if found.weight.shape[1] != units:
            raise TargetError(
                f"probe {term.name!r} has {found.weight.shape[1]} weights, but {found.layer} has {units} channels"
            )
        return probe(found, latent)
    _check_place(term, model, size)
    if term.kind == "dir":
        return direction(term.layer, _vector(term, model.layer(term.layer, size).units), position=term.position)
    if term.kind in ("caricature", "inversion"):
        seen = model.tap(_photo(term.name, model, size), [term.layer])
        return caricature(term.layer, seen) if term.kind == "caricature" else inversion(term.layer, seen)
    if term.kind == "match":
        return distribution_match(term.layer, _references(term, model, size))
    if term.kind == "layer":
        return layer(term.layer, term.position)
    return _of_unit(term, model, size)


def _of_unit(term: Term, model: Model, size: tuple[int, int]) -> Objective:
    """A channel, scored over its positions, by a level, or against all others."""
    if not isinstance(term.channels, int):
        raise TargetError(f"{term.what} stands for several units; expand it first (expand_targets)")
    if term.level is not None:
        return level(term.layer, term.channels, term.level, position=term.position)
    if term.score == "cosine":
        if term.position is not None:
            raise TargetError(f"{term.what}: ~cosine compares all units over the whole map; leave the position out")
        single = torch.zeros(model.layer(term.layer, size).units)
        single[term.channels] = 1
        return response_direction(term.layer, single)
    if term.score and term.score not in REDUCTIONS:
        distance = cast(Metric, "max" if term.score == "largest" else term.score)
        return metric(term.layer, term.channels, distance, position=term.position)
    return region(term.layer, term.channels, term.position, reduction=cast(Reduction, term.score or "mean"))


def _check_place(term: Term, model: Model, size: tuple[int, int]) -> None:
    """Everything that can be wrong with a unit's address, before the first step."""
    found = model.layer(term.layer, size)
    if isinstance(term.channels, int) and term.channels >= found.units:
        raise TargetError(
            f"channel {term.channels} is out of range: {term.layer} of {model.name} has {found.units} channels, "
            f"0 to {found.units - 1}"
        )
    if term.position is None:
        return
    if term.position.kind in ("cls", "patch") and len(found.shape) == 2:
        if term.position.kind == "cls" and not found.prefix_tokens:
            raise TargetError(f"layer {term.layer} of {model.name} has no class token (@cls); @patch is all its tokens")
        return
    if term.layer == OUTPUT or len(found.shape) == 1:
        raise TargetError(f"layer {term.layer} of {model.name} has no positions; leave @{term.position} out")
    term.position.check(*found.map_size)


def _photo(name: str, model: Model, size: tuple[int, int]) -> Float[Tensor, "1 c h w"]:
    """A photo from a file, cut and scaled to cover the size, in the network's range."""
    photo = fitted(read(Path(name), channels=model.channels)[None], size).clamp(0, 1)
    return in_range(photo, model.value_range)


def _references(term: Term, model: Model, size: tuple[int, int]) -> Float[Tensor, "c n"]:
    """The average of the sorted activations of a photo, or of all photos in a folder, one at a time."""
    place = Path(term.name)
    names = sorted(place.iterdir()) if place.is_dir() else [place]
    photos = [name for name in names if name == place or name.suffix.lower() in SUFFIXES]
    if not photos:
        raise TargetError(f"no pictures ({' '.join(SUFFIXES)}) in the folder {place}: nothing to match")
    seen = (model.tap(_photo(str(name), model, size), [term.layer]) for name in photos)
    averages = (sorted_average(one, term.layer) for one in seen)
    return reduce(torch.add, averages) / len(photos)


def _vector(term: Term, units: int) -> list[float]:
    try:
        with open(term.name, "rb") as file:
            values = np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise TargetError(f"cannot read the direction {term.name}: {error}") from None
    if values.dtype.kind not in "fiu":
        raise TargetError(f"the direction {term.name} holds {values.dtype}, not numbers")
    if values.shape != (units,):
        raise TargetError(f"the direction {term.name} has shape {values.shape}, but {term.layer} has {units} channels")
    return [float(value) for value in values]
