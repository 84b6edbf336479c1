"""L-BFGS for a batch of images that do not know of each other: one computation, a history and a line search for each.

Nocedal & Wright, "Numerical Optimization", 2006: algorithms 7.4 (two loops), 3.5 and 3.6 (strong Wolfe conditions).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["ascend"]

_PAIRS = 10  # of steps and gradient differences that are remembered
_ARMIJO, _CURVATURE = 1e-4, 0.9  # Nocedal & Wright's constants for quasi-Newton methods
_TRIES = 20  # points of a line search
_EXPAND = 2.0
_INNER = 0.1  # a trial inside a bracket keeps this share of it away from its ends

Loss = Callable[[Tensor], tuple[Tensor, Tensor]]
Score = Callable[[Tensor], Tensor]


def ascend(
    score: Score | Sequence[Score], start: Float[Tensor, "b n"], iterations: int
) -> tuple[Float[Tensor, "b n"], list[list[float]]]:
    """Climb `score` from `start` [b, n]: the points reached, and each one's scores after every iteration.

    Several scores are climbed by their mean, one evaluated after the other.

    A `score` must score every row by itself, deterministically. No row's score falls: one whose line search finds
    nothing better, or whose gradient is zero or not finite, stays where it is and its list ends.
    """
    loss = _loss_of([score] if callable(score) else score)
    x = start.detach().clone()
    f, g = loss(x)
    steps: list[Tensor] = []
    changes: list[Tensor] = []
    histories: list[list[float]] = [[] for _ in x]
    moving = torch.isfinite(f) & torch.isfinite(g).all(1) & (g != 0).any(1)
    for iteration in range(iterations):
        if not moving.any():
            break
        way = torch.where(moving[:, None], -_two_loops(g, steps, changes), 0)
        uphill = ((way * g).sum(1) >= 0) & moving
        way = torch.where(uphill[:, None], -g, way)
        first = torch.ones_like(f)
        if iteration == 0:
            first = 1 / g.abs().sum(1).clamp(min=1)
        found = _line_search(loss, x, f, g, way, first)
        moving &= found.better
        steps, changes = [*steps, found.x - x][-_PAIRS:], [*changes, found.g - g][-_PAIRS:]
        x, f, g = found.x, found.f, found.g
        for row in moving.nonzero()[:, 0].tolist():
            histories[row].append(-float(f[row]))
    return x, histories


def _loss_of(scores: Sequence[Score]) -> Loss:
    """Minus the mean score and its gradient by the row."""

    def of_one(score: Score, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            values = -score(leaf)
            gradient = torch.autograd.grad(values.sum(), leaf)[0] if values.requires_grad else torch.zeros_like(x)
        return values.detach().to(x.dtype), gradient

    def loss(x: Tensor) -> tuple[Tensor, Tensor]:
        values, gradient = of_one(scores[0], x)
        for score in scores[1:]:
            others = of_one(score, x)
            values, gradient = values + others[0], gradient + others[1]
        return (values, gradient) if len(scores) == 1 else (values / len(scores), gradient / len(scores))

    return loss


def _two_loops(g: Tensor, steps: list[Tensor], changes: list[Tensor]) -> Tensor:
    """The inverse Hessian, as each row remembers it, times its gradient."""
    q = g.clone()
    dots = [(s * y).sum(1) for s, y in zip(steps, changes, strict=True)]
    # A pair without positive curvature says nothing about a minimum: such a row skips it.
    inverse = [torch.where(dot > 1e-10 * (y * y).sum(1), 1 / dot, 0) for dot, y in zip(dots, changes, strict=True)]
    along: list[Tensor] = []
    for s, y, rho in reversed(list(zip(steps, changes, inverse, strict=True))):
        along.append(rho * (s * q).sum(1))
        q = q - along[-1][:, None] * y
    scale = torch.ones_like(g[:, 0])
    for y, rho in zip(changes, inverse, strict=True):  # the newest usable pair sets the scale
        scale = torch.where(rho > 0, 1 / (rho * (y * y).sum(1)).clamp(min=1e-38), scale)
    q = q * scale[:, None]
    for s, y, rho, alpha in zip(steps, changes, inverse, reversed(along), strict=True):
        q = q + s * (alpha - rho * (y * q).sum(1))[:, None]
    return q


@dataclass
class _Point:
    """A point of each row's line: how far along [b], its loss [b] and slope [b]."""

    t: Tensor
    f: Tensor
    slope: Tensor

    def take(self, where: Bool[Tensor, " b"], other: _Point) -> None:
        """Become another point, in some rows."""
        self.t = torch.where(where, other.t, self.t)
        self.f = torch.where(where, other.f, self.f)
        self.slope = torch.where(where, other.slope, self.slope)

    def copy(self) -> _Point:
        return _Point(self.t, self.f, self.slope)


