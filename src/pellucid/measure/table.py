"""All measures of many units as one table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pellucid.ascent.rendering import Rendering
from pellucid.ascent.source import Portrait
from pellucid.errors import TargetError
from pellucid.measure.about import about
from pellucid.measure.evidence import Evidence, portraits_in
from pellucid.measure.interpretability import DREAMSIM_SCALE, differences, fitted_scale, machine_interpretability
from pellucid.measure.likeness import DreamSim, Likeness, best_likeness
from pellucid.measure.manipulation import suspicion
from pellucid.measure.paths import held_together, path_similarity, ranks_at
from pellucid.measure.reference import Reference, natural_scores
from pellucid.measure.strength import HELD_OUT, clean_scores, reach, robustness
from pellucid.models.layers import OUTPUT
from pellucid.models.model import Model
from pellucid.models.targets import Target
from pellucid.objectives.from_target import objective_of
from pellucid.survey.unit_table import UnitTable

__all__ = ["TRUSTED", "measure"]

TRUSTED = ("reach_percentile", "robustness", "path_similarity", "machine_interpretability", "seed_agreement")
"""The measures of which more is better, which `trust` ranks by; of `model_randomisation`, less is."""

_PICTURES = 128  # whose ranks at a layer are held at once
_OTHERS = 64  # natural images that stand for all others where pairs are compared

Says = Callable[[str], object]


def measure(
    model: Model,
    pictures: Evidence | Rendering | Sequence[Rendering] | Mapping[str, Portrait],
    reference: Reference,
    *,
    likeness: Likeness | None = None,
    top: int = 10,
    path_layers: Sequence[str] | None = None,
    transforms: str = HELD_OUT,
    says: Says = lambda text: None,
) -> UnitTable:
    """How far each picture can be trusted: a row for each target, a column for each measure that there is evidence for.

    Reach, robustness, path similarity, likeness to the natural top k and the manipulation check need the pictures
    alone; machine interpretability those of opposites, seed agreement those of other seeds, model randomisation those
    of the re-initialised network (`Evidence`). `trust` is the mean of a unit's ranks by all of these among the units
    measured: 0 the worst of all by all of them, 1 the best; of path similarity, what is above 1 counts as 1.

    `likeness` is by default the best at hand (`best_likeness`); each column says which it was. `top`: natural images
    that stand for a unit. `path_layers`: where paths are compared, by default the targets' own layers and the last with
    positions; a unit's path ends at its layer. `says` is told what is being done.

    Raises:
        TargetError: no picture at all, or a target that the network does not have.
    """
    evidence = pictures if isinstance(pictures, Evidence) else Evidence(_by_target(pictures))
    desk = _Desk.of(model, evidence, reference, likeness, top)
    says(f"{len(reference)} natural images through {model.name}")
    columns: dict[str, list[Any]] = {"score": desk.scores.tolist()}
    found = [reach(float(score), natural) for score, natural in zip(desk.scores, desk.natural.T, strict=True)]
    columns["reach_percentile"] = [one.percentile for one in found]
    columns["reach_ratio"] = [one.ratio for one in found]
    says("robustness")
    columns["robustness"] = robustness(model, desk.images, desk.objectives, transforms).tolist()
    columns |= desk.paths(path_layers, says)
    says("likeness")
    columns |= desk.likenesses()
    signs = zip(columns["reach_percentile"], columns["path_similarity"], columns["example_likeness"], strict=True)
    columns["flagged"] = [suspicion(*one).is_flagged for one in signs]
    columns["trust"] = trust(columns)
    settings = {
        "reference": reference.name,
        "images": len(reference),
        "likeness": desk.likeness.name,
        "top": top,
        "transforms": transforms,
        "interpretability_scale": desk.scale,
        "path_layers": desk.path_layers,
    }
    return UnitTable.of(
        model, desk.targets, {name: (_plain(values), about(name, settings)) for name, values in columns.items()}
    )


def trust(columns: Mapping[str, Sequence[float | None]]) -> list[float]:
    """The mean rank, 0 to 1, of each unit by the measures that there are; equal values share theirs, NaN has none."""
    ranks = []
    for name in (*TRUSTED, "model_randomisation"):
        if name in columns:
            values = torch.tensor([math.nan if value is None else value for value in columns[name]]).double()
            values = -values if name == "model_randomisation" else values
            values = values.clamp(max=1) if name == "path_similarity" else values  # 1 is as natural as nature
            ranks.append(_ranks(values))
    return torch.stack(ranks).nanmean(0).tolist() if ranks else []


def _ranks(values: Tensor) -> Tensor:
    there = ~values.isnan()
    known = values[there]
    below = (known[:, None] > known).double().sum(1) + ((known[:, None] == known).double().sum(1) - 1) / 2
    result = torch.full_like(values, math.nan)
    result[there] = below / max(1, len(known) - 1) if len(known) > 1 else torch.full_like(known, 0.5)
    return result


def _by_target(pictures: Rendering | Sequence[Rendering] | Mapping[str, Portrait]) -> Mapping[str, Portrait]:
    return pictures if isinstance(pictures, Mapping) else portraits_in(pictures)


def _plain(values: Sequence[Any]) -> list[Any]:
    """What a table keeps: nothing where a number is none, in lists too."""
    plain: list[Any] = []
    for value in values:
        if isinstance(value, list):
            plain.append(_plain(value))
        else:
            plain.append(None if isinstance(value, float) and math.isnan(value) else value)
    return plain


@dataclass
class _Desk:
    """Everything that is looked at while units are measured, each computed once."""

    model: Model
    evidence: Evidence
    reference: Reference
    likeness: Likeness
    top: int
    targets: list[str]
    images: Float[Tensor, "t c h w"]
    objectives: list[Any]
    scores: Float[Tensor, " t"]
    natural: Float[Tensor, "n t"]
    own: Bool[Tensor, "t n"]
    scale: float = DREAMSIM_SCALE
    path_layers: tuple[str, ...] = ()

    @classmethod
    def of(cls, model: Model, evidence: Evidence, reference: Reference, likeness: Likeness | None, top: int) -> _Desk:
        targets = list(evidence.own)
        if not targets:
            raise TargetError("there is no picture to measure; render some, or give an atlas that holds them")
        images = torch.stack([evidence.own[target].image for target in targets]).float()
        objectives = [objective_of(Target.parse(target), model) for target in targets]
        natural = natural_scores(model, objectives, reference.for_network(model))
        own = torch.zeros(len(targets), len(reference), dtype=torch.bool)
        for row, target in enumerate(targets):
            of_class = reference.of_class(model, Target.parse(target))
            if of_class is not None:
                own[row] = of_class
            else:
                own[row, natural[:, row].topk(min(top, len(reference) // 2)).indices] = True
        return cls(
            model,
            evidence,
            reference,
            likeness or best_likeness(model, reference.images),
            top,
            targets,
            images,
            objectives,
            clean_scores(model, images, objectives),
            natural,
            own,
        )

    def paths(self, layers: Sequence[str] | None, says: Says) -> dict[str, list[Any]]:
        """Path similarity at each layer up to a unit's own, and its mean."""
        order = list(self.model.layers)
        ends = [
            max((order.index(name) for name in self._layers_of(target)), default=len(order)) for target in self.targets
        ]
        if layers is None:
            spatial = [one.name for one in self.model.layers.values() if max(one.map_size) > 1]
            named = {name for target in self.targets for name in self._layers_of(target) if name != OUTPUT}
            layers = sorted(named | set(spatial[-1:]), key=order.index)
        self.path_layers = tuple(layers)
        natural_images = self.reference.for_network(self.model)
        found = torch.full((len(self.targets), len(layers)), math.nan)
        for group in held_together(self.model, layers, len(natural_images)):
            says(f"paths through {', '.join(group)}")
            natural = ranks_at(self.model, group, natural_images)
            among = {layer: ranks @ ranks.T for layer, ranks in natural.items()}
            for part in torch.arange(len(ends)).split(_PICTURES):
                deepest = max(ends[row] for row in part.tolist())
                passed = [layer for layer in group if order.index(layer) <= deepest]
                if not passed:
                    continue
                for layer, ranks in ranks_at(self.model, passed, self.images[part]).items():
                    rows = [at for at, row in enumerate(part.tolist()) if order.index(layer) <= ends[row]]
                    similar = path_similarity(ranks[rows] @ natural[layer].T, among[layer], self.own[part[rows]])
                    found[part[rows], layers.index(layer)] = similar
        return {"path_similarity": found.nanmean(1).tolist(), "path_similarity_by_layer": found.tolist()}

    def _layers_of(self, target: str) -> list[str]:
        return [tap.layer for tap in objective_of(Target.parse(target), self.model).taps]

    def likenesses(self) -> dict[str, list[Any]]:
        """What compares pictures: with the natural top k, opposites, other seeds, the untrained network."""
        ready = self.likeness.prepared(self._shown(self.images))
        natural = self.likeness.prepared(self.reference.images)
        draw = torch.randperm(len(natural), generator=torch.Generator().manual_seed(0))[:_OTHERS]
        columns: dict[str, list[Any]] = {"example_likeness": []}
        for row in range(len(self.targets)):
            examples = self._extreme(row, self.top)
            others = draw[~self.own[row, draw]]
            alike = [self.likeness.compared(ready[row : row + 1], natural[which]) for which in (examples, others)]
            columns["example_likeness"].append(float(alike[0].mean() - alike[1].mean()))
        if self.evidence.opposites:
            columns |= self._interpretability(ready, natural)
        if self.evidence.reseeded:
            columns["seed_agreement"] = self._agreement(ready)
        if self.evidence.untrained:
            columns["model_randomisation"] = self._beside(ready, self.evidence.untrained)
        return columns

    def _shown(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        low, high = self.model.value_range
        return ((images - low) / (high - low)).clamp(0, 1)

    def _extreme(self, row: int, count: int, *, lowest: bool = False) -> Tensor:
        """The natural images that excite a unit most, or least."""
        return self.natural[:, row].topk(min(count, len(self.reference) // 2), largest=not lowest).indices

    def _prepared(self, portraits: Mapping[str, Portrait]) -> dict[str, Tensor]:
        there = [target for target in self.targets if target in portraits]
        if not there:
            return {}
        ready = self.likeness.prepared(self._shown(torch.stack([portraits[target].image.float() for target in there])))
        return dict(zip(there, ready.split(1), strict=True))

    def _interpretability(self, ready: Tensor, natural: Tensor) -> dict[str, list[Any]]:
        against = self._prepared(self.evidence.opposites)
        more = [self._prepared(one) for one in self.evidence.reseeded]
        tasks: dict[int, Tensor] = {}
        for row, target in enumerate(self.targets):
            if target not in against:
                continue
            plus = torch.cat([ready[row : row + 1], *(one[target] for one in more if target in one)])
            queries = [natural[self._extreme(row, self.top, lowest=low)] for low in (False, True)]
            sims = [self.likeness.compared(query, shown) for query in queries for shown in (plus, against[target])]
            tasks[row] = differences(*sims)
        if not isinstance(self.likeness, DreamSim):
            self.scale = fitted_scale(torch.cat(list(tasks.values())))
        found = {row: machine_interpretability(one, min(self.scale, 1e6)) for row, one in tasks.items()}
        rows = range(len(self.targets))
        return {
            "machine_interpretability": [found[row].score if row in found else math.nan for row in rows],
            "interpretability_accuracy": [found[row].accuracy if row in found else math.nan for row in rows],
        }

    def _agreement(self, ready: Tensor) -> list[float]:
        more = [self._prepared(one) for one in self.evidence.reseeded]
        values = []
        for row, target in enumerate(self.targets):
            several = torch.cat([ready[row : row + 1], *(one[target] for one in more if target in one)])
            pairs = self.likeness.compared(several, several).double()
            count = len(several)
            off = (pairs.sum() - pairs.diagonal().sum()) / max(1, count * (count - 1))
            values.append(float(off) if count > 1 else math.nan)
        return values

    def _beside(self, ready: Tensor, portraits: Mapping[str, Portrait]) -> list[float]:
        other = self._prepared(portraits)
        return [
            float(self.likeness.compared(ready[row : row + 1], other[target])) if target in other else math.nan
            for row, target in enumerate(self.targets)
        ]
