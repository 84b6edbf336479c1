"""How alike the units of two layers fire over a set of pictures: scales and correlations, from one pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.errors import ImageError
from pellucid.models.model import Model
from pellucid.objectives.response import Response

__all__ = ["Moments", "moments_of"]


@dataclass(frozen=True)
class Moments:
    """Sums over `count` pictures of the responses of two layers, in float64: what scales and correlations come from."""

    count: int
    sum_a: Float[Tensor, " n"]
    sum_b: Float[Tensor, " m"]
    squares_a: Float[Tensor, " n"]
    squares_b: Float[Tensor, " m"]
    products: Float[Tensor, "n m"]

    @property
    def scales(self) -> tuple[Float[Tensor, " n"], Float[Tensor, " m"]]:
        """How much the response of each unit varies (standard deviation): its scale. Zero for one that never changes.

        Not its size: a unit that hardly varies about a large response would have next to no gradient on that scale.
        """
        a, b = (self._variance(total, squares) for total, squares in self._both)
        return a.nan_to_num(nan=0.0).sqrt(), b.nan_to_num(nan=0.0).sqrt()

    @property
    def correlations(self) -> Float[Tensor, "n m"]:
        """Pearson's correlation of each unit of A with each of B; NaN where one of them is constant."""
        covariance = self.products / self.count - self.sum_a[:, None] * self.sum_b / self.count**2
        a, b = (self._variance(total, squares).sqrt() for total, squares in self._both)
        return (covariance / a[:, None] / b).clamp(-1, 1)

    @property
    def _both(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        return (self.sum_a, self.squares_a), (self.sum_b, self.squares_b)

    def _variance(self, total: Tensor, squares: Tensor) -> Tensor:
        variance = squares / self.count - (total / self.count).square()
        # Below this, what is left of the squares is rounding: the unit is constant.
        return torch.where(variance > 1e-10 * squares / self.count, variance, torch.nan)


@torch.no_grad()
def moments_of(
    models: tuple[Model, Model], responses: tuple[Response, Response], batches: Iterable[Float[Tensor, "_ c h w"]]
) -> Moments:
    """One pass of pictures, in the range that both networks take, through both.

    Raises:
        ImageError: fewer than two pictures.
        ModelError: a network cannot run on them.
    """
    count = 0
    sums: list[Tensor] = []
    for batch in batches:
        a, b = (
            response(model.tap(batch.to(model.device), [response.tap])).double().cpu()
            for model, response in zip(models, responses, strict=True)
        )
        new = [a.sum(0), b.sum(0), a.square().sum(0), b.square().sum(0), a.T @ b]
        sums = [total + more for total, more in zip(sums, new, strict=True)] if count else new
        count += len(batch)
    if count < 2:
        raise ImageError(f"units are compared by two pictures or more, and there {'is' if count else 'are'} {count}")
    return Moments(count, *sums)
