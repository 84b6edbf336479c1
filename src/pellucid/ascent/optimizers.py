"""Optimisers whose every state is per image: its own moments, its own step count, its own rate.

`torch.optim.Adam` keeps one step count per tensor, so an image that enters a running batch would get another image's
bias correction. These give torch's fused updates one tensor per image, and move only the images that are to move.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.nadam import nadam
from torch.optim.sgd import sgd

__all__ = ["Adam", "AdamW", "NAdam", "Optimizer", "Sgd", "build_optimizer"]


class Optimizer(ABC):
    """Descends, row by row. Parameters `[b, ...]`; row i belongs to image i."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._parameters = _by_row(parameters)

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], rates: Mapping[int, float]) -> None:
        """Move the images that have a rate against their gradients `[b, ...]`; the others stay as they are."""
        rows_of: dict[float, list[int]] = defaultdict(list)
        for row, rate in rates.items():
            rows_of[rate].append(row)
        # The fused update reads memory in order, whatever the strides: a channels-last gradient would be scrambled.
        by_row = _by_row([gradient.contiguous() for gradient in gradients])
        for rate, rows in rows_of.items():
            self._move(rows, [gradient for row in rows for gradient in by_row[row]], rate)

    @abstractmethod
    def _move(self, rows: Sequence[int], gradients: list[Tensor], rate: float) -> None:
        """Move some images by one rate; `gradients` holds all of the first image's, then all of the second's, …"""

    @abstractmethod
    def reset_rows(self, rows: Sequence[int]) -> None:
        """Forget all about these images."""

    def _picked(self, of_rows: Sequence[Sequence[Tensor]], rows: Sequence[int]) -> list[Tensor]:
        return [tensor for row in rows for tensor in of_rows[row]]


def _by_row(tensors: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    """The rows of `[b, ...]` tensors: for each image its own, as views."""
    return list(zip(*(tensor.unbind() for tensor in tensors), strict=True))


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
        self._means = _by_row([torch.zeros_like(p) for p in parameters])
        self._squares = _by_row([torch.zeros_like(p) for p in parameters])
        self._counts = _by_row([torch.zeros(len(p), device=p.device) for p in parameters])

    def _move(self, rows: Sequence[int], gradients: list[Tensor], rate: float) -> None:
        self._update(adam, rows, gradients, rate, 0.0)

    def _update(
        self, update: Callable[..., None], rows: Sequence[int], gradients: list[Tensor], rate: float, decay: float
    ) -> None:
        update(
            self._picked(self._parameters, rows),
            gradients,
            self._picked(self._means, rows),
            self._picked(self._squares, rows),
            [],
            self._picked(self._counts, rows),
            fused=True,  # one pass over memory instead of seven
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=rate,
            weight_decay=decay,
            eps=self.epsilon,
            maximize=False,
        )

    @torch.no_grad()
    def reset_rows(self, rows: Sequence[int]) -> None:
        """Zero moments and step counts."""
        for states in (self._means, self._squares, self._counts):
            for state in self._picked(states, rows):
                state.zero_()


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter, ICLR 2019): parameters fall towards a flat picture."""

    decay = 0.01  # torch's

    def _move(self, rows: Sequence[int], gradients: list[Tensor], rate: float) -> None:
        self._update(adamw, rows, gradients, rate, self.decay)


class NAdam(Adam):
    """Adam with Nesterov's look ahead (Dozat, ICLR workshop 2016), torch's momentum schedule; MACO's optimiser."""

    momentum_decay = 4e-3  # torch's

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        super().__init__(parameters)
        self._products = _by_row([torch.ones(len(p), device=p.device) for p in parameters])

    def _move(self, rows: Sequence[int], gradients: list[Tensor], rate: float) -> None:
        nadam(
            self._picked(self._parameters, rows),
            gradients,
            self._picked(self._means, rows),
            self._picked(self._squares, rows),
            self._picked(self._products, rows),
            self._picked(self._counts, rows),
            foreach=True,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=rate,
            weight_decay=0.0,
            momentum_decay=self.momentum_decay,
            eps=self.epsilon,
        )

    @torch.no_grad()
    def reset_rows(self, rows: Sequence[int]) -> None:
        """Zero moments and step counts, momenta as at the beginning."""
        super().reset_rows(rows)
        for product in self._picked(self._products, rows):
            product.fill_(1.0)


class Sgd(Optimizer):
    """Gradient descent with momentum; 0 is the plain step."""

    def __init__(self, parameters: Sequence[Tensor], *, momentum: float = 0.9) -> None:
        super().__init__(parameters)
        self.momentum = momentum
        self._velocities = _by_row([torch.zeros_like(p) for p in parameters])

    def _move(self, rows: Sequence[int], gradients: list[Tensor], rate: float) -> None:
        sgd(
            self._picked(self._parameters, rows),
            gradients,
            list(self._picked(self._velocities, rows)),
            foreach=True,
            weight_decay=0.0,
            momentum=self.momentum,
            lr=rate,
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )

    @torch.no_grad()
    def reset_rows(self, rows: Sequence[int]) -> None:
        """Zero velocities."""
        for velocity in self._picked(self._velocities, rows):
            velocity.zero_()


def build_optimizer(name: str, parameters: Sequence[Tensor]) -> Optimizer:
    """The optimiser a recipe names; `plain` is a step along the gradient."""
    kinds: dict[str, Callable[[Sequence[Tensor]], Optimizer]] = {
        "adam": Adam,
        "nadam": NAdam,
        "adamw": AdamW,
        "sgd": Sgd,
        "plain": partial(Sgd, momentum=0.0),
    }
    return kinds[name](parameters)
