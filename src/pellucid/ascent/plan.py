"""What a recipe comes to on this machine, for this network: device, precision, layout, size, batch, and why."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from weakref import WeakKeyDictionary

import torch

from pellucid import __version__
from pellucid.ascent.machine import find_device, machine_name, precisions
from pellucid.ascent.memory import free_bytes
from pellucid.ascent.recipe import Recipe
from pellucid.ascent.threads import side_by_side
from pellucid.ascent.trial import MOST_ERROR, Trial, deviation, images_for, tried, why_not
from pellucid.ascent.working import Candidate, prepared
from pellucid.errors import ModelError
from pellucid.models.model import Model, Precision
from pellucid.models.private_copy import Layout
from pellucid.models.taps import Tap

__all__ = ["Plan", "Resolved", "known_plans", "make_plan"]

# Pixels in one batch at which a CPU with two cores and one GPU stop gaining (16 and 64 pictures of 224 px).
_BATCH_PIXELS = {"cpu": 16 * 224 * 224, "cuda": 64 * 224 * 224, "mps": 16 * 224 * 224}
_MOST_IMAGES = 128
_MOST_LANES = 8  # each step holds Python's lock for a few ms: more lanes would wait for it,
_LANE_PIXELS = 4 * 64 * 64  # and so would smaller ones
_MEMORY_SHARE = 0.6  # of what is free, for the tensors between forward and backward; the rest is for everything else
_LONG_RUN = 16 * 256  # image-steps from which a trial pays: some 20 images there and back, and 14 of the usual batch
_MARGIN = 0.9  # a candidate must take less than this share of the usual one's time: timings are noisy


@dataclass(frozen=True)
class Resolved:
    """What was chosen where the recipe said "auto", and what else decides the last bits of a picture."""

    device: str
    precision: Precision
    layout: Layout
    folded: bool
    size: tuple[int, int]
    batch: int  # images at once, in all lanes
    lanes: int
    threads: int  # of each lane
    torch: str
    learning_rate: float

    def of_lane(self) -> Resolved:
        """The same for one lane: its share of the images."""
        return replace(self, batch=-(-self.batch // self.lanes), lanes=1)

    @property
    def candidate(self) -> Candidate:
        """How the network is run."""
        return Candidate(self.precision, self.layout, self.folded)

    @property
    def hash(self) -> str:
        """Sixteen hex digits: with model, target and recipe the key of a picture, bit for bit."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Plan:
    """The choice, the trials it rests on (none for a short run), and in words why it is so."""

    resolved: Resolved
    trials: tuple[Trial, ...] = ()
    reasons: tuple[str, ...] = ()


known_plans: dict[str, dict[str, object]] = {}
"""What trials have chosen, by machine, network, layers and recipe: plain data, to be kept in a file.

An entry that does not fit what the recipe and the machine allow is measured anew.
"""


def make_plan(recipe: Recipe, model: Model, num_images: int, taps: Sequence[Tap], largest_group: int = 1) -> Plan:
    """Choose device, precision, layout, size and batch for pictures of what `taps` see.

    A long run (16 images of 256 steps) is preceded by a trial of some seconds, whose choice is remembered in
    `known_plans`. What the recipe names is taken as it is, but for a batch that memory does not hold, or that does not
    hold `largest_group` images, which must be under way together.

    Raises:
        RecipeError: a device or precision that this machine lacks; the message names what it has.
    """
    planned = _planned(recipe, model, num_images, taps)
    if largest_group == 1:
        return planned
    return replace(planned, resolved=_whole_groups(planned.resolved, largest_group))


