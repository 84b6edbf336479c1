"""A recipe: everything but the network and the target that decides a picture. A value, and plain data.

This module imports no torch, so that the command line can show every setting without loading it.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from pellucid.errors import RecipeError, did_you_mean

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["CHOICES", "Recipe"]

CHOICES: dict[str, tuple[str, ...]] = {
    "image": ("fourier", "pixels"),
    "squash": ("sigmoid", "clip", "unbounded"),
    "color": ("tiny-imagenet", "lucid", "none"),
    "optimizer": ("adam", "sgd"),
    "schedule": ("constant", "linear", "cosine"),
    "precision": ("auto", "float32", "bfloat16", "float16", "float64"),
    "layout": ("auto", "channels_last", "contiguous"),
}


def _setting(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class Recipe:
    """How a picture is made. Immutable; `replace` and `with_` give new ones; `load` reads TOML or JSON.

    Raises:
        RecipeError: a value is unknown or out of range; the message names the field.
    """

    steps: int = _setting(256, "steps of ascent per image")
    learning_rate: float = _setting(0.1, "step size of the optimiser (Lucid: 0.05)")
    schedule: str = _setting("constant", "learning rate over the steps: constant, linear or cosine (both fall to 0)")
    optimizer: str = _setting("adam", "adam, or sgd with momentum 0.9; state is kept per image")
    image: str = _setting("fourier", "what is optimised: fourier coefficients or pixels")
    size: tuple[int, int] | None = _setting(None, "height and width in px; the network's own when not given")
    squash: str = _setting("sigmoid", "how values stay in range: sigmoid, clip, or unbounded")
    color: str = _setting("tiny-imagenet", "decorrelated colour: tiny-imagenet (computed here), lucid, or none")
    decay: float = _setting(1.0, "how fast high frequencies lose weight in the fourier image (0: not)")
    sd: float = _setting(0.01, "standard deviation of the start, before squashing")
    start: str | None = _setting(None, "a picture to start from, instead of noise")
    transforms: str = _setting("lucid", "robustness: lucid, slides, none, or steps such as 'jitter:8 rotate:-10..10'")
    seed: int = _setting(0, "another number gives another picture of the same thing")
    snapshots: tuple[int, ...] = _setting((), "steps after which to keep a copy (0 is the start)")
    plateau: int = _setting(0, "stop an image when this many steps bring less than --plateau-gain (0: never)")
    plateau_gain: float = _setting(0.01, "relative gain in score that still counts as progress")
    rescue: bool = _setting(True, "wake images that get no gradient (redirected ReLU, pre-activation, other starts)")
    precision: str = _setting("auto", "auto, float32, bfloat16, float16 or float64")
    layout: str = _setting("auto", "order of maps in memory: auto, channels_last or contiguous")
    fold: bool = _setting(True, "fold batch norms into the convolutions before them, where that is exact")
    trial: bool = _setting(True, "before a long run, measure which precision, layout and batch are fastest here")
    batch: int = _setting(0, "images optimised at once (0: chosen)")
    lanes: int = _setting(0, "on a CPU, batches side by side, each with its share of the cores (0: chosen)")
    device: str = _setting("auto", "auto, cpu, cuda, cuda:1, mps")

    def __post_init__(self) -> None:
        object.__setattr__(self, "snapshots", tuple(sorted(set(self.snapshots))))
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                hint = did_you_mean(str(value), choices) or f" There are: {', '.join(choices)}."
                raise RecipeError(f"no {name} {value!r}.{hint}")
        bounds = {"steps": 1, "batch": 0, "lanes": 0, "plateau": 0, "decay": 0, "plateau_gain": 0, "sd": 0}
        for name, low in bounds.items():
            if not getattr(self, name) >= low:
                raise RecipeError(f"{name} must be at least {low}, not {getattr(self, name)!r}")
        if not 0 < self.learning_rate < float("inf"):
            raise RecipeError(f"learning_rate must be a positive number, not {self.learning_rate!r}")
        if self.size is not None and min(self.size) < 1:
            raise RecipeError(f"size is a height and a width in px, not {self.size!r}")
        if self.snapshots and not 0 <= self.snapshots[0] <= self.snapshots[-1] <= self.steps:
            raise RecipeError(f"snapshots lie between 0 and steps ({self.steps}), not {self.snapshots}")

    @classmethod
    def of(cls, recipe: Recipe | Mapping[str, Any] | None = None, **settings: Any) -> Recipe:
        """A recipe from another one, a mapping or nothing, with some settings changed.

        Raises:
            RecipeError: an unknown setting (with the nearest names), or a bad value.
        """
        base = recipe if isinstance(recipe, Recipe) else cls()
        changes = {**(recipe if isinstance(recipe, Mapping) else {}), **settings}
        known = {setting.name: str(setting.type) for setting in fields(cls)}
        for name in changes:
            if name not in known:
                hint = did_you_mean(name, known) or f" There are: {', '.join(known)}."
                raise RecipeError(f"no setting {name!r} in a recipe.{hint}")
        return replace(base, **{name: _typed(name, value, known[name]) for name, value in changes.items()})

    @classmethod
    def load(cls, path: str | Path) -> Recipe:
        """A recipe from a TOML or JSON file.

        Raises:
            RecipeError: the file cannot be read, or holds an unknown or bad setting.
        """
        path = Path(path)
        try:
            text = path.read_text()
            settings = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        except OSError as error:
            raise RecipeError(f"cannot read the recipe {path}: {error.strerror or error}") from None
        except ValueError as error:
            raise RecipeError(f"{path} is not a recipe: {error}") from None
        if not isinstance(settings, dict):
            raise RecipeError(f"{path} is not a recipe: it holds a {type(settings).__name__}, not settings by name")
        return cls.of(settings)

    def as_dict(self) -> dict[str, Any]:
        """Plain data that `of` turns back into an equal recipe."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @property
    def hash(self) -> str:
        """Sixteen hex digits over all settings."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()[:16]


def _typed(name: str, value: Any, kind: str) -> Any:
    """A value as its field wants it: whole numbers as floats, lists as tuples, one number for a square size."""
    if value is None and kind.endswith("None"):
        return None
    if kind.startswith("tuple"):
        numbers = (value, value) if name == "size" and isinstance(value, int) else value
        right_length = isinstance(numbers, (list, tuple)) and (name != "size" or len(numbers) == 2)
        if right_length and all(type(number) is int for number in numbers):
            return tuple(numbers)
        wanted = "a height and a width in px" if name == "size" else "a list of whole numbers"
        raise RecipeError(f"{name} is {wanted}, not {value!r}")
    wanted_type = {"int": int, "float": float, "bool": bool}.get(kind, str)
    if wanted_type is float and type(value) is int:
        return float(value)
    if type(value) is not wanted_type:
        article = {"int": "a whole number", "float": "a number", "bool": "true or false"}.get(kind, "a text")
        raise RecipeError(f"{name} is {article}, not {value!r}")
    return value
