"""Optimisers whose every state is per image: its own moments, its own step count, its own rate.

`torch.optim.Adam` keeps one step count per tensor, so an image that enters a running batch would get another image's
bias correction. These take `rows`, the images that move this time, and leave the others as they are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

__all__ = ["Adam", "Optimizer", "Sgd", "build_optimizer"]


class Optimizer(ABC):
    """Descends, row by row. Parameters `[b, ...]`; row i belongs to image i."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = list(parameters)

    @abstractmethod
    def step(
        self, gradients: Sequence[Tensor], rates: Float[Tensor, " b"], rows: Int64[Tensor, " m"] | None = None
    ) -> None:
        """Move the images `rows` (all when None) against their gradients, each by its own rate."""

    @abstractmethod
    def reset_rows(self, rows: Int64[Tensor, " m"]) -> None:
        """Forget all about these images."""


def _per_row(values: Tensor, like: Tensor) -> Tensor:
    """`[b]` shaped so that it multiplies `[b, ...]` row by row."""
    return values.to(like.dtype).view(-1, *[1] * (like.ndim - 1))


class Adam(Optimizer):
    """Adam (Kingma & Ba, ICLR 2015) with one step count per image."""

    def __init__(
        self,
        parameters: Sequence[Tensor],
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(parameters)
        self.betas, self.epsilon = betas, epsilon
        self.moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in self.parameters]
        self.counts = torch.zeros(len(self.parameters[0]), dtype=torch.int64, device=self.parameters[0].device)

    @torch.no_grad()
    def step(
        self, gradients: Sequence[Tensor], rates: Float[Tensor, " b"], rows: Int64[Tensor, " m"] | None = None
    ) -> None:
        """One bias-corrected step."""
        first, second = self.betas
        if rows is None:
            self.counts += 1
        else:
            self.counts[rows] += 1
        counts = self.counts if rows is None else self.counts[rows]
        rates = rates if rows is None else rates[rows]
        first_scale = rates / (1 - first ** counts.double())
        second_scale = (1 - second ** counts.double()).sqrt()
        for parameter, gradient, (mean, square) in zip(self.parameters, gradients, self.moments, strict=True):
            if rows is None:
                g, m, v, p = gradient, mean, square, parameter
            else:  # copies, written back below
                g, m, v, p = gradient[rows], mean[rows], square[rows], parameter[rows]
            m.mul_(first).add_(g, alpha=1 - first)
            v.mul_(second).addcmul_(g, g, value=1 - second)
            # p -= rate / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps), with both corrections moved to the rate
            denominator = v.sqrt().add_(_per_row(self.epsilon * second_scale, v))
            p.addcdiv_(m * _per_row(-first_scale * second_scale, m), denominator)
            if rows is not None:
                mean[rows], square[rows], parameter[rows] = m, v, p

    @torch.no_grad()
    def reset_rows(self, rows: Int64[Tensor, " m"]) -> None:
        """Zero moments and step counts."""
        self.counts[rows] = 0
        for mean, square in self.moments:
            mean[rows], square[rows] = 0, 0


class Sgd(Optimizer):
    """Gradient descent with momentum; 0 is the plain step."""

    def __init__(self, parameters: Sequence[Tensor], *, momentum: float = 0.9) -> None:
        super().__init__(parameters)
        self.momentum = momentum
        self.velocities = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def step(
        self, gradients: Sequence[Tensor], rates: Float[Tensor, " b"], rows: Int64[Tensor, " m"] | None = None
    ) -> None:
        """One step along the velocity."""
        moving = torch.arange(len(self.parameters[0]), device=rates.device) if rows is None else rows
        for parameter, gradient, velocity in zip(self.parameters, gradients, self.velocities, strict=True):
            velocity[moving] = velocity[moving] * self.momentum + gradient[moving]
            parameter[moving] -= velocity[moving] * _per_row(rates[moving], velocity)

    @torch.no_grad()
    def reset_rows(self, rows: Int64[Tensor, " m"]) -> None:
        """Zero velocities."""
        for velocity in self.velocities:
            velocity[rows] = 0


def build_optimizer(name: str, parameters: Sequence[Tensor]) -> Optimizer:
    """The optimiser a recipe names."""
    kinds: dict[str, type[Optimizer]] = {"adam": Adam, "sgd": Sgd}
    return kinds[name](parameters)
