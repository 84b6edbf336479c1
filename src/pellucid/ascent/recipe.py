"""A recipe: everything but the network and the target that decides a picture. A value, and plain data.

This module imports no torch, so that the command line can show every setting without loading it.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from pellucid.ascent.octaves import parse_octaves
from pellucid.errors import RecipeError, did_you_mean

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["CHOICES", "Recipe", "kind_of"]

CHOICES: dict[str, tuple[str, ...]] = {
    "image": ("fourier", "pixels", "pyramid", "maco", "cppn", "geometry", "generator"),
    "squash": ("sigmoid", "clip", "unbounded"),
    "color": ("tiny-imagenet", "lucid", "none"),
    "optimizer": ("adam", "nadam", "adamw", "sgd", "plain"),
    "schedule": ("constant", "linear", "cosine"),
    "relu_gradient": ("usual", "redirected", "identity"),
    "max_pool_gradient": ("usual", "l2", "average"),
    "precision": ("auto", "float32", "bfloat16", "float16", "float64"),
    "layout": ("auto", "channels_last", "contiguous"),
}

_LEAST = dict.fromkeys(("steps", "members", "best_of"), 1) | dict.fromkeys(
    (
        "batch",
        "lanes",
        "plateau",
        "plateau_gain",
        "refine",
        "decay",
        "sd",
        "final_rate",
        "diversity",
        "alignment",
        "prior",
        "parameter_noise",
    ),
    0,
)

# The step size of Adam that suits what is optimised: `docs/design/default-recipe.md` and `docs/design/images`.
_RATES = {
    "fourier": 0.1,
    "pixels": 0.1,
    "pyramid": 0.05,
    "maco": 0.3,
    "cppn": 0.005,
    "geometry": 0.1,
    "generator": 0.05,
}
_OTHER_RATE = 0.1
# A constant rate suits all images but MACO's: its phases would shake to the end (`docs/design/image-kinds.md`).
_SCHEDULES = {"maco": "cosine"}


def _setting(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class Recipe:
    """How a picture is made. Immutable; `replace` and `with_` give new ones; `load` reads TOML or JSON.

    Raises:
        RecipeError: a value is unknown or out of range; the message names the field.
    """

    steps: int = _setting(256, "steps of ascent per image")
    learning_rate: float | None = _setting(None, "step size of the optimiser (fourier: 0.1; Lucid's is 0.05)")
    schedule: str | None = _setting(
        None, "learning rate over the steps: constant, linear or cosine (maco: cosine, others: constant)"
    )
    final_rate: float = _setting(0.0, "the learning rate that linear and cosine fall to")
    optimizer: str = _setting("adam", "adam, nadam, adamw, sgd (momentum 0.9) or plain; state is kept per image")
    image: str = _setting("fourier", "what is optimised: fourier, pixels, pyramid, maco, cppn, geometry or generator")
    size: tuple[int, int] | None = _setting(None, "height and width in px; the network's own when not given")
    squash: str = _setting("sigmoid", "how values stay in range: sigmoid, clip, or unbounded")
    color: str = _setting("tiny-imagenet", "decorrelated colour: tiny-imagenet (computed here), lucid, or none")
    alpha: bool = _setting(False, "optimise opacity too; the picture is seen over random backgrounds")
    decay: float = _setting(1.0, "how fast high frequencies lose weight in the fourier image (0: not)")
    sd: float = _setting(0.01, "standard deviation of the start, before squashing")
    start: str | None = _setting(
        None,
        "a picture to start from, or a folder for members"
        " that differ: each target's start from those of its pictures that excite it and are least alike",
    )
    transforms: str = _setting("lucid", "robustness: lucid, slides, maco, none, or steps such as 'jitter:8 rotate:5'")
    seed: int = _setting(0, "another number gives another picture of the same thing")
    penalties: str = _setting(
        "", "sums over the picture, by weight: 'l1:0.001 tv:0.001'; alpha:1 is a price for opacity"
    )
    prior: float = _setting(0.0, "weight of a generator's normal prior on its latents")
    blur: tuple[float, float] | None = _setting(None, "sigmas in px, from and to: blur the picture after each step")
    relu_gradient: str = _setting("usual", "how ReLUs pass gradients: usual, redirected (first 16 steps) or identity")
    max_pool_gradient: str = _setting("usual", "how max-pooling passes gradients: usual, l2 or average")
    members: int = _setting(1, "pictures of each target; with diversity or alignment they are one group")
    diversity: float = _setting(0.0, "weight against the similarity of a group's pictures (Gram matrices)")
    alignment: float = _setting(0.0, "weight for the similarity of neighbours in a group")
    group_layer: str | None = _setting(None, "where diversity and alignment look; the target's own layer by default")
    shared_low_res: bool = _setting(False, "a group's pictures share their coarse shapes")
    shared_start: bool = _setting(False, "all pictures start from the same noise")
    octaves: str = _setting("", "sizes one after another, SIZE:STEPS[:RATE..RATE[:SIGMA..SIGMA]], or feature-maps")
    refine: int = _setting(0, "iterations of L-BFGS at the end, without transforms")
    parameter_noise: float = _setting(
        0.0, "climb the mean score over normal noise of this spread on what is optimised (for inversion)"
    )
    noise_draws: int = _setting(2, "evaluations of the noise at each step, in antithetic pairs")
    refine_draws: int = _setting(16, "evaluations of the noise in refine, the same at every iteration")
    best_of: int = _setting(1, "starts of each picture, the best of which is kept")
    snapshots: tuple[int, ...] = _setting((), "steps after which to keep a copy (0 is the start)")
    plateau: int = _setting(0, "stop an image when this many steps bring less than --plateau-gain (0: never)")
    plateau_gain: float = _setting(0.01, "relative gain in score that still counts as progress")
    level: float | None = _setting(None, "stop an image when its score reaches this")
    rescue: bool = _setting(True, "wake images that get no gradient (redirected ReLU, pre-activation, other starts)")
    precision: str = _setting("auto", "auto, float32, bfloat16, float16 or float64")
    layout: str = _setting("auto", "order of maps in memory: auto, channels_last or contiguous")
    fold: bool = _setting(True, "where exact, fold batch norms into convolutions and take ReLUs behind max-pooling")
    trial: bool = _setting(True, "before a long run, measure which precision, layout and batch are fastest here")
    batch: int = _setting(0, "images optimised at once (0: chosen)")
    lanes: int = _setting(0, "on a CPU, batches side by side, each with its share of the cores (0: chosen)")
    device: str = _setting("auto", "auto, cpu, cuda, cuda:1, mps")

    def __post_init__(self) -> None:
        object.__setattr__(self, "snapshots", tuple(sorted(set(self.snapshots))))
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices and value != getattr(Recipe, name):  # None, by default: what suits the image
                hint = did_you_mean(str(value), choices) or f" There are: {', '.join(choices)}."
                raise RecipeError(f"no {name} {value!r}.{hint}")
        for name, low in _LEAST.items():
            if not getattr(self, name) >= low:
                raise RecipeError(f"{name} must be at least {low}, not {getattr(self, name)!r}")
        if self.learning_rate is not None and not 0 < self.learning_rate < float("inf"):
            raise RecipeError(f"learning_rate must be a positive number, not {self.learning_rate!r}")
        if self.size is not None and min(self.size) < 1:
            raise RecipeError(f"size is a height and a width in px, not {self.size!r}")
        if self.blur is not None and not min(self.blur) >= 0:
            raise RecipeError(f"blur is two sigmas of 0 px or more, not {self.blur!r}")
        if self.octaves:
            parse_octaves(self.octaves)
        if self.snapshots and not 0 <= self.snapshots[0] <= self.snapshots[-1] <= self.total_steps:
            raise RecipeError(f"snapshots lie between 0 and steps ({self.total_steps}), not {self.snapshots}")
        self._refuse_contradictions()

    def _refuse_contradictions(self) -> None:
        """Settings that cannot hold together."""
        coupled = [name for name in ("diversity", "alignment", "shared_low_res") if getattr(self, name)]
        together = {
            "refine": (self.refine, "is done picture by picture"),
            "best_of": (self.best_of > 1, "chooses picture by picture"),
        }
        for name, (is_on, why) in together.items():
            if is_on and coupled:
                raise RecipeError(f"{name} {why}, and {coupled[0]} couples the pictures of a group: use one of them")
        for name in ("noise_draws", "refine_draws"):
            if getattr(self, name) < 2 or getattr(self, name) % 2:
                raise RecipeError(f"{name} come in pairs: an even number from 2, not {getattr(self, name)}")
        if self.parameter_noise and self.squash == "clip":
            raise RecipeError("parameter_noise has no bounds that it could keep to: squash by sigmoid instead of clip")
        if self.refine and self.squash == "clip":
            raise RecipeError("refine has no bounds that it could keep to: squash by sigmoid instead of clip")
        if self.group_layer is not None and not (self.diversity or self.alignment):
            raise RecipeError("group_layer is where diversity or alignment look; give one of them a weight")
        if self.octaves and (self.size is not None or self.schedule not in (None, "constant") or self.blur is not None):
            raise RecipeError("octaves have sizes, rates and blurs of their own: leave size, schedule and blur out")
        if self.octaves and coupled:
            raise RecipeError(f"octaves go picture by picture, and {coupled[0]} couples the pictures of a group")

    @property
    def total_steps(self) -> int:
        """Of all octaves."""
        return sum(octave.steps for octave in parse_octaves(self.octaves)) if self.octaves else self.steps

    @property
    def rate(self) -> float:
        """The learning rate at the first step: the one given, or what suits the image."""
        return self.learning_rate or _RATES.get(self.image, _OTHER_RATE)

    @property
    def curve(self) -> str:
        """What becomes of the learning rate: the schedule given, or what suits the image."""
        return self.schedule or _SCHEDULES.get(self.image, "constant")

    @property
    def couples(self) -> bool:
        """Whether the pictures of a group depend on each other."""
        return bool(self.diversity or self.alignment or self.shared_low_res)

    @classmethod
    def of(cls, recipe: Recipe | Mapping[str, Any] | None = None, **settings: Any) -> Recipe:
        """A recipe from another one, a mapping or nothing, with some settings changed.

        Raises:
            RecipeError: an unknown setting (with the nearest names), or a bad value.
        """
        base = recipe if isinstance(recipe, Recipe) else cls()
        changes = {**(recipe if isinstance(recipe, Mapping) else {}), **settings}
        known = {setting.name: setting for setting in fields(cls)}
        for name in changes:
            if name not in known:
                hint = did_you_mean(name, known) or f" There are: {', '.join(known)}."
                raise RecipeError(f"no setting {name!r} in a recipe.{hint}")
        return replace(base, **{name: _typed(known[name], value) for name, value in changes.items()})

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


def kind_of(setting: Field[Any]) -> type:
    """What a setting's value is, when it is given: int, float, bool, str or tuple."""
    name = str(setting.type).partition("[")[0].partition(" ")[0]
    return {"int": int, "float": float, "bool": bool, "tuple": tuple}.get(name, str)


def _typed(setting: Field[Any], value: Any) -> Any:
    """A value as its field wants it: whole numbers as floats, lists as tuples, one number for both of two."""
    name, kind = setting.name, kind_of(setting)
    if value is None and setting.default is None:
        return None
    if kind is tuple:
        return _numbers(setting, value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        article = {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, "a text")
        raise RecipeError(f"{name} is {article}, not {value!r}")
    return value


def _numbers(setting: Field[Any], value: Any) -> tuple[Any, ...]:
    name = setting.name
    number = float if "float" in str(setting.type) else int
    allowed = (int, float) if number is float else (int,)
    is_pair = "..." not in str(setting.type)
    numbers = (value, value) if is_pair and type(value) in allowed else value
    is_list = isinstance(numbers, (list, tuple)) and (not is_pair or len(numbers) == 2)
    if is_list and all(type(one) in allowed for one in numbers):
        return tuple(number(one) for one in numbers)
    wanted = {"size": "a height and a width in px", "blur": "two sigmas in px"}.get(name, "a list of whole numbers")
    raise RecipeError(f"{name} is {wanted}, not {value!r}")
