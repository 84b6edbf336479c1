"""Some units of one layer rendered: what a sweep does again and again, in whatever process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from pellucid.ascent.machine import find_device
from pellucid.ascent.plan import Resolved
from pellucid.ascent.progress import Progress
from pellucid.ascent.recipe import Recipe
from pellucid.ascent.render import plan, stream
from pellucid.ascent.rendering import Rendering
from pellucid.atlas.card import Card
from pellucid.atlas.order import of_view
from pellucid.atlas.shards import Key, Picture, View
from pellucid.atlas.writer import encoded
from pellucid.errors import AtlasError, is_out_of_memory
from pellucid.images.sheets import picture
from pellucid.models.model import Model
from pellucid.models.targets import Target

__all__ = ["Chunk", "chunks", "members", "render_chunk", "resolve", "views"]

_MOST_UNITS = 512  # rendered in one go: bounds memory, and each go ends with some slots empty
_ALL_FAIL = 8  # units in a row, each alone, after which it is not the units' fault


@dataclass(frozen=True)
class Chunk:
    """Units of one layer whose pictures of one view are to be made."""

    layer: str
    view: View
    units: tuple[int, ...]

    def __str__(self) -> str:
        return f"{len(self.units)} units of {self.layer} ({self.view})"


def views(card: Card) -> tuple[View, ...]:
    """The views of an atlas, the pictures first: they are there as early as can be."""
    return ("picture", *(("negative",) if card.negative else ()), *(("diverse",) if card.diverse else ()))


def members(card: Card, view: View) -> int:
    """Pictures of one unit in a view."""
    return card.diverse if view == "diverse" else 1


def chunks(card: Card, present: Iterable[Key], most_units: int = _MOST_UNITS) -> Iterator[Chunk]:
    """What is to be made and is not there, view by view and layer by layer in forward order."""
    there = set(present)
    for view in views(card):
        last = members(card, view) - 1
        for layer, units in card.units.items():
            missing = [unit for unit in units if (str(Target.unit(layer, unit)), view, last) not in there]
            for first in range(0, len(missing), most_units):
                yield Chunk(layer, view, tuple(missing[first : first + most_units]))


def resolve(model: Model, card: Card, layer: str) -> dict[str, Any]:
    """How the pictures of a layer's units are made on this machine: precision, layout, batch and threads of a lane.

    It is kept in the card, so that whoever goes on makes the same pictures bit for bit.
    """
    targets = [Target.unit(layer, unit) for unit in card.units[layer]]
    return asdict(plan(model, targets, recipe=of_view(card.recipe)).resolved.of_lane())


def as_resolved(recipe: Recipe, model: Model, resolved: Mapping[str, Any]) -> tuple[Recipe, int]:
    """The recipe with nothing left open, and how many slots: lanes as `resolved` says, as many as this machine has
    cores for. What was resolved for another kind of device says nothing."""
    if not resolved or torch.device(resolved["device"]).type != torch.device(find_device(recipe.device, model)).type:
        return recipe, 0
    lanes = 1
    if torch.device(resolved["device"]).type == "cpu":
        lanes = max(1, torch.get_num_threads() // resolved["threads"])
    slots = lanes * resolved["batch"]
    names = ("precision", "layout")
    fixed = {name: resolved[name] for name in names} | {"fold": resolved["folded"], "trial": False}
    return replace(recipe, batch=slots, lanes=lanes, **fixed), slots


def render_chunk(
    model: Model,
    card: Card,
    chunk: Chunk,
    emit: Callable[[list[Picture]], None],
    callback: Callable[[Progress], bool | None] | None = None,
) -> bool:
    """Render units, and hand out each one's pictures together, as soon as they are finished.

    A unit whose rendering raises is found by halves, and handed out as failed. Returns False when the callback, or
    Ctrl-C, stopped it; what was under way then is not handed out.

    Raises:
        AtlasError: whatever is rendered raises.
        PellucidError: what is wrong before the first step.
    """
    recipe = of_view(card.recipe, diverse=card.diverse if chunk.view == "diverse" else 0)
    recipe, slots = as_resolved(recipe, model, card.resolved.get(chunk.layer, {}))
    isolation = _Isolation(model, recipe, slots, chunk, emit, callback)
    return isolation.render(chunk.units)


class _Isolation:
    """Renders units, and finds those that raise by rendering ever fewer of them at once."""

    def __init__(
        self,
        model: Model,
        recipe: Recipe,
        slots: int,
        chunk: Chunk,
        emit: Callable[[list[Picture]], None],
        callback: Callable[[Progress], bool | None] | None,
    ) -> None:
        self.model, self.recipe, self.slots, self.chunk = model, recipe, slots, chunk
        self.emit, self.callback = emit, callback
        self._failed_in_a_row = 0

    def render(self, units: tuple[int, ...]) -> bool:
        """Whether all of them were rendered, or found to fail."""
        left = dict.fromkeys(units)
        sign = -1 if self.chunk.view == "negative" else 1
        targets = {unit: Target.unit(self.chunk.layer, unit) for unit in units}
        asked = [target if sign > 0 else -target for target in targets.values()]
        # What is wrong with the order itself is raised here, before the first step.
        made = stream(self.model, asked, recipe=self.recipe, slots_for=self.slots, callback=self.callback)
        unit_of = {str(target): unit for unit, target in zip(units, asked, strict=True)}
        gathered: dict[int, list[Picture]] = {}
        try:
            for rendering in made:
                if rendering.status[0].state == "interrupted":
                    return False
                unit = unit_of[rendering.targets[0]]
                together = gathered.setdefault(unit, [])
                together.append(self._picture(rendering, unit, len(together)))
                if len(together) == self.recipe.members:
                    self.emit(gathered.pop(unit))
                    del left[unit]
                    self._failed_in_a_row = 0
        except (AtlasError, KeyboardInterrupt):  # of the store, in `emit`: it is not the unit's
            raise
        except Exception as error:  # whatever a network of the user's raises: one bad unit spares the others
            if is_out_of_memory(error):
                raise
            return self._without(tuple(left), error)
        return not left

    def _without(self, left: tuple[int, ...], error: Exception) -> bool:
        """Render what is left after an error, but for the units that raise it."""
        if len(left) > 1:
            middle = len(left) // 2
            return self.render(left[:middle]) and self.render(left[middle:])
        self._failed_in_a_row += 1
        text = f"{type(error).__name__}: {error}".strip().partition("\n")[0]
        if self._failed_in_a_row >= _ALL_FAIL:
            raise AtlasError(
                f"{_ALL_FAIL} units of {self.chunk.layer} in a row could not be rendered: {text}"
            ) from error
        self.emit([self._failed(left[0], member, text) for member in range(self.recipe.members)])
        return True

    def _picture(self, rendering: Rendering, unit: int, member: int) -> Picture:
        status = rendering.status[0]
        shown = None
        if status.state != "nonfinite":
            shown = encoded(picture(rendering.pictures[0], alpha=rendering.alpha))
        height, width = rendering.images.shape[-2:]
        score = float(rendering.scores[0])
        return Picture(
            target=str(Target.unit(self.chunk.layer, unit)),
            layer=self.chunk.layer,
            unit=unit,
            view=self.chunk.view,
            member=member,
            image=shown,
            height=height,
            width=width,
            score=score if status.state != "nonfinite" else None,
            status=status.state,
            steps=status.step,
            rescue=status.rescue,
            seed=self.recipe.seed,
            resolved=_hash_of(rendering.resolved),
        )

    def _failed(self, unit: int, member: int, error: str) -> Picture:
        target = str(Target.unit(self.chunk.layer, unit))
        where = (target, self.chunk.layer, unit, self.chunk.view, member)
        return Picture(*where, None, 0, 0, None, "failed", 0, None, self.recipe.seed, error)


def _hash_of(resolved: Resolved) -> str:
    """Of all that decides a picture's bits: one lane's share, whichever of several equal devices it was on."""
    return replace(resolved.of_lane(), device=torch.device(resolved.device).type).hash
