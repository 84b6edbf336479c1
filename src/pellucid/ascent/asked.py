"""From what a caller asks for to jobs: targets and objectives, their labels, random streams and groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from pellucid.ascent.jobs import Job
from pellucid.ascent.recipe import Recipe
from pellucid.errors import RecipeError, TargetError
from pellucid.models.model import Model
from pellucid.models.taps import Tap
from pellucid.models.targets import Target
from pellucid.objectives.from_target import expand_targets, objective_of
from pellucid.objectives.groups import Alignment, Diversity, GroupTerm, tap_of
from pellucid.objectives.objective import Objective
from pellucid.objectives.penalties import parse_penalties
from pellucid.objectives.probes import Probe

__all__ = ["Asked", "TargetLike", "ask"]

TargetLike = str | Target | Objective


@dataclass(frozen=True)
class Asked:
    """Jobs in the order of their pictures, a label for each picture, and what all of them look at.

    With the recipe's `best_of` = n, jobs n i to n i + n - 1 are the starts of picture i.
    """

    labels: tuple[str, ...]
    jobs: tuple[Job, ...]

    @property
    def taps(self) -> tuple[Tap, ...]:
        """Of all objectives and group terms."""
        taps = (tap for job in self.jobs for tap in job.climbed.taps)
        return tuple(dict.fromkeys((*taps, *(tap for job in self.jobs for term in job.terms for tap in term.taps))))

    @property
    def largest_group(self) -> int:
        """How many pictures must be under way together."""
        return max(Counter(job.group for job in self.jobs if job.group >= 0).values(), default=1)


def ask(
    targets: TargetLike | Sequence[TargetLike],
    model: Model,
    recipe: Recipe,
    size: tuple[int, int],
    *,
    start: Tensor | None = None,
    parameters: Tensor | None = None,
    probes: Mapping[str, Probe] | None = None,
    groups: Sequence[int] | None = None,
) -> Asked:
    """The jobs that targets mean for a network, at a picture size; `start` is one for all pictures or one for each,
    `parameters` [b, m] what is optimised of each to start from.

    Raises:
        TargetError: an unknown layer or class, a channel out of range, a position outside the map.
        RecipeError: a penalty or group that makes no sense.
    """
    labels, objectives = _objectives(targets, model, size, probes or {})
    labels = [label for label in labels for _ in range(recipe.members)]
    objectives = [objective for objective in objectives for _ in range(recipe.members)]
    numbers = _grouped(recipe, len(objectives), groups)
    if start is not None and start.ndim == 4 and len(start) != len(objectives):
        raise RecipeError(f"start is one picture, or one for each of {len(objectives)}, not {len(start)}")
    if parameters is not None and (start is not None or len(parameters) != len(objectives)):
        given = "a start beside them" if start is not None else str(len(parameters))
        raise RecipeError(f"parameters to start from are a row for each of {len(objectives)} pictures, not {given}")
    beside = parse_penalties(recipe.penalties)
    if recipe.penalties and not beside.terms:
        raise RecipeError(f"penalties {recipe.penalties!r} name none; an example: 'l1:0.05 tv:0.25'")
    if recipe.group_layer is not None:
        model.layer(recipe.group_layer, size)
    jobs: list[Job] = []
    seen: Counter[str] = Counter()
    for picture, (objective, group) in enumerate(zip(objectives, numbers, strict=True)):
        own_start = start[picture] if start is not None and start.ndim == 4 else start
        name = f"seed {recipe.seed} shared start"
        if not recipe.shared_start:
            name = f"seed {recipe.seed} objective {objective.hash} member {seen[objective.hash]}"
        seen[objective.hash] += 1
        leader = objectives[numbers.index(group)] if group >= 0 else objective
        terms = _terms(recipe, leader) if group >= 0 else ()
        for attempt in range(recipe.best_of):
            index, key = len(jobs), f"{name} attempt {attempt}" if attempt else name
            own = parameters[picture] if parameters is not None else None
            jobs.append(Job(index, objective, key, own_start, own, beside=beside, group=group, terms=terms))
    return Asked(tuple(labels), tuple(jobs))


def _terms(recipe: Recipe, objective: Objective) -> tuple[GroupTerm, ...]:
    """What couples a group, read where its first objective does."""
    if not (recipe.diversity or recipe.alignment):
        return ()
    tap = tap_of(recipe.group_layer or objective)
    diversity = (Diversity(tap, recipe.diversity),) if recipe.diversity else ()
    return (*diversity, Alignment(tap, recipe.alignment)) if recipe.alignment else diversity


def _grouped(recipe: Recipe, num_pictures: int, groups: Sequence[int] | None) -> list[int]:
    """The group of every picture; -1 is none."""
    if groups is not None and (len(groups) != num_pictures or recipe.members > 1):
        raise RecipeError(
            f"groups names a group for each of {num_pictures} pictures, not {len(groups)}"
            if recipe.members == 1
            else "groups and members both say which pictures belong together: give one of them"
        )
    if not recipe.couples:
        if groups is not None:
            raise RecipeError("groups mean nothing without diversity, alignment or shared_low_res")
        return [-1] * num_pictures
    numbers = list(groups) if groups is not None else [picture // recipe.members for picture in range(num_pictures)]
    together = Counter(number for number in numbers if number >= 0)
    if not together or min(together.values()) < 2:
        what = next(name for name in ("diversity", "alignment", "shared_low_res") if getattr(recipe, name))
        raise RecipeError(f"{what} is for groups of two pictures or more, and one has a single picture: set members")
    return numbers


def _objectives(
    targets: TargetLike | Sequence[TargetLike], model: Model, size: tuple[int, int], probes: Mapping[str, Probe]
) -> tuple[list[str], list[Objective]]:
    """What to call each picture, and what it maximises."""
    asked: Sequence[TargetLike] = [targets] if isinstance(targets, (str, Target, Objective)) else list(targets)
    labels: list[str] = []
    objectives: list[Objective] = []
    for one in asked:
        if isinstance(one, Objective):
            labels.append(f"objective {one.hash[:8]}")
            objectives.append(one)
            continue
        target = Target.parse(one) if isinstance(one, str) else one
        if not isinstance(target, Target):
            raise TargetError(f"a target is a text, a Target or an Objective, not {type(one).__name__}")
        for single in expand_targets([target], model):
            labels.append(str(single))
            objectives.append(objective_of(single, model, size, probes=probes))
    if not objectives:
        raise TargetError("no target was given; name at least one, such as 'mixed4a:12' (pellucid layers MODEL)")
    return labels, objectives
