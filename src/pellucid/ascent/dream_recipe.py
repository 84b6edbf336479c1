"""How a dream is made, as a value; without torch, so that the command line can check it before a network is there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from pellucid.errors import RecipeError, did_you_mean

__all__ = ["DreamRecipe"]


def _setting(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class DreamRecipe:
    """Everything but network, photo and target that decides a dream.

    Raises:
        RecipeError: a value is no number of its kind, or out of range; the message names the field.
    """

    octaves: int = _setting(4, "sizes to dream at, at most; a photo too small for all of them has fewer")
    octave_scale: float = _setting(1.4, "how much larger each octave is than the one before")
    steps: int = _setting(12, "steps of ascent in each octave")
    rate: float = _setting(0.004, "what a step changes a pixel by, on average; black to white is 1")
    tile: int | None = _setting(None, "side in px of the tiles that the network sees; chosen when not given")
    size: int | None = _setting(None, "longer side of the dream in px; the photo's own when not given")
    seed: int = _setting(0, "another number moves the photo behind the tiles in another way")
    device: str = _setting("auto", "auto, cpu, cuda, cuda:1, mps")

    def __post_init__(self) -> None:
        for name in ("octaves", "steps", "tile", "size", "seed"):
            value = getattr(self, name)
            if type(value) is not int and not (value is None and name in ("tile", "size")):
                raise RecipeError(f"{name} is a whole number, not {value!r}")
            if name != "seed" and value is not None and value < 1:
                raise RecipeError(f"{name} must be at least 1, not {value}")
        for name, above in (("octave_scale", 1), ("rate", 0)):
            value = getattr(self, name)
            if type(value) not in (int, float) or not above < value < math.inf:
                raise RecipeError(f"{name} is a number above {above}, not {value!r}")
            object.__setattr__(self, name, float(value))

    @classmethod
    def of(cls, recipe: DreamRecipe | Mapping[str, Any] | None = None, **settings: Any) -> DreamRecipe:
        """A recipe from another one, a mapping or nothing, with some settings changed.

        Raises:
            RecipeError: an unknown setting (with the nearest names), or a bad value.
        """
        base = recipe if isinstance(recipe, DreamRecipe) else cls()
        changes = {**(recipe if isinstance(recipe, Mapping) else {}), **settings}
        known = [setting.name for setting in fields(cls)]
        for name in changes:
            if name not in known:
                hint = did_you_mean(name, known) or f" There are: {', '.join(known)}."
                raise RecipeError(f"no setting {name!r} of a dream.{hint}")
        return replace(base, **changes)

    def as_dict(self) -> dict[str, Any]:
        """Plain data that `of` turns back into an equal recipe."""
        return asdict(self)

    def sizes(self, photo: tuple[int, int], least: int) -> list[tuple[int, int]]:
        """Height and width of each octave, the smallest first; the last is the dream's own.

        Octaves whose shorter side is below `least` are left out, but for the last.
        """
        height, width = photo
        enlarged = self.size / max(photo) if self.size else 1.0
        factors = [enlarged / self.octave_scale**octave for octave in range(self.octaves)]
        sizes = [(max(1, round(height * factor)), max(1, round(width * factor))) for factor in factors]
        return [*(size for size in reversed(sizes[1:]) if min(size) >= least), sizes[0]]
