"""Which network a viewer may load: one that is data alone by the atlas's word, any by the user's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pellucid.atlas.card import Card

__all__ = ["Source", "source_for"]

_EMBEDDED = ("default", "plain")
_ZOO = re.compile(r"(torchvision|timm):[A-Za-z0-9_.-]{1,120}")


@dataclass(frozen=True)
class Source:
    """How the worker loads the network: arguments of `pl.load`, the hash that its weights must have, and whether
    weights that are not on this machine may be downloaded."""

    arguments: Mapping[str, Any]
    weights_hash: str
    may_download: bool


def source_for(card: Card, model: str | None, weights: str | None) -> tuple[Source | None, str]:
    """The network of an atlas, or None and why not.

    By the atlas's word alone: an embedded network, or one of torchvision's or timm's with their own weights where these
    are on this machine. `model` and `weights` are the user's own words on the command line, and may name anything.
    """
    named = dict(card.model.source or {})
    own = {name: named[name] for name in ("mean", "std", "size") if _are_numbers(named.get(name))}
    if model is not None or weights is not None:
        chosen = model or str(named.get("spec") or "")
        if model is None and not _is_data(chosen):
            return None, _closed(chosen)
        return Source({"spec": chosen, "weights": weights, **own}, card.model.hash, may_download=True), ""
    spec = named.get("spec")
    if not isinstance(spec, str):
        return None, "This atlas was made in Python. Start the viewer with --model MODEL to render from its pages."
    if not _is_data(spec):
        return None, _closed(spec)
    if named.get("weights") is not None:
        return None, (
            f"This atlas's network has weights of its own ({str(named['weights'])[:200]}). "
            "Start the viewer with --weights FILE to render from its pages."
        )
    return Source({"spec": spec, **own}, card.model.hash, may_download=False), ""


def _closed(spec: str) -> str:
    return (
        f"This atlas names the network {spec[:200]!r}, which is code or comes from elsewhere; it was not touched. "
        "If you trust it, start the viewer with --model and the network's name, to render from its pages."
    )


def _is_data(spec: str) -> bool:
    return spec in _EMBEDDED or _ZOO.fullmatch(spec) is not None


def _are_numbers(value: Any) -> bool:
    values = value if isinstance(value, (list, tuple)) else [value]
    return 0 < len(values) <= 64 and all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in values)
