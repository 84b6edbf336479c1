"""What an atlas is of: `atlas.json`, the one file that a sweep changes. Plain data, read without torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from pellucid.ascent.recipe import Recipe
from pellucid.atlas.place import Place
from pellucid.errors import AtlasError, RecipeError

__all__ = ["CARD", "FORMAT", "Card", "LayerCard", "ModelCard", "read_card", "spans", "unspan"]

CARD = "atlas.json"
FORMAT = 1
# Of a recipe, what decides where and in what batches a picture is made, and not what picture it is: an atlas may be
# gone on with on another machine.
_OF_MACHINE = ("device", "batch", "lanes", "trial")


@dataclass(frozen=True)
class ModelCard:
    """The network of an atlas, and how it was loaded.

    Attributes:
        name: as the network calls itself. hash: of its weights, `Model.weights_hash`.
        source: arguments of `pl.load`, by name (`spec`, `weights`, `mean`, `std`, `size`); None when it was made in
            Python. `spec` may name a Python file: it is a word to show, which only the user may have run.
        size: height and width of its pictures, px. channels: of its input. value_range: lowest and highest input.
        classes: names of its outputs, in order, if they have names.
    """

    name: str
    hash: str
    source: Mapping[str, Any] | None
    size: tuple[int, int]
    channels: int
    value_range: tuple[float, float]
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True)
class LayerCard:
    """One layer of the network, whether it is in the atlas or not; as `pellucid.models.layers.Layer`."""

    name: str
    kind: str
    axes: str
    shape: tuple[int, ...]
    units: int
    prefix_tokens: int = 0
    grid: tuple[int, int] | None = None
    has_weights: bool = True


@dataclass(frozen=True)
class Card:
    """What an atlas is of, and what is to be in it.

    Attributes:
        layers: of the network, by name, in forward order.
        units: layer -> the units that are to be in the atlas, ascending; whether they are there yet, the shards say.
        negative: whether each has a picture of what it is least like. diverse: pictures in its diverse set, or 0.
        recipe: as it was asked for. resolved: layer -> how it was resolved when it was begun.
        about: what else is known, e.g. the step of a training run.
        versions: of pellucid, torch and Python, when it was begun.
    """

    model: ModelCard
    layers: Mapping[str, LayerCard]
    units: Mapping[str, tuple[int, ...]]
    recipe: Recipe
    negative: bool = False
    diverse: int = 0
    resolved: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def num_units(self) -> int:
        """How many units are to be in the atlas."""
        return sum(map(len, self.units.values()))

    @property
    def num_pictures(self) -> int:
        """How many pictures are to be in the atlas, of all views."""
        return self.num_units * self.pictures_per_unit

    @property
    def pictures_per_unit(self) -> int:
        """Of all views."""
        return 1 + self.negative + self.diverse

    def refuse_to_mix(self, other: Card, where: str) -> None:
        """See that pictures of another card may lie beside those of this one, which is at `where`.

        Raises:
            AtlasError: another network, or another recipe; names the first setting that differs.
        """
        if self.model.hash != other.model.hash:
            raise AtlasError(
                f"{where!r} is an atlas of {self.model.name} with weights {self.model.hash}, and {other.model.name} "
                f"has weights {other.model.hash}: choose another folder"
            )
        own, new = comparable(self.recipe), comparable(other.recipe)
        if changed := next((name for name in own if own[name] != new[name]), None):
            raise AtlasError(
                f"{where!r} was made with {changed} {own[changed]!r}, and not {new[changed]!r}: an atlas has one "
                f"recipe; leave the setting as it was, or choose another folder"
            )
        if self.diverse and other.diverse and self.diverse != other.diverse:
            raise AtlasError(
                f"{where!r} has diverse sets of {self.diverse} pictures, and not {other.diverse}: choose another folder"
            )

    def joined(self, other: Card) -> Card:
        """The same with all that another card of the same network and recipe asks for, too."""
        units = {
            name: tuple(sorted({*self.units.get(name, ()), *other.units.get(name, ())}))
            for name in self.layers
            if name in self.units or name in other.units
        }
        return replace(
            self,
            units=units,
            negative=self.negative or other.negative,
            diverse=self.diverse or other.diverse,
            resolved={**other.resolved, **self.resolved},
            about={**self.about, **other.about},
        )

    def to_bytes(self) -> bytes:
        """The file `atlas.json`."""
        document = {
            "pellucid": "atlas",
            "format": FORMAT,
            "model": asdict(self.model),
            "layers": [asdict(layer) for layer in self.layers.values()],
            "units": {name: spans(units) for name, units in self.units.items()},
            "negative": self.negative,
            "diverse": self.diverse,
            "recipe": self.recipe.as_dict(),
            "resolved": dict(self.resolved),
            "about": dict(self.about),
            "versions": dict(self.versions),
        }
        return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Card:
        """What `to_bytes` wrote; `where` is what an error calls the atlas.

        Raises:
            AtlasError: it is damaged, no atlas, or made by a newer version.
        """
        try:
            document = json.loads(data)
            kind, version = document["pellucid"], document["format"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise AtlasError(f"{CARD} in {where!r} is damaged, or of another program ({error})") from None
        if kind != "atlas" or type(version) is not int:
            raise AtlasError(f"{CARD} in {where!r} is not of an atlas, but of {kind!r}")
        if version > FORMAT:
            raise AtlasError(
                f"{where!r} is an atlas of format {version}, made by a newer Pellucid than this one, which reads up to "
                f"{FORMAT}: pip install --upgrade pellucid"
            )
        try:
            model = {**document["model"], "classes": _tuple(document["model"]["classes"])}
            if model["source"] is not None:
                model["source"] = {k: tuple(v) if isinstance(v, list) else v for k, v in model["source"].items()}
            for name in ("size", "value_range"):
                model[name] = tuple(model[name])
            layers = [
                LayerCard(**{**layer, "shape": tuple(layer["shape"]), "grid": _tuple(layer["grid"])})
                for layer in document["layers"]
            ]
            return cls(
                model=ModelCard(**model),
                layers={layer.name: layer for layer in layers},
                units={str(name): unspan(text) for name, text in document["units"].items()},
                recipe=Recipe.of(document["recipe"]),
                **{
                    f.name: document[f.name]
                    for f in fields(cls)
                    if f.name not in ("model", "layers", "units", "recipe")
                },
            )
        except (KeyError, TypeError, ValueError, AttributeError, RecipeError) as error:
            raise AtlasError(f"{CARD} in {where!r} is damaged: {type(error).__name__} {error}") from None


def comparable(recipe: Recipe) -> dict[str, Any]:
    """Of a recipe, what decides the pictures."""
    settings = {name: value for name, value in recipe.as_dict().items() if name not in _OF_MACHINE}
    return settings | {"learning_rate": recipe.rate, "schedule": recipe.curve}


def read_card(place: Place) -> Card | None:
    """The card of the atlas at a place; None where there is none.

    Raises:
        AtlasError: it cannot be read, is damaged, or from a newer version.
    """
    try:
        return Card.from_bytes(place.read(CARD), place.url)
    except FileNotFoundError:
        return None


def spans(numbers: Iterable[int]) -> str:
    """Ascending numbers in short: `0-255,300`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def unspan(text: str) -> tuple[int, ...]:
    """The numbers that `spans` wrote.

    Raises:
        ValueError: it did not write this.
    """
    numbers: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        numbers.extend(range(int(first), int(last or first) + 1))
    return tuple(numbers)


def _tuple(values: Any) -> tuple[Any, ...] | None:
    return None if values is None else tuple(values)
