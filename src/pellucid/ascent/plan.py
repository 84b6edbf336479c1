"""What a recipe comes to on this machine, for this network: device, precision, layout, size, batch, and why."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import torch

from pellucid.ascent.memory import free_bytes
from pellucid.ascent.recipe import Recipe
from pellucid.ascent.trial import MOST_ERROR, Candidate, Trial, deviation, images_for, prepared, tried
from pellucid.errors import RecipeError
from pellucid.models.model import Model, Precision
from pellucid.models.private_copy import Layout
from pellucid.models.taps import Tap

__all__ = ["Plan", "Resolved", "find_device", "known_plans", "make_plan"]

# Pixels in one batch at which a CPU with two cores and one GPU stop gaining (8 and 64 pictures of 224 px).
_BATCH_PIXELS = {"cpu": 8 * 224 * 224, "cuda": 64 * 224 * 224, "mps": 16 * 224 * 224}
_MOST_IMAGES = 64
_MEMORY_SHARE = 0.6  # of what is free, for the tensors between forward and backward; the rest is for everything else
_LONG_RUN = 16 * 256  # image-steps from which a trial (some 30 image-steps) pays
_MARGIN = 0.9  # a candidate must take less than this share of the usual one's time: timings are noisy


@dataclass(frozen=True)
class Resolved:
    """What was chosen where the recipe said "auto", and what else decides the last bits of a picture."""

    device: str
    precision: Precision
    layout: Layout
    folded: bool
    size: tuple[int, int]
    batch: int
    threads: int
    torch: str

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
"""What trials have chosen in this process, by machine, network, layers and recipe: plain data, to be kept in a file."""


def make_plan(recipe: Recipe, model: Model, num_images: int, taps: Sequence[Tap]) -> Plan:
    """Choose device, precision, layout, size and batch for pictures of what `taps` see.

    A long run (16 images of 256 steps) is preceded by a trial of some seconds, whose choice is remembered in
    `known_plans`. What the recipe names is taken as it is.

    Raises:
        RecipeError: a device or precision that this machine lacks; the message names what it has.
    """
    device = torch.device(find_device(recipe.device, model))
    candidates = _candidates(recipe, device)
    size = recipe.size or model.size
    usual = max(1, min(_MOST_IMAGES, _BATCH_PIXELS.get(device.type, _BATCH_PIXELS["cpu"]) // (size[0] * size[1])))
    first = Resolved(
        device=str(device),
        precision=candidates[0].precision,
        layout=candidates[0].layout,
        folded=candidates[0].folded,
        size=size,
        batch=min(recipe.batch or usual, num_images),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
    )
    if not recipe.trial or num_images * recipe.steps < _LONG_RUN:
        return _checked(model, first, recipe, taps)
    key = _key(first, model, taps, recipe)
    if key not in known_plans:
        plan = _measured(model, first, recipe, num_images, taps, candidates)
        chosen = plan.resolved
        known_plans[key] = {**asdict(chosen.candidate), "batch": chosen.batch}
        return plan
    resolved = replace(first, **known_plans[key])  # type: ignore[arg-type]
    resolved = replace(resolved, batch=min(resolved.batch, num_images))
    return Plan(resolved, (), ("chosen by an earlier trial on this machine",))


def _candidates(recipe: Recipe, device: torch.device) -> list[Candidate]:
    """Ways to run the network, the usual one first."""
    precisions = _precisions(recipe.precision, device)
    layouts: list[Layout] = ["channels_last", "contiguous"]
    if recipe.layout in layouts:
        layouts = [layout for layout in layouts if layout == recipe.layout]
    return [Candidate(p, layout, recipe.fold and p != "float64") for p in precisions for layout in layouts]


def _checked(model: Model, resolved: Resolved, recipe: Recipe, taps: Sequence[Tap]) -> Plan:
    """A short run's plan: the usual choice, unless its responses are too far from float32."""
    if recipe.precision != "auto" or resolved.precision == "float32":
        return Plan(resolved)
    images = images_for(model, 1, resolved.size, torch.device(resolved.device))
    error = deviation(_seen(model, resolved.candidate, taps, images), _exact(model, taps, images))
    if error <= MOST_ERROR:
        return Plan(resolved, (), (f"{resolved.precision} is within {error:.2%} of float32",))
    reason = f"{resolved.precision} is {error:.1%} off float32 here, more than {MOST_ERROR:.0%}: float32 instead"
    return Plan(replace(resolved, precision="float32"), (), (reason,))


