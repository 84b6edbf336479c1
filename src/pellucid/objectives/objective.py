"""Objectives: what an image is scored by. Always maximised, immutable, and cheap to evaluate by the hundred.

An objective is a weighted sum of leaves. In a batch where every image has its own objective, leaves of one family
(the same mathematics on the same layer) are evaluated together, each for its own image only.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import SupportsFloat

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.errors import TargetError
from pellucid.models.taps import Activations, Tap
from pellucid.objectives.frozen import FrozenTensor

__all__ = ["Custom", "Leaf", "Objective", "PerImage", "per_image"]


class Leaf(ABC):
    """One piece of mathematics: the score of an image by some layer's activations. Frozen and hashable."""

    @property
    @abstractmethod
    def taps(self) -> tuple[Tap, ...]:
        """What this reads."""

    @property
    @abstractmethod
    def family(self) -> Hashable:
        """Leaves of one family are evaluated in one `score` call."""

    @classmethod
    @abstractmethod
    def score(cls, activations: Activations, rows: Tensor, leaves: Sequence[Leaf]) -> Float[Tensor, " m"]:
        """The score of image `rows[i]` by `leaves[i]`, all of one family."""

    def before_rectifier(self) -> Leaf:
        """The same score read before the nonlinearity that ends its layer; itself where that means nothing."""
        return self

    @property
    def photos(self) -> tuple[FrozenTensor, ...]:
        """Pictures [c, h, w], in the network's range, that this compares an image with.

        Where images are transformed, they are to be shown beside it through the same transforms.
        """
        return ()

    @property
    def can_rest(self) -> bool:
        """Whether the score rewards what a layer says already, so that a flat picture may be an optimum to get out of.

        A flat picture that is a channel's best is its answer, and stays.
        """
        return False


@dataclass(frozen=True)
class Objective:
    """A score for every image, `Activations -> [b]`, to be maximised: a weighted sum of leaves.

    `+`, `-`, `*`, `/` with numbers and objectives give new ones and change nothing. A term of negative weight is read
    before the rectifier that ends its layer, where there is one: behind it, a unit that is off has no gradient.
    """

    terms: tuple[tuple[float, Leaf], ...]
    constant: float = 0.0

    @property
    def taps(self) -> tuple[Tap, ...]:
        """What the objective reads."""
        return tuple(dict.fromkeys(tap for _, leaf in self.read_terms() for tap in leaf.taps))

    @property
    def can_rest(self) -> bool:
        """Whether every term rewards what its layer says already (see `Leaf.can_rest`)."""
        return bool(self.terms) and all(weight > 0 and leaf.can_rest for weight, leaf in self.terms)

    @property
    def hash(self) -> str:
        """Sixteen hex digits that depend on the mathematics alone: equal objectives, equal hashes, everywhere."""
        terms = [(float(weight), leaf) for weight, leaf in self.terms]
        constant = self.constant + 0.0  # -0.0 is 0.0
        return hashlib.sha256(f"{terms!r} {constant!r}".encode()).hexdigest()[:16]

    def read_terms(self, before_rectifier: bool = False) -> list[tuple[float, Leaf]]:
        """The terms as they are evaluated: negative ones, or all of them, before the rectifier."""
        return [(w, leaf.before_rectifier() if before_rectifier or w < 0 else leaf) for w, leaf in self.terms]

    def __call__(self, activations: Activations) -> Float[Tensor, " b"]:
        return per_image([self] * len(activations.image))(activations)

    def __add__(self, other: Objective | SupportsFloat) -> Objective:
        if isinstance(other, Objective):
            weights: dict[Leaf, float] = {}
            for weight, leaf in (*self.terms, *other.terms):
                weights[leaf] = weights.get(leaf, 0.0) + weight
            return Objective(tuple((w, leaf) for leaf, w in weights.items()), self.constant + other.constant)
        if isinstance(other, SupportsFloat):
            return Objective(self.terms, self.constant + float(other))
        return NotImplemented

    def __mul__(self, factor: Objective | SupportsFloat) -> Objective:
        if isinstance(factor, Objective):
            return Objective(((1.0, Product(self, factor)),))
        if isinstance(factor, SupportsFloat):
            return Objective(tuple((w * float(factor), leaf) for w, leaf in self.terms), self.constant * float(factor))
        return NotImplemented

    def __neg__(self) -> Objective:
        return self * -1.0

    def __sub__(self, other: Objective | SupportsFloat) -> Objective:
        return -(-self + other)

    def __rsub__(self, other: SupportsFloat) -> Objective:
        return -self + other

    def __truediv__(self, divisor: SupportsFloat) -> Objective:
        if isinstance(divisor, SupportsFloat):
            return self * (1.0 / float(divisor))
        return NotImplemented

    __radd__ = __add__
    __rmul__ = __mul__


