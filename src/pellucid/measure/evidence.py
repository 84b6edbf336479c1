"""The pictures that units are measured by: their own, their opposites', other seeds', an untrained network's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pellucid.ascent.rendering import Rendering
from pellucid.ascent.source import Portrait, RenderingSource
from pellucid.models.targets import Target

__all__ = ["Evidence", "portraits_in"]


@dataclass(frozen=True)
class Evidence:
    """Pictures by the text of their target, as far as there are any; what has none is not measured by them.

    `own` of what is measured; `opposites`, under the target's own text, of its negation; `reseeded`, one mapping for
    each further seed; `untrained` of the same targets in the re-initialised network.
    """

    own: Mapping[str, Portrait]
    opposites: Mapping[str, Portrait] = field(default_factory=dict)
    reseeded: tuple[Mapping[str, Portrait], ...] = ()
    untrained: Mapping[str, Portrait] = field(default_factory=dict)

    @classmethod
    def gathered(
        cls,
        targets: Sequence[str],
        source: RenderingSource,
        *,
        opposites: RenderingSource | None = None,
        reseeded: Sequence[RenderingSource] = (),
        untrained: RenderingSource | None = None,
    ) -> Evidence:
        """Ask each source for its pictures: the targets', their opposites', and those of other seeds and networks."""
        negative = {str(-Target.parse(target)): target for target in targets}
        against = opposites.portraits(list(negative)) if opposites is not None else {}
        return cls(
            own=source.portraits(targets),
            opposites={negative[text]: one for text, one in against.items()},
            reseeded=tuple(found for other in reseeded if (found := other.portraits(targets))),
            untrained=untrained.portraits(targets) if untrained is not None else {},
        )


def portraits_in(rendering: Rendering | Sequence[Rendering]) -> dict[str, Portrait]:
    """The pictures of one rendering or of several, by target; of a target rendered twice, the first."""
    several = [rendering] if isinstance(rendering, Rendering) else list(rendering)
    found: dict[str, Portrait] = {}
    for one in several:
        for row, target in enumerate(one.targets):
            found.setdefault(target, Portrait(target, one.images[row], float(one.scores[row]), one.status[row]))
    return found
