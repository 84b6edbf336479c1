"""How pictures are seen and scored at a step: background, transforms, network, objectives, and the gradients back.

The gradient is taken back part by part: each part's time can be told, and none holds on to another's tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.ascent.companions import Companions
from pellucid.ascent.jobs import Slot
from pellucid.ascent.plan import Resolved
from pellucid.ascent.ranges import into_range, out_of_range
from pellucid.ascent.recipe import Recipe
from pellucid.ascent.stopwatch import Stopwatch
from pellucid.ascent.working import Candidate, prepared
from pellucid.draws import Draws
from pellucid.images.alpha import over, random_backgrounds
from pellucid.models.gradients import IdentityReLU, RedirectedReLU
from pellucid.models.max_pooling import SmoothedMaxPool
from pellucid.models.model import Model, Precision
from pellucid.models.taps import Activations, Tap
from pellucid.objectives.groups import GroupTerm
from pellucid.objectives.objective import PerImage
from pellucid.transforms.presets import parse

__all__ = ["Seen", "Sight"]

_REDIRECTED_STEPS = 16  # as in Lucid
_GREY = 0.5  # behind a transparent picture when it is scored at last


@dataclass(frozen=True)
class Seen:
    """A step's scores [b]; by how much minus the picture's values would move them [b, c, h, w]; and whose objective is
    blocked, though something else moves the picture: a penalty, or its group [b] (None: nobody's)."""

    scores: Tensor
    gradient: Tensor
    deaf: Tensor | None


class Sight:
    """What looks at pictures: one network, one recipe."""

    def __init__(
        self,
        model: Model,
        recipe: Recipe,
        resolved: Resolved,
        taps: Sequence[Tap],
        ranges: Sequence[tuple[float, float]],
    ) -> None:
        """`taps` are all that the jobs to come look at; `ranges` those of the pictures' channels."""
        self.recipe = recipe
        self._ranges = ranges
        device = torch.device(resolved.device)
        exact: Precision = "float64" if resolved.precision == "float64" else "float32"
        # A network may keep things between its layers: beside other threads everyone runs modules of their own.
        self.model = prepared(model, resolved.candidate, taps, device).twin()
        self.exact_model = self.model
        if resolved.precision != exact:
            self.exact_model = prepared(model, Candidate(exact, "channels_last", False), taps, device).twin()
        self.transform = parse(recipe.transforms)
        self.watch = Stopwatch(device)
        self._slots: Sequence[Slot | None] = ()
        self._objective = PerImage([])
        self._terms: tuple[GroupTerm, ...] = ()
        self._companions = Companions([], self.transform)
        self._taps: tuple[Tap, ...] = ()
        self._mixed = False

    def look_at(self, slots: Sequence[Slot | None]) -> None:
        """From now on score these: call it again when an image enters, leaves, or is woken in another way."""
        self._slots = slots
        jobs = [slot.job if slot else None for slot in slots]
        before = [bool(slot and slot.rescue.reads_before_rectifier) for slot in slots]
        self._objective = PerImage([job.climbed if job else None for job in jobs], before)
        self._terms = tuple(dict.fromkeys(term for job in jobs if job for term in job.terms))
        self._taps = tuple(dict.fromkeys((*self._objective.taps, *(tap for term in self._terms for tap in term.taps))))
        self._companions = Companions(slots, self.transform)
        # Where something else moves a picture too, that the network is blocked shows in what it was shown alone.
        leaves = [leaf for job in jobs if job for _, leaf in job.climbed.terms]
        self._mixed = any(not leaf.taps for leaf in leaves) and any(leaf.taps for leaf in leaves)

    def see(self, canvas: Tensor, draws: Draws) -> Seen:
        """Score the pictures `canvas` [b, c, h, w] as random transforms show them, and take the gradients."""
        with self.watch.time("transforms"):
            steps = torch.tensor([slot.step if slot else 0 for slot in self._slots])
            moves = draws.child("transform").at(steps)
            shown = self.transform(self._laid(canvas, draws, steps), moves)
        with self.watch.time("network"):
            leaf = shown.detach().requires_grad_()
            own, scores = self._scores(leaf, canvas, moves)
            deaf = self._deaf(own, leaf)
            to_shown, to_canvas = _gradients(-scores.sum(), [leaf, canvas]) if scores.requires_grad else (None, None)
        with self.watch.time("transforms"):
            gradient = to_canvas
            if to_shown is not None:
                (through,) = torch.autograd.grad(shown, canvas, to_shown)
                gradient = through if gradient is None else gradient + through
        if self._mixed:
            blocked = torch.ones_like(own, dtype=torch.bool)
            if to_shown is not None:
                blocked = to_shown.detach().abs().amax((1, 2, 3)) == 0
            deaf = blocked if deaf is None else deaf | blocked
        return Seen(scores.detach(), torch.zeros_like(canvas) if gradient is None else gradient, deaf)

    def _deaf(self, own: Tensor, leaf: Tensor) -> Tensor | None:
        """Images whose own objective has no gradient, though their group's terms have one."""
        silent = own.detach() == 0  # off everywhere: what a blocked unit is
        if not self._terms or not silent.any() or not own.requires_grad:
            return None
        (gradient,) = torch.autograd.grad(own.sum(), leaf, retain_graph=True, materialize_grads=True)
        return silent & (gradient.abs().amax((1, 2, 3)) == 0)

    @torch.no_grad()
    def judged(self, pictures: Tensor, slots: Sequence[Slot]) -> Tensor:
        """Scores [b] without transforms, in float32 or better, of pictures in [0, 1]: by what was asked for alone."""
        objective = PerImage([slot.job.objective for slot in slots])
        return objective(self.exact(pictures, objective.taps))

    def climbed(self, pictures: Tensor, slots: Sequence[Slot]) -> Tensor:
        """The same, differentiable, and with penalties: what a line search follows."""
        objective = PerImage([slot.job.climbed for slot in slots])
        return objective(self.exact(pictures, objective.taps))

    def exact(self, pictures: Tensor, taps: Sequence[Tap]) -> Activations:
        """What layers say of pictures in [0, 1], without transforms and in float32 or better."""
        return self._tapped(self.exact_model, self._flat(pictures), pictures, taps)

    def in_range(self, images: Tensor) -> Tensor:
        """From [0, 1] to the range that the network was declared to take; opacity stays as it is."""
        if images.shape[1] == self.model.channels:
            return into_range(images, self._ranges, self.model.value_range)
        colors, opacity = images[:, :-1], images[:, -1:]
        return torch.cat([into_range(colors, self._ranges, self.model.value_range), opacity], 1)

    def _from_range(self, images: Tensor) -> Tensor:
        """The way back, of colours alone."""
        return out_of_range(images, self._ranges, self.model.value_range)

    def _scores(self, shown: Tensor, canvas: Tensor, moves: Draws) -> tuple[Tensor, Tensor]:
        """What every image scores by itself, and with what its group says; `moves` are the draws of its transforms."""
        with self._rules():
            activations = self._tapped(self.model, shown, canvas, self._taps)
        activations = self._companions.beside(activations, self.model, moves, self._from_range, self.in_range)
        own = scores = self._objective(activations)
        for term in self._terms:
            scores = scores + term(activations, self._groups(term))
        return own, scores

    def _tapped(self, model: Model, shown: Tensor, canvas: Tensor, taps: Sequence[Tap]) -> Activations:
        alpha = canvas[:, -1:] if self.recipe.alpha else None
        return model.tap(self.in_range(shown), taps).with_image(canvas[:, : model.channels], alpha)

    def _rules(self) -> ExitStack:
        """The gradient rules of this step."""
        stack, recipe = ExitStack(), self.recipe
        first = _REDIRECTED_STEPS if recipe.relu_gradient == "redirected" else 0
        redirected = [bool(slot and (slot.rescue.redirects or slot.step < first)) for slot in self._slots]
        if recipe.max_pool_gradient != "usual":
            stack.enter_context(SmoothedMaxPool("l2" if recipe.max_pool_gradient == "l2" else "average"))
        if recipe.relu_gradient == "identity":
            stack.enter_context(IdentityReLU())
        elif any(redirected):
            stack.enter_context(RedirectedReLU(torch.tensor(redirected)))
        return stack

    def _groups(self, term: GroupTerm) -> Tensor:
        return torch.tensor([slot.group if slot and term in slot.job.terms else -1 for slot in self._slots])

    def _laid(self, canvas: Tensor, draws: Draws, steps: Tensor) -> Tensor:
        """The pictures, and what shows through them over a background of its own for each image and step."""
        if not self.recipe.alpha:
            return canvas
        return over(canvas, random_backgrounds(draws.child("background").at(steps), canvas))

    def _flat(self, pictures: Tensor) -> Tensor:
        """The pictures over mid-grey where they are transparent."""
        return over(pictures, pictures.new_full((pictures.shape[1] - 1,), _GREY)) if self.recipe.alpha else pictures


def _gradients(loss: Tensor, inputs: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    gradients: tuple[Tensor | None, ...] = torch.autograd.grad(loss, inputs, allow_unused=True)
    return gradients
