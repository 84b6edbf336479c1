"""Targets: what to look at, as a value. Strings stop here.

`Target.parse("0.7*mixed4a:12 + logit:tabby")` reads the grammar, `str()` writes it back, `.slug` names files and URLs.
This module imports no torch, so that the command line can read targets before a network is there.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from pellucid.errors import TargetError
from pellucid.models.positions import Position

__all__ = ["FILE_KINDS", "SCORES", "Channels", "Kind", "Position", "Target", "Term"]

Kind = Literal["unit", "layer", "logit", "prob", "logprob", "dir", "caricature", "inversion", "match", "probe"]
CLASS_KINDS = ("logit", "prob", "logprob")
FILE_KINDS = ("dir", "caricature", "inversion", "match")  # of a layer and a file: a direction, a photo or photos
SCORES = ("sum", "norm", "max", "pooled", "cosine", "l1", "l2", "linf", "largest")
"""How a unit is scored over its positions, other than by their mean: `layer:12~max`; also to a level, `~level=3.5`."""
LEVEL = "level="
Channels = int | tuple[int, int] | Literal["*"] | None

# Words that open another form when a colon follows; a layer of that name is written in quotes: "prob":3.
_RESERVED = ("neg", *CLASS_KINDS, *FILE_KINDS, "probe")
_PLAIN_LAYER = re.compile(r"[\w./#][\w./#-]*")
_AMBIGUOUS_NAME = re.compile(r'^"|^\s|\s$|[^\S ]|(^|\s)[+-](\s|$)')


@dataclass(frozen=True)
class Term:
    """One thing to look at: a unit, a whole layer, a class, a direction, a photo's activations or a registered probe.

    `channels` is a channel number, an inclusive range `(3, 17)` or `"*"` for a unit, None for every other kind.
    `name` is the class of a logit or (log-)probability (digits mean the class index), the file of a direction or photo,
    or the probe. `score` is one of `SCORES` for a unit, `level=3.5` for a level that it is driven to, or "" for the
    mean over positions. `negative` minimises, before the nonlinearity where there is one; a negative `weight` means the
    same and is stored so.

    Raises:
        TargetError: the parts do not make a target, e.g. a unit without a channel.
    """

    kind: Kind
    layer: str = ""
    channels: Channels = None
    position: Position | None = None
    negative: bool = False
    weight: float = 1.0
    name: str = ""
    score: str = ""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise TargetError(f"no kind of target {self.kind!r}. There are: {', '.join(get_args(Kind))}.")
        if not math.isfinite(self.weight):
            raise TargetError(f"the weight of a target is a finite number, not {self.weight}.")
        if self.weight < 0:
            object.__setattr__(self, "negative", not self.negative)
        object.__setattr__(self, "weight", abs(self.weight))
        named = (*CLASS_KINDS, *FILE_KINDS, "probe")
        for part, kinds in (("layer", ("unit", "layer", *FILE_KINDS)), ("name", named)):
            if bool(getattr(self, part)) != (self.kind in kinds):
                need = "needs a" if self.kind in kinds else "has no"
                raise TargetError(f"a target of kind {self.kind!r} {need} {part}, and {part}={getattr(self, part)!r}.")
        if (self.channels is not None) != (self.kind == "unit") or not _is_channels(self.channels):
            raise TargetError(
                f"channels={self.channels!r} does not fit a target of kind {self.kind!r}: a unit has a number from 0, "
                "a range (3, 17) or '*'; the other kinds have None."
            )
        if self.position is not None and self.kind not in ("unit", "layer", "dir"):
            raise TargetError(f"a target of kind {self.kind!r} has no position, and {self.position} was given.")
        if self.level is not None:
            object.__setattr__(self, "score", f"{LEVEL}{format_number(self.level)}")
        if self.score and (self.kind != "unit" or (self.score not in SCORES and self.level is None)):
            raise TargetError(
                f"a unit's score is one of {', '.join(SCORES)}, {LEVEL}3.5, not {self.score!r} of a {self.kind}."
            )
        if self.class_index is not None:
            object.__setattr__(self, "name", str(self.class_index))

    @property
    def class_index(self) -> int | None:
        """The number of the class when a logit or probability is named by digits, else None."""
        is_number = self.kind in CLASS_KINDS and re.fullmatch("[0-9]{1,9}", self.name)
        return int(self.name) if is_number else None

    @property
    def level(self) -> float | None:
        """The level that a unit is to be driven to, if it is."""
        try:
            level = float(self.score[len(LEVEL) :]) if self.score.startswith(LEVEL) else math.nan
        except ValueError:
            return None
        return level if math.isfinite(level) else None

    @property
    def is_several(self) -> bool:
        """Whether this stands for several units (`layer:3-17`, `layer:*`)."""
        return self.channels == "*" or isinstance(self.channels, tuple)

    def __str__(self) -> str:
        sign = "-" if self.negative else ""
        weight = "" if self.weight == 1 else f"{format_number(self.weight)}*"
        return f"{sign}{weight}{self.what}"

    @property
    def what(self) -> str:
        """The text of this term without its sign and weight."""
        at = f"@{self.position}" if self.position is not None else ""
        if self.kind in ("unit", "layer"):
            channel = "-".join(map(str, self.channels)) if isinstance(self.channels, tuple) else self.channels
            score = f"~{self.score}" if self.score else ""
            return f"{_layer_text(self.layer)}{'' if channel is None else f':{channel}'}{score}{at}"
        name = json.dumps(self.name, ensure_ascii=False) if self._name_needs_quotes() else self.name
        layer = f"{_layer_text(self.layer)}@" if self.kind in FILE_KINDS else ""
        return f"{self.kind}:{layer}{name}{at}"

    def _name_needs_quotes(self) -> bool:
        reads_as_position = self.kind == "dir" and Position.split_suffix(self.name)[1] is not None
        masked = self.position is not None and self.position.kind == "mask"  # whose file might hold an @
        return reads_as_position or (self.kind == "dir" and masked) or bool(_AMBIGUOUS_NAME.search(self.name))


@dataclass(frozen=True)
class Target:
    """What to look at: one term, or a weighted sum of several.

    `Target.parse(text)` and `str(target)` round-trip, and equal targets are equal values (usable as keys).

    Raises:
        TargetError: no terms, or more than one range or `*` in a sum.
    """

    terms: tuple[Term, ...]
    _text: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "terms", tuple(self.terms))
        if not self.terms:
            raise TargetError("a target needs at least one term, e.g. Target.parse('layer:12').")
        text = str(self.terms[0])
        for term in self.terms[1:]:
            text += f" - {replace(term, negative=False)}" if term.negative else f" + {term}"
        object.__setattr__(self, "_text", text)
        if sum(term.is_several for term in self.terms) > 1:
            raise TargetError(
                f"{text!r} has more than one range of channels, and which belong together is not said. "
                "Write one range in a sum, or several targets."
            )

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read a target from the text that people type, e.g. `mixed4a:12@c`.

        Raises:
            TargetError: the text is no target; the message says where and what was expected.
        """
        from pellucid.models.target_grammar import read_terms

        return cls(read_terms(text))

    @classmethod
    def unit(cls, layer: str, channel: int, position: Position | None = None) -> Target:
        """The target of one channel of one layer, without parsing text."""
        return cls((Term("unit", layer, channel, position),))

    def __str__(self) -> str:
        return self._text

    def __neg__(self) -> Target:
        return Target(tuple(replace(term, negative=not term.negative) for term in self.terms))

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that the terms name, each once, in order (classes and probes name none)."""
        return tuple(dict.fromkeys(term.layer for term in self.terms if term.layer))

    @property
    def slug(self) -> str:
        """A unique name for files and URLs, at most 120 characters, e.g. `mixed4a-12` or `neg-mixed4a-12-at-c`.

        Two different targets never share one, also where a file system ignores case: whenever the readable part says
        less than the target, 12 digits of its hash follow a `~`.
        """
        text = str(self)
        readable = "-and-".join(_readable(term) for term in self.terms)
        if len(self.terms) == 1 and _is_faithful(self.terms[0]) and len(readable) <= 100:
            return readable
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        return f"{readable[:100].rstrip('-.')}~{digest}"

    def expand(self, units_of: Callable[[str], int]) -> list[Target]:
        """One target per channel of `layer:3-17` or `layer:*`; any other target alone.

        `units_of(layer)` says how many units a layer has (and raises TargetError for an unknown one).

        Raises:
            TargetError: a channel is out of range.
        """
        terms = [_within(term, units_of(term.layer)) if term.kind == "unit" else term for term in self.terms]
        for at, term in enumerate(terms):
            if isinstance(term.channels, tuple):
                first, last = term.channels
                single = (replace(term, channels=channel) for channel in range(first, last + 1))
                return [Target((*self.terms[:at], one, *self.terms[at + 1 :])) for one in single]
        return [self]


def format_number(value: float) -> str:
    """The shortest text that reads back as the same number: `2`, `0.7`, `1e-05`."""
    return str(int(value)) if value == int(value) and value < 1e15 else repr(float(value))


def _is_channels(channels: object) -> bool:
    numbers = channels if isinstance(channels, tuple) and len(channels) == 2 else (channels,)
    if channels is None or channels == "*":
        return True
    if not all(isinstance(number, int) and not isinstance(number, bool) and number >= 0 for number in numbers):
        return False
    return len(numbers) == 1 or numbers[0] <= numbers[1]


def _layer_text(layer: str) -> str:
    plain = _PLAIN_LAYER.fullmatch(layer) and layer not in _RESERVED
    return layer if plain else json.dumps(layer, ensure_ascii=False)


def _within(term: Term, units: int) -> Term:
    channels = (0, units - 1) if term.channels == "*" else term.channels
    last = channels[1] if isinstance(channels, tuple) else channels
    if not isinstance(last, int) or not 0 <= last < units:
        has = f"{term.layer} has {units} units (0 to {units - 1})"
        raise TargetError(f"channel {last} is out of range in {str(term)!r}: {has}.")
    return replace(term, channels=channels)


# A slug's readable part is `[neg-]layer[-channel][-at-position]` or `[neg-]kind-name`. It is faithful, so that no hash
# is needed, exactly when those parts can be told apart again: lower case only (file systems that ignore case), no
# hyphen in a layer, no layer that reads as another form, no device name of Windows (`aux.png` cannot be written there).
_FAITHFUL_LAYER = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*", re.ASCII)
_FAITHFUL_NAME = re.compile(r"[a-z0-9_]+(-[a-z0-9_]+)*", re.ASCII)
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(?![a-z0-9_-])")


def _readable(term: Term) -> str:
    text = term.what.replace("*", "all").replace("@", "-at-")
    slug = re.sub(r"-?[^a-z0-9_.-]+-?", "-", ("neg-" if term.negative else "") + text.lower()).strip("-.")
    return f"_{slug}" if _DEVICE.match(slug) else slug or "_"


def _is_faithful(term: Term) -> bool:
    if term.weight != 1 or _DEVICE.match(term.layer):
        return False
    if term.kind in (*CLASS_KINDS, "probe"):
        return bool(_FAITHFUL_NAME.fullmatch(term.name))
    at_one_place = term.position is None or term.position.kind not in ("rectangle", "mask", "raster")
    plain = _FAITHFUL_LAYER.fullmatch(term.layer) and term.layer not in _RESERVED
    return bool(plain) and term.kind not in FILE_KINDS and at_one_place and not term.score
