"""Reading targets from text: `-0.7*mixed4a:12@c + logit:tabby` into terms."""

from __future__ import annotations

import json
import re
from typing import cast

from pellucid.errors import TargetError
from pellucid.models.targets import FILE_KINDS, Channels, Kind, Position, Term

__all__ = ["FORMS", "read_terms"]

FORMS = (
    "layer:12, layer:12@4,7 (@c @4,: @2:5,3:9 @cls @patch @mask:FILE.npy @raster:40), layer:3-17, layer:*, layer, "
    "layer:12~max (~sum ~norm ~pooled ~cosine ~l1 ~l2 ~linf ~largest ~level=3.5), -layer:12, "
    "neg:layer:12, "
    "logit:tabby, prob:281, logprob:281, "
    "dir:layer@FILE.npy, caricature:layer@PHOTO, inversion:layer@PHOTO, match:layer@FOLDER, probe:NAME, "
    "probe:FILE.safetensors#12, "
    "0.7*layer:3 + layer2:5"
)

_SIGN = re.compile(r"-\s*|neg:\s*")
_WEIGHT = re.compile(r"((?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*\*\s*")
_KIND = re.compile(r"(logit|prob|logprob|dir|caricature|inversion|match|probe):\s*")
_SCORE = re.compile(r"~(level=-?[0-9.]+(?:e[+-]?[0-9]+)?|[a-z0-9]+)")
_LAYER = re.compile(r"[\w./#][\w./#-]*")
_CHANNELS = re.compile(r"\*|([0-9]{1,9})(?:-([0-9]{1,9}))?(?![\w-])", re.ASCII)
_NAME = re.compile(r'[^\s"](?:.*?\S)??(?=\s+[+-]\s|\s*$)', re.DOTALL)
_JOIN = re.compile(r"\s+([+-])\s+")


class _Reader:
    """A text and the place reached in it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = len(text) - len(text.lstrip())
        self.end = len(text.rstrip())

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self.text, self.at, self.end)
        if match:
            self.at = match.end()
        return match

    def fail(self, expected: str) -> TargetError:
        rest = self.text[self.at : self.end]
        place = f"at {rest[:20]!r} (character {self.at + 1})" if rest else "at its end"
        return TargetError(f"cannot read the target {self.text!r} {place}: expected {expected}. Forms: {FORMS}.")


def read_terms(text: str) -> tuple[Term, ...]:
    """The terms of a target, in the order written.

    Raises:
        TargetError: the text is no target; names the text, the place of the trouble and the forms that exist.
    """
    reader = _Reader(text)
    terms = [_term(reader, negative=False)]
    while reader.at < reader.end:
        join = reader.take(_JOIN)
        if not join:
            raise reader.fail("the end, or ' + ' or ' - ' with spaces around it before a next term")
        terms.append(_term(reader, negative=join[1] == "-"))
    return tuple(terms)


def _term(reader: _Reader, *, negative: bool) -> Term:
    weight: float | None = None
    while True:
        if reader.take(_SIGN):
            negative = not negative
        elif weight is None and (match := reader.take(_WEIGHT)):
            weight = float(match[1])
        else:
            break
    weight = 1.0 if weight is None else weight
    start = reader.at
    try:
        kind_match = reader.take(_KIND)
        if not kind_match:
            return _unit_or_layer(reader, negative, weight)
        kind = cast(Kind, kind_match[1])
        if kind == "dir":
            return _direction(reader, negative, weight)
        if kind in FILE_KINDS:
            layer = _layer(reader)
            if not reader.take(re.compile("@")):
                raise reader.fail("@ and the file of the photo, or the folder of photos")
            return Term(kind, layer, negative=negative, weight=weight, name=_name(reader, "the file of the photo")[0])
        name, _ = _name(reader, "a class name or number" if kind != "probe" else "the name of a probe")
        return Term(kind, negative=negative, weight=weight, name=name)
    except TargetError as error:
        if str(error).startswith("cannot read"):
            raise
        reader.at = start
        raise reader.fail(f"a target that makes sense, and {error}".rstrip(".")) from None


def _unit_or_layer(reader: _Reader, negative: bool, weight: float) -> Term:
    layer = _layer(reader)
    channels: Channels = None
    if reader.take(re.compile(":")):
        match = reader.take(_CHANNELS)
        if not match:
            raise reader.fail("a channel: a number (12), a range (3-17) or *")
        channels = "*" if match[0] == "*" else int(match[1])
        if match[2] is not None:
            channels = (int(match[1]), int(match[2]))
    scored = reader.take(_SCORE) if channels is not None else None
    score = scored[1] if scored else ""
    position = _position(reader) if reader.take(re.compile("@")) else None
    return Term("layer" if channels is None else "unit", layer, channels, position, negative, weight, score=score)


def _direction(reader: _Reader, negative: bool, weight: float) -> Term:
    layer = _layer(reader)
    if not reader.take(re.compile("@")):
        raise reader.fail("@ and the file of the direction")
    name, in_quotes = _name(reader, "the file of the direction")
    position: Position | None = None
    if in_quotes and reader.take(re.compile("@")):
        position = _position(reader)
    elif not in_quotes:
        name, position = Position.split_suffix(name)
    return Term("dir", layer, None, position, negative, weight, name)


def _position(reader: _Reader) -> Position:
    position, end = Position.read(reader.text[: reader.end], reader.at)
    if position is None:
        raise reader.fail("a position: 4,7 (row,column), c, '4,:', 2:5,3:9, cls, patch, mask:FILE.npy or raster:40")
    reader.at = end
    return position


def _layer(reader: _Reader) -> str:
    layer = _quoted(reader)
    if layer is None:
        match = reader.take(_LAYER)
        if not match:
            raise reader.fail("the name of a layer")
        layer = match[0]
    return layer


def _name(reader: _Reader, what: str) -> tuple[str, bool]:
    """A name that may hold spaces, and whether it was written in quotes."""
    name = _quoted(reader)
    if name is not None:
        return name, True
    match = reader.take(_NAME)
    if not match:
        raise reader.fail(what)
    return match[0], False


def _quoted(reader: _Reader) -> str | None:
    if not reader.text.startswith('"', reader.at):
        return None
    try:
        value, end = json.JSONDecoder(strict=False).raw_decode(reader.text[: reader.end], reader.at)
    except json.JSONDecodeError:
        raise reader.fail("a closing quote") from None
    if not value:
        raise reader.fail("a name between the quotes")
    reader.at = end
    return str(value)
