"""The front door of the inversion: pictures in, the objectives that they realise out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.ascent.jobs import ImageMaker
from pellucid.ascent.parameter_noise import shifts
from pellucid.ascent.rendering import Rendering
from pellucid.ascent.working import Candidate, prepared
from pellucid.draws import Draws
from pellucid.errors import InversionError, ModelError
from pellucid.images.image import Image
from pellucid.inverse.answers import Answer, Evidence, answered, certified, solution_of
from pellucid.inverse.critical_spaces import CriticalSpace
from pellucid.inverse.doubts import free_values
from pellucid.inverse.inversion import Inversion, gathered
from pellucid.inverse.jacobians import Linearization, linearized
from pellucid.inverse.response_of import ResponseOf
from pellucid.inverse.solve import Solution
from pellucid.inverse.subjects import Subjects, subjects_of
from pellucid.inverse.verify import Verification, reoptimised, similarity
from pellucid.models.model import Model
from pellucid.objectives.response_direction import aggregated

__all__ = ["NOISE", "NOISE_DRAWS", "evidence_of", "invert"]

NOISE, NOISE_DRAWS = 5e-3, 8
"""For pictures that were not rendered with noise: spread, in parameters, and evaluations of the averaged Jacobian."""

_CERTAIN_DEG = 1.0  # a single Jacobian whose answer is this certain needs no mean of many
_TOGETHER_BYTES = 1 << 28  # of Jacobians: so many pictures are linearized at once


def invert(
    model: Model,
    pictures: Rendering | Float[Tensor, "b c h w"],
    layer: str | None = None,
    *,
    cosine_power: int | None = None,
    aggregation: str | None = None,
    noise: float | None = None,
    noise_draws: int | None = None,
    critical_space: CriticalSpace | None = None,
    nonnegative: bool = True,
    verify: bool = False,
    make_image: ImageMaker | None = None,
    seed: int = 0,
) -> Inversion:
    """Find the objective that each picture is the feature visualization of: units of a layer with their weights.

    A picture that maximises <r, t> cos(r, t)^k has no gradient left, and the gradient is linear in t up to a factor: t
    is the direction that makes it smallest. That is not the response r: a picture of stripes excites a cross detector
    too, but it could excite that one more.

    Args:
        pictures: a `Rendering`, or pictures [b, c, h, w] in the network's value range from elsewhere.
        layer, cosine_power, aggregation: what was rendered; known of a rendering, to be named for other pictures
            ("pooled", "mean" or "centre").
        noise, noise_draws: spread of the noise on parameters, and evaluations, over which the Jacobian is averaged; 0
            takes the one at the picture. By default those of the rendering, or 5e-3 and 8, unless the Jacobian at the
            picture is certain of its answer.
        critical_space: what can be told at all, from `critical_space`; by default everything.
        nonnegative: look for weights >= 0, as objectives usually are; the plain answer is given too.
        verify: optimise the pictures on for the answers, and mark those that do not stay (SSIM).
        make_image: what made the rendering's images, where it was no recipe.

    Raises:
        InversionError: a response is zero or not finite, no gradient reaches a picture, or what it was made with is
            neither known nor given.
        TargetError: the layer is unknown.

    Source: Reinbold & Westermann, "Inverting the Feature Visualization Process for Feedforward Neural Networks", 2020;
    what ReLU networks need beyond it: docs/inverse.md.
    """
    if not isinstance(model, Model):
        raise ModelError(f"invert takes a pl.Model, not {type(model).__name__}: wrap it, pl.Model(net, mean=…, size=…)")
    subjects = subjects_of(model, pictures, layer, cosine_power, aggregation, make_image)
    setting = _setting(subjects, noise, noise_draws, critical_space, nonnegative, seed)
    free = free_values(subjects.image().detach(), subjects.image.ranges)
    answers: list[Answer] = []
    per_picture = (
        _num_units(model, subjects)
        * subjects.rendering.parameters[0].numel()
        * subjects.rendering.parameters.element_size()
    )
    together = max(1, _TOGETHER_BYTES // per_picture)
    for first in range(0, len(subjects.rendering), together):
        rows = range(first, min(first + together, len(subjects.rendering)))
        answers += _answers(model, subjects, rows, setting, [free[row] for row in rows])
    inversion = gathered(model, subjects, answers, setting.noise, setting.num_draws)
    if not verify:
        return inversion
    objectives = [inversion.objective(row) for row in range(len(inversion))]
    again = reoptimised(model, subjects.rendering, objectives, make_image=make_image)
    ssim = similarity(subjects.rendering.pictures, again.pictures)
    return replace(inversion, verification=Verification(again.images, ssim))


@dataclass(frozen=True)
class _Setting:
    """How to invert: `noise` 0 takes the Jacobian at the picture; `if_needed` means only where that is not certain."""

    noise: float
    num_draws: int
    if_needed: bool
    critical_space: CriticalSpace | None
    nonnegative: bool
    seed: int


def _setting(
    subjects: Subjects,
    noise: float | None,
    num_draws: int | None,
    space: CriticalSpace | None,
    nonnegative: bool,
    seed: int,
) -> _Setting:
    recipe = subjects.rendering.recipe
    own = recipe.parameter_noise or NOISE
    usual = recipe.refine_draws if recipe.parameter_noise else NOISE_DRAWS
    draws = usual if num_draws is None else num_draws
    if draws < 2 or draws % 2:
        raise InversionError(f"noise_draws come in pairs: an even number from 2, not {draws}")
    if noise is not None and not 0 <= noise < float("inf"):
        raise InversionError(f"noise is a number from 0, not {noise}")
    return _Setting(own if noise is None else noise, draws, noise is None, space, nonnegative, seed)


def _answers(
    model: Model, subjects: Subjects, rows: Sequence[int], setting: _Setting, free: Sequence[int]
) -> list[Answer]:
    """The answers of some pictures, whose Jacobians are in memory at once."""
    family, residuals = subjects.family, subjects.residuals
    solve = partial(
        solution_of,
        cosine_power=family.cosine_power,
        critical_space=setting.critical_space,
        nonnegative=setting.nonnegative,
    )
    chosen: list[tuple[Evidence, Solution, Solution | None]] = []
    certificates: list[float | None] = []
    for row, evidence in zip(rows, _evidence(model, subjects, rows, [None]), strict=True):
        evidence.check(subjects.rendering.targets[row], family.layer)
        alone = solve(evidence)
        chosen.append((evidence, alone, None))
        certificates.append(certified(evidence, alone, residuals[row]))
    open_rows = [
        place
        for place, bound in enumerate(certificates)
        if setting.noise and not (setting.if_needed and bound is not None and bound <= _CERTAIN_DEG)
    ]
    if open_rows:
        means = _evidence(model, subjects, [rows[place] for place in open_rows], None, setting)
        for place, evidence in zip(open_rows, means, strict=True):
            evidence.check(subjects.rendering.targets[rows[place]], family.layer)
            chosen[place] = (evidence, solve(evidence), chosen[place][1])
            certificates[place] = None  # it speaks of the Jacobian at the picture
    sign_is_open = bool(family.cosine_power % 2) and not setting.nonnegative
    return [
        answered(
            evidence,
            solution,
            alone,
            certificate=certificates[place],
            num_free=free[place],
            known=subjects.doubts[rows[place]],
            critical_space=setting.critical_space,
            sign_is_open=sign_is_open,
        )
        for place, (evidence, solution, alone) in enumerate(chosen)
    ]


def _evidence(
    model: Model,
    subjects: Subjects,
    rows: Sequence[int],
    around: Sequence[None] | None,
    setting: _Setting | None = None,
) -> list[Evidence]:
    """What the responses and Jacobians of some pictures come to, at them or on average around them."""
    shifted: Sequence[Tensor | None] = around or ()
    flat = subjects.rendering.parameters[list(rows)]
    if around is None and setting is not None:
        keys = [f"{subjects.rendering.realizations[row].key} inversion {setting.seed}" for row in rows]
        shifted = shifts(Draws.from_keys(keys), setting.noise, setting.num_draws, flat)
    return [Evidence.of(one) for one in _linearizations(model, subjects, rows, flat, shifted)]


def _linearizations(
    model: Model, subjects: Subjects, rows: Sequence[int], flat: Tensor, shifted: Sequence[Tensor | None]
) -> list[Linearization]:
    response = aggregated(subjects.family.layer, subjects.family.aggregation)
    is_exact = flat.dtype == torch.float64
    candidate = Candidate("float64" if is_exact else "float32", "channels_last", not is_exact)
    worker = prepared(model, candidate, [response.tap], model.device)

    def image_of(count: int) -> Image:
        return subjects.image_of(count).to(model.device)

    function = ResponseOf(worker, image_of, response, subjects.family.units)
    height, width = subjects.image.size
    around = [None if shift is None else shift.to(model.device) for shift in shifted]
    return linearized(function, flat.to(model.device), around, height * width, _num_units(model, subjects))


def _num_units(model: Model, subjects: Subjects) -> int:
    family = subjects.family
    return family.units or model.layer(family.layer, subjects.image.size).units


def evidence_of(
    model: Model,
    pictures: Rendering | Float[Tensor, "b c h w"],
    layer: str | None = None,
    *,
    cosine_power: int | None = None,
    aggregation: str | None = None,
    noise: float | None = None,
    noise_draws: int | None = None,
    make_image: ImageMaker | None = None,
    seed: int = 0,
) -> list[Evidence]:
    """What `invert` rests on, picture by picture: the response and the Gram matrix of its Jacobian, J J^T.

    The Gram matrices are what `critical_space(…, are_grams=True)` takes. `noise` 0 takes the Jacobian at the picture.

    Raises:
        InversionError: as `invert`.
    """
    subjects = subjects_of(model, pictures, layer, cosine_power, aggregation, make_image)
    setting = _setting(subjects, noise, noise_draws, None, False, seed)
    around: Sequence[None] | None = None if setting.noise else [None]
    found: list[Evidence] = []
    for row in range(len(subjects.rendering)):
        found += _evidence(model, subjects, [row], around, setting)
        found[-1].check(subjects.rendering.targets[row], subjects.family.layer)
    return found