@dataclass
class _Found:
    """Where the line searches ended; rows that are not `better` are where they were."""

    x: Tensor
    f: Tensor
    g: Tensor
    better: Tensor


def _line_search(loss: Loss, x: Tensor, f: Tensor, g: Tensor, way: Tensor, first: Tensor) -> _Found:
    """A point of each row's line that fulfils the strong Wolfe conditions, or at least the best one seen."""
    start = _Point(torch.zeros_like(f), f, (g * way).sum(1))
    before, low, high = start.copy(), start.copy(), start.copy()
    best = _Found(x, f, g, torch.zeros_like(f, dtype=torch.bool))
    inside = torch.zeros_like(best.better)  # whether a row has a bracket, and zooms into it
    done = ~(start.slope < 0)
    t = first
    for _ in range(_TRIES):
        if done.all():
            break
        values, gradients = loss(x + t[:, None] * way)
        values = torch.where(torch.isfinite(values), values, torch.inf)
        now = _Point(t, values, (gradients * way).sum(1))
        improved = ~done & (values < best.f)
        best.x = torch.where(improved[:, None], x + t[:, None] * way, best.x)
        best.g = torch.where(improved[:, None], gradients, best.g)
        best.f, best.better = torch.where(improved, values, best.f), best.better | improved
        too_high = ~(now.f <= start.f + _ARMIJO * t * start.slope)
        flat = ~too_high & (now.slope.abs() <= -_CURVATURE * start.slope)
        out, zooming = ~inside & ~done, inside & ~done
        # Looking for a bracket: it ends where the line rises again.
        over = out & (too_high | ((now.f >= before.f) & (before.t > 0)))
        turned = out & ~over & ~flat & (now.slope >= 0)
        # Inside one: it shrinks around the lowest point.
        worse = zooming & (too_high | (now.f >= low.f))
        better = zooming & ~worse
        high.take(worse | over, now)
        low.take(over, before)
        high.take(turned, before)
        crossed = better & ~flat & (now.slope * (high.t - low.t) >= 0)
        high.take(crossed, low)
        low.take(better | turned, now)
        before.take(out, now)
        done = done | (flat & ~over & ~worse)
        inside = inside | over | turned
        t = torch.where(inside, _between(low, high), _EXPAND * t)
    return best


def _between(low: _Point, high: _Point) -> Tensor:
    """The minimum of the cubic through both ends of a bracket, kept away from them; the middle where there is none."""
    width = high.t - low.t
    first = low.slope + high.slope - 3 * (low.f - high.f) / (low.t - high.t)
    root = (first.square() - low.slope * high.slope).sqrt() * torch.sign(width)
    cubic = high.t - width * (high.slope + root - first) / (high.slope - low.slope + 2 * root)
    left, right = torch.minimum(low.t, high.t), torch.maximum(low.t, high.t)
    margin = _INNER * (right - left)
    inner = torch.minimum(torch.maximum(cubic, left + margin), right - margin)
    return torch.where(torch.isfinite(cubic), inner, (low.t + high.t) / 2)