def _whole_groups(resolved: Resolved, size: int) -> Resolved:
    """Every lane holds at least one group of this size, and no slot that no other group fits into."""
    lanes = min(resolved.lanes, max(1, resolved.batch // size))
    groups = max(1, resolved.batch // lanes // size)
    return replace(resolved, lanes=lanes, batch=lanes * groups * size)


def _planned(recipe: Recipe, model: Model, num_images: int, taps: Sequence[Tap]) -> Plan:
    device = torch.device(find_device(recipe.device, model))
    candidates = _candidates(recipe, device)
    size = recipe.size or model.size
    usual = max(1, min(_MOST_IMAGES, _BATCH_PIXELS.get(device.type, _BATCH_PIXELS["cpu"]) // (size[0] * size[1])))
    batch = min(recipe.batch or _shared_out(num_images, usual), num_images)
    lanes, threads = _lanes(recipe, device, batch, size)
    first = Resolved(
        device=str(device),
        precision=candidates[0].precision,
        layout=candidates[0].layout,
        folded=candidates[0].folded,
        size=size,
        batch=batch,
        lanes=lanes,
        threads=threads,
        torch=torch.__version__,
        learning_rate=recipe.rate,
    )
    if not recipe.trial or num_images * recipe.steps < _LONG_RUN:
        return _checked(model, first, recipe, taps)
    key = _key(first, model, taps, recipe)
    if (plan := _recalled(known_plans.get(key), first, num_images, candidates)) is None:
        plan, bytes_per_image = _measured(model, first, recipe, num_images, taps, candidates)
        chosen = {**asdict(plan.resolved.candidate), "batch": plan.resolved.batch}
        capped = _most_held(bytes_per_image, device) < first.batch
        known_plans[key] = {**chosen, "bytes_per_image": bytes_per_image, "capped": capped}
    return plan


def _shared_out(num_images: int, most: int) -> int:
    """Images at once, at most `most`, so that the last round is as full as the first."""
    return -(-num_images // -(-num_images // most))


def _lanes(recipe: Recipe, device: torch.device, batch: int, size: tuple[int, int]) -> tuple[int, int]:
    """How many lanes, and threads of each: on a CPU one for each core, as far as there is work for them."""
    threads = torch.get_num_threads()
    if device.type != "cpu":
        return 1, threads
    usual = min(threads, _MOST_LANES, max(1, batch * size[0] * size[1] // _LANE_PIXELS))
    lanes = min(recipe.lanes or usual, batch)
    return lanes, max(1, threads // lanes)


def _recalled(entry: object, first: Resolved, num_images: int, candidates: Sequence[Candidate]) -> Plan | None:
    """What an earlier trial chose, as far as memory holds it now.

    None when there is nothing that can be used, or when memory capped that batch and does so no more.
    """
    if not isinstance(entry, Mapping):
        return None
    allowed = (*candidates, *(replace(candidate, folded=False) for candidate in candidates))
    chosen = [c for c in allowed if all(entry.get(name) == value for name, value in asdict(c).items())]
    batch, size = entry.get("batch"), entry.get("bytes_per_image")
    if not chosen or type(batch) is not int or type(size) is not int or batch < 1 or size < 0:
        return None
    most = _most_held(size, torch.device(first.device))
    if entry.get("capped") and most >= first.batch:
        return None
    batch = min(batch, num_images)
    reasons = (_held(most, size),) if most < batch else ()
    resolved = replace(first, **asdict(chosen[0]), batch=min(most, batch), lanes=min(most, batch, first.lanes))
    return Plan(resolved, (), (*reasons, "chosen by an earlier trial on this machine"))


def _most_held(bytes_per_image: int, device: torch.device) -> int:
    """How many images memory holds now; at least one, which is tried in any case."""
    return max(1, int(_MEMORY_SHARE * free_bytes(device) / max(1, bytes_per_image)))


def _held(most: int, bytes_per_image: int) -> str:
    return f"memory holds {most} image{'s' * (most > 1)} at once, each {bytes_per_image / 2**20:.3g} MiB"


def _candidates(recipe: Recipe, device: torch.device) -> list[Candidate]:
    """Ways to run the network, the usual one first."""
    possible = precisions(recipe.precision, device)
    layouts: list[Layout] = ["channels_last", "contiguous"]
    if recipe.layout in layouts:
        layouts = [layout for layout in layouts if layout == recipe.layout]
    return [Candidate(p, layout, recipe.fold and p != "float64") for p in possible for layout in layouts]


def _checked(model: Model, resolved: Resolved, recipe: Recipe, taps: Sequence[Tap]) -> Plan:
    """A short run's plan: the usual choice, unless its responses are too far from float32."""
    if recipe.precision != "auto" or resolved.precision == "float32":
        return Plan(resolved)
    try:
        error = _error(model, resolved, taps)
    except (ModelError, RuntimeError) as fault:
        reason = f"{resolved.candidate} cannot run here: {why_not(fault)}"
        return Plan(replace(resolved, precision="float32"), (), (reason,))
    if error <= MOST_ERROR:
        return Plan(resolved, (), (f"{resolved.precision} is within {error:.2%} of float32",))
    reason = f"{resolved.precision} is {error:.1%} off float32 here, more than {MOST_ERROR:.0%}: float32 instead"
    return Plan(replace(resolved, precision="float32"), (), (reason,))


_errors: WeakKeyDictionary[Model, dict[object, float]] = WeakKeyDictionary()


def _error(model: Model, resolved: Resolved, taps: Sequence[Tap]) -> float:
    """How far the responses to one picture are from float32; looked at once for a network, its layers and a size."""
    known = _errors.setdefault(model, {})
    key = resolved.candidate, resolved.size, resolved.device, frozenset(taps)
    if key not in known:
        images = images_for(model, 1, resolved.size, torch.device(resolved.device))
        known[key] = deviation(_seen(model, resolved.candidate, taps, images), _exact(model, taps, images))
    return known[key]


def _measured(
    model: Model,
    first: Resolved,
    recipe: Recipe,
    num_images: int,
    taps: Sequence[Tap],
    candidates: Sequence[Candidate],
) -> tuple[Plan, int]:
    """Try the candidates at a small batch, then the best one at the usual batch, half and twice of it.

    Also says how many bytes an image takes (0 when nothing could be tried).
    """
    device = torch.device(first.device)
    images = images_for(model, min(4, first.of_lane().batch), first.size, device)
    exact = _exact(model, taps, images)
    trials = [_tried(model, candidate, taps, images, exact, first) for candidate in candidates]
    reasons = [f"{t.candidate} cannot run here: {t.failure}" for t in trials if t.failure]
    asked = recipe.precision != "auto"
    fit = [t for t in trials if not t.failure and (asked or (t.error or 0) <= MOST_ERROR)]
    reasons += [f"{t.candidate} is {t.error:.1%} off float32" for t in trials if not t.failure and t not in fit]
    if not fit:
        plain = first if asked else replace(first, precision="float32", folded=False)
        return Plan(plain, tuple(trials), tuple(reasons)), 0
    best = min(fit, key=lambda t: t.seconds * (_MARGIN if t is fit[0] else 1))
    most = _most_held(best.bytes_per_image, device)
    reasons += [_held(most, best.bytes_per_image)] if most < first.batch else []
    batch = min(first.batch, most)
    if not recipe.batch:
        sizes = [b for b in (batch, batch // 2, 2 * batch) if 1 <= b <= min(most, num_images, _MOST_IMAGES)]
        shares = [images_for(model, replace(first, batch=b).of_lane().batch, first.size, device) for b in sizes]
        runs = [_tried(model, best.candidate, taps, share, None, first) for share in shares]
        trials += runs
        if usable := [(b, t) for b, t in zip(sizes, runs, strict=True) if not t.failure]:
            batch, _ = min(usable, key=lambda run: run[1].seconds * (_MARGIN if run[0] == sizes[0] else 1))
            batch = _shared_out(num_images, batch)
    chosen = replace(first, **asdict(best.candidate), batch=batch, lanes=min(batch, first.lanes))
    return Plan(chosen, tuple(trials), (*reasons, f"fastest of {len(trials)} trials")), best.bytes_per_image


def _tried(
    model: Model,
    candidate: Candidate,
    taps: Sequence[Tap],
    images: torch.Tensor,
    exact: Sequence[torch.Tensor] | None,
    first: Resolved,
) -> Trial:
    """A trial on the cores of one lane."""
    return side_by_side(first.threads, [lambda: tried(model, candidate, taps, images, exact)])[0]


def _seen(model: Model, candidate: Candidate, taps: Sequence[Tap], images: torch.Tensor) -> list[torch.Tensor]:
    with torch.no_grad():
        return list(prepared(model, candidate, taps, images.device).tap(images, taps).values())


def _exact(model: Model, taps: Sequence[Tap], images: torch.Tensor) -> list[torch.Tensor]:
    return _seen(model, Candidate("float32", "channels_last", False), taps, images)


def _key(first: Resolved, model: Model, taps: Sequence[Tap], recipe: Recipe) -> str:
    layers = ",".join(sorted({tap.layer for tap in taps}))
    asked = (recipe.precision, recipe.layout, recipe.fold, recipe.batch, first.size, first.batch, first.lanes)
    machine = f"{machine_name(torch.device(first.device))} {first.threads} {first.torch} {first.device}"
    text = f"{__version__} {machine} {model.weights_hash} {layers} {asked}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
