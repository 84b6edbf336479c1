"""Working copies: a network as a machine runs it fastest, made once and kept while the network lives."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch

from pellucid.models.model import Model, Precision
from pellucid.models.private_copy import Layout
from pellucid.models.taps import Tap

__all__ = ["Candidate", "prepared"]

# Of each network: what a run looks through, its exact twin for the scores, and one more while candidates are tried.
_MOST_KEPT = 3


@dataclass(frozen=True)
class Candidate:
    """One way to run a network."""

    precision: Precision
    layout: Layout
    folded: bool

    def __str__(self) -> str:
        return f"{self.precision}, {self.layout}{', batch norms folded' if self.folded else ''}"


_Key = tuple[Candidate, frozenset[str], torch.device]
_copies: WeakKeyDictionary[Model, OrderedDict[_Key, Model]] = WeakKeyDictionary()
_copying = threading.Lock()  # lanes ask at the same time, and wait for one copy instead of making two


def prepared(model: Model, candidate: Candidate, taps: Sequence[Tap], device: torch.device) -> Model:
    """A working copy of the network as the candidate wants it, with what is tapped left to be seen.

    Copying, folding and casting take as long as some steps of ascent (GoogLeNet: two steps of four images for each
    copy), so the latest few copies are kept for as long as their network. Who runs one beside another thread takes its
    `twin()`.
    """
    seen = frozenset(tap.layer for tap in taps) if candidate.folded else frozenset()
    key = candidate, seen, device
    with _copying:
        kept = _copies.setdefault(model, OrderedDict())
        if key not in kept:
            while len(kept) >= _MOST_KEPT:
                kept.popitem(last=False)
            plain = model.folded(seen) if candidate.folded else model
            kept[key] = plain.at(device=device, precision=candidate.precision, layout=candidate.layout)
        kept.move_to_end(key)
        return kept[key]
