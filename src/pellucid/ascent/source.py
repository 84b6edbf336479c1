"""Where pictures of targets come from, for those who only need to look: an atlas, a cache, or the ascent itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from pellucid.ascent.progress import Progress
from pellucid.ascent.recipe import Recipe
from pellucid.ascent.render import stream
from pellucid.ascent.rendering import Status
from pellucid.models.model import Model

__all__ = ["FirstOf", "Portrait", "RenderNow", "RenderingSource", "portraits_of"]


@dataclass(frozen=True)
class Portrait:
    """The picture of one target: `image` [c, h, w] in the network's value range, its clean score, how it ended."""

    target: str
    image: Float[Tensor, "c h w"]
    score: float
    status: Status


@runtime_checkable
class RenderingSource(Protocol):
    """Gives pictures of a network's targets, by their text; leaves out those that it does not have."""

    def portraits(self, targets: Sequence[str]) -> Mapping[str, Portrait]:
        """The pictures of these targets, as far as there are any."""
        ...


@dataclass(frozen=True)
class RenderNow:
    """Renders what is asked for, all in one batch of slots."""

    model: Model
    recipe: Recipe | Mapping[str, Any] | None = None
    callback: Callable[[Progress], bool | None] | None = None

    def portraits(self, targets: Sequence[str]) -> dict[str, Portrait]:
        """The pictures of all these targets.

        Raises:
            TargetError, RecipeError: as `render`.
        """
        made = (
            stream(self.model, list(dict.fromkeys(targets)), recipe=self.recipe, callback=self.callback)
            if targets
            else ()
        )
        return {
            one.targets[0]: Portrait(one.targets[0], one.images[0], float(one.scores[0]), one.status[0]) for one in made
        }


@dataclass(frozen=True)
class FirstOf:
    """Several sources as one: the first that has a picture gives it."""

    sources: tuple[RenderingSource, ...]

    def portraits(self, targets: Sequence[str]) -> dict[str, Portrait]:
        """The pictures of these targets, as far as any source has them."""
        return portraits_of(targets, self.sources)


def portraits_of(targets: Sequence[str], sources: Iterable[RenderingSource]) -> dict[str, Portrait]:
    """Pictures from the first source that has each: an atlas before the ascent, say."""
    found: dict[str, Portrait] = {}
    for source in sources:
        missing = [target for target in targets if target not in found]
        if missing:
            found.update(source.portraits(missing))
    return found