class PerImage:
    """Scores image i by the i-th objective: `Activations -> [b]`; None scores 0 (an empty slot).

    `before_rectifier[i]` reads every term of image i before the rectifier of its layer (used to wake blocked units).
    """

    def __init__(self, objectives: Sequence[Objective | None], before_rectifier: Iterable[bool] = ()) -> None:
        self._length = len(objectives)
        awake = list(before_rectifier) or [False] * self._length
        groups: dict[tuple[type[Leaf], Hashable], list[tuple[int, int, float, Leaf]]] = defaultdict(list)
        for row, objective in enumerate(objectives):
            for nth, (weight, leaf) in enumerate(objective.read_terms(awake[row]) if objective else ()):
                groups[type(leaf), leaf.family].append((row, nth, weight, leaf))
        self._groups = [_Group(kind, entries) for (kind, _), entries in groups.items()]
        self._constants = [objective.constant if objective else 0.0 for objective in objectives]
        self.taps = tuple(dict.fromkeys(tap for group in self._groups for leaf in group.leaves for tap in leaf.taps))

    def __call__(self, activations: Activations) -> Float[Tensor, " b"]:
        image = activations.image
        if len(image) != self._length:
            raise TargetError(f"{self._length} objectives cannot score a batch of {len(image)} images, one each")
        dtype = torch.promote_types(image.dtype, torch.float32)
        total = torch.tensor(self._constants, dtype=dtype, device=image.device)
        scored = [(group, group.scores(activations, total)) for group in self._groups]
        # An image's terms are added one after the other in its own order, the n-th of all before the next: a sum
        # in one go, or family by family, would be rounded by chance or by what the neighbours ask for.
        for nth in sorted({nth for group in self._groups for nth in group.places}):
            for group, scores in scored:
                if nth in group.places:
                    total = group.added(total, scores, nth)
        return total


class _Group:
    """Leaves of one family, each with its image, its place among that image's terms, and weight."""

    def __init__(self, kind: type[Leaf], entries: Sequence[tuple[int, int, float, Leaf]]) -> None:
        self.kind = kind
        self.leaves = [leaf for *_, leaf in entries]
        self._rows = torch.tensor([row for row, *_ in entries])
        self._weights = [weight for _, _, weight, _ in entries]
        by_place: dict[int, list[int]] = defaultdict(list)
        for entry, (_, nth, _, _) in enumerate(entries):
            by_place[nth].append(entry)
        self.places = {nth: torch.tensor(places) for nth, places in by_place.items()}

    def scores(self, activations: Activations, like: Tensor) -> Float[Tensor, " m"]:
        """The weighted score of each leaf, on the device and in the precision of a tensor."""
        scores = self.kind.score(activations, self._rows.to(like.device), self.leaves).to(like.dtype)
        return scores * torch.tensor(self._weights, dtype=like.dtype, device=like.device)

    def added(self, total: Tensor, scores: Tensor, nth: int) -> Tensor:
        """The scores of all images so far, plus those leaves that are the n-th term of theirs."""
        rows = self._rows.to(total.device)
        if len(self.places) == 1:
            return total.index_add(0, rows, scores)
        picked = self.places[nth].to(total.device)
        return total.index_add(0, rows[picked], scores[picked])


def per_image(objectives: Sequence[Objective | None]) -> PerImage:
    """The objective that scores image i of a batch by `objectives[i]`."""
    return PerImage(objectives)


@dataclass(frozen=True)
class Product(Leaf):
    """The product of two objectives' scores."""

    first: Objective
    second: Objective

    @property
    def taps(self) -> tuple[Tap, ...]:
        """What both read."""
        return tuple(dict.fromkeys(self.first.taps + self.second.taps))

    @property
    def photos(self) -> tuple[FrozenTensor, ...]:
        """Those of both."""
        return tuple(photo for one in (self.first, self.second) for _, leaf in one.terms for photo in leaf.photos)

    @property
    def family(self) -> Hashable:
        """Each product stands alone."""
        return self

    @classmethod
    def score(cls, activations: Activations, rows: Tensor, leaves: Sequence[Leaf]) -> Float[Tensor, " m"]:
        """First score times second score."""
        product, own = leaves[0], activations.rows(rows)
        assert isinstance(product, Product)  # for the type checker: a family holds one kind
        return product.first(own) * product.second(own)


@dataclass(frozen=True)
class Custom(Leaf):
    """Any function of activations, `Activations -> [b]`, on the layers it names.

    `function` must score every image by itself; its `name` stands for it in hashes and seeds.
    """

    name: str
    layers: tuple[str, ...]
    function: Callable[[Activations], Tensor] = field(repr=False)

    @property
    def taps(self) -> tuple[Tap, ...]:
        """The layers named."""
        return tuple(Tap(layer) for layer in self.layers)

    @property
    def family(self) -> Hashable:
        """Each function stands alone."""
        return self

    @classmethod
    def score(cls, activations: Activations, rows: Tensor, leaves: Sequence[Leaf]) -> Float[Tensor, " m"]:
        """What the function returns for these images."""
        custom = leaves[0]
        assert isinstance(custom, Custom)
        scores = custom.function(activations.rows(rows))
        if scores.shape != rows.shape:
            got = list(scores.shape)
            raise TargetError(
                f"objective {custom.name!r} gave {got} instead of one score for each of {len(rows)} images"
            )
        return scores