def _measured(
    model: Model,
    first: Resolved,
    recipe: Recipe,
    num_images: int,
    taps: Sequence[Tap],
    candidates: Sequence[Candidate],
) -> Plan:
    """Try the candidates at a small batch, then the best one at the usual batch, half and twice of it."""
    device = torch.device(first.device)
    images = images_for(model, min(4, first.batch), first.size, device)
    exact = _exact(model, taps, images)
    trials = [tried(model, candidate, taps, images, exact) for candidate in candidates]
    reasons = [f"{t.candidate} cannot run here: {t.failure}" for t in trials if t.failure]
    asked = recipe.precision != "auto"
    fit = [t for t in trials if not t.failure and (asked or t.error <= MOST_ERROR)]
    reasons += [f"{t.candidate} is {t.error:.1%} off float32" for t in trials if not t.failure and t not in fit]
    if not fit:
        return Plan(replace(first, precision="float32", folded=False), tuple(trials), tuple(reasons))
    best = min(fit, key=lambda t: t.seconds * (_MARGIN if t is fit[0] else 1))
    most = max(1, int(_MEMORY_SHARE * free_bytes(device) / max(1, best.bytes_per_image)))
    if most < first.batch:
        reasons.append(f"memory holds {most} images, each {best.bytes_per_image / 2**20:.0f} MiB")
    batch = min(first.batch, most)
    if not recipe.batch:
        sizes = [b for b in (batch, batch // 2, 2 * batch) if 1 <= b <= min(most, num_images, _MOST_IMAGES)]
        runs = [tried(model, best.candidate, taps, images_for(model, b, first.size, device), None) for b in sizes]
        trials += runs
        if usable := [t for t in runs if not t.failure]:
            batch = min(usable, key=lambda t: t.seconds * (_MARGIN if t.batch == sizes[0] else 1)).batch
    chosen = replace(first, **asdict(best.candidate), batch=batch)
    return Plan(chosen, tuple(trials), (*reasons, f"fastest of {len(trials)} trials"))


def _seen(model: Model, candidate: Candidate, taps: Sequence[Tap], images: torch.Tensor) -> list[torch.Tensor]:
    with torch.no_grad():
        return list(prepared(model, candidate, taps, images.device).tap(images, taps).values())


def _exact(model: Model, taps: Sequence[Tap], images: torch.Tensor) -> list[torch.Tensor]:
    return _seen(model, Candidate("float32", "channels_last", False), taps, images)


def _key(first: Resolved, model: Model, taps: Sequence[Tap], recipe: Recipe) -> str:
    layers = ",".join(sorted({tap.layer for tap in taps}))
    asked = (recipe.precision, recipe.layout, recipe.fold, recipe.batch, first.size, first.batch)
    machine = torch.cuda.get_device_name(first.device) if first.device.startswith("cuda") else platform.machine()
    text = f"{machine} {first.threads} {first.torch} {first.device} {model.weights_hash} {layers} {asked}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def find_device(wanted: str, model: Model) -> str:
    """The device asked for; by default the network's own, or an accelerator when the network lies on the CPU."""
    available = ["cpu"]
    if torch.cuda.is_available():
        available += ["cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        available.append("mps")
    if wanted == "auto":
        if model.device.type != "cpu":
            return str(model.device)
        return available[1] if len(available) > 1 else "cpu"
    if wanted not in available:
        raise RecipeError(f"no device {wanted!r} here. There are: {', '.join(available)}.")
    return wanted


def _precisions(wanted: str, device: torch.device) -> list[Precision]:
    """What the device can do: all of it in the order of what is usually fastest, or what was asked for."""
    possible: list[Precision] = ["float32", "float64"] if device.type != "mps" else ["float32"]
    # no public query for the CPU yet; these exist since torch 2.0 and 2.3
    on_cpu = device.type == "cpu"
    if (
        torch.ops.mkldnn._is_mkldnn_bf16_supported()
        if on_cpu
        else device.type == "mps" or torch.cuda.is_bf16_supported()
    ):
        possible.insert(0, "bfloat16")
    if torch.ops.mkldnn._is_mkldnn_fp16_supported() if on_cpu else True:
        possible.insert(1 if "bfloat16" in possible else 0, "float16")
    if wanted == "auto":
        return [p for p in possible if p != "float64" and not (p == "float16" and "bfloat16" in possible)]
    if wanted not in possible:
        raise RecipeError(f"no precision {wanted!r} on {device.type} here. There are: {', '.join(possible)}.")
    return [p for p in possible if p == wanted]
