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
        """The root mean square of each unit's response: its scale. Zero for a unit that never fired."""
        return (self.squares_a / self.count).sqrt(), (self.squares_b / self.count).sqrt()

    @property
    def correlations(self) -> Float[Tensor, "n m"]:
        """Pearson's correlation of each unit of A with each of B; NaN where one of them is constant."""
        mean_a, mean_b = self.sum_a / self.count, self.sum_b / self.count
        covariance = self.products / self.count - mean_a[:, None] * mean_b
        spreads = [
            # Below this, what is left of the squares is rounding: the unit is constant.
            torch.where(variance > 1e-10 * squares / self.count, variance, torch.nan).sqrt()
            for variance, squares in (
                (self.squares_a / self.count - mean_a.square(), self.squares_a),
                (self.squares_b / self.count - mean_b.square(), self.squares_b),
            )
        ]
        return (covariance / spreads[0][:, None] / spreads[1]).clamp(-1, 1)


@torch.no_grad()
def moments_of(
    models: tuple[Model, Model], responses: tuple[Response, Response], batches: Iterable[Float[Tensor, "b c h w"]]
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
