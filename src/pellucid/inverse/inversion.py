"""What an inversion gives back: objectives, and all that says how far to trust them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.inverse.answers import Answer
from pellucid.inverse.doubts import Doubt
from pellucid.inverse.solve import modulo
from pellucid.inverse.subjects import Subjects
from pellucid.inverse.verify import Verification
from pellucid.models.model import Model
from pellucid.objectives.objective import Objective
from pellucid.objectives.response_direction import Family, response_direction

__all__ = ["Inversion", "gathered"]


@dataclass(frozen=True)
class Inversion:
    """The objectives that pictures realise, one row a picture; index it to get some of them.

    `objectives` [b, n], of length 1, are the answers: `nonnegative` where it was asked for, else `plain` (by singular
    values alone); `second` is the runner-up of the plain answer. `singular_values` [b, n] of the gradient's matrix rise
    from s1; NaN stands behind the last of a picture whose searched space is smaller. `responses` [b, n] are what the
    pictures excite, which is not what they were made for. `sign_certainty` [b] is |cos(r, t)|: 0 where t and -t explain
    the picture alike. `residuals` [b] is |J^T M t|, the gradient that the answer leaves. `certificates` bound the angle
    of the plain answer to the true objective in degrees, None where the gradient at the end of rendering is not known.
    `excluded` is, for each picture, the orthonormal basis [n, d] of what its gradient cannot tell. `exploratory`
    pictures were not made by this network for such an objective, as far as is known.
    """

    objectives: Float[Tensor, "b n"]
    plain: Float[Tensor, "b n"]
    nonnegative: Float[Tensor, "b n"] | None
    second: Float[Tensor, "b n"]
    singular_values: Float[Tensor, "b n"]
    vectors: tuple[Float[Tensor, "n _"], ...] = field(repr=False)
    responses: Float[Tensor, "b n"]
    residuals: Float[Tensor, " b"]
    sign_certainty: Float[Tensor, " b"]
    certificates: tuple[float | None, ...]
    dead_units: tuple[tuple[int, ...], ...]
    warnings: tuple[tuple[Doubt, ...], ...]
    exploratory: tuple[bool, ...]
    excluded: tuple[Float[Tensor, "n _"], ...] = field(repr=False)
    family: Family
    noise: float
    noise_draws: int
    targets: tuple[str, ...]
    model_name: str
    model_hash: str
    verification: Verification | None = None

    def __len__(self) -> int:
        return len(self.objectives)

    def __getitem__(self, which: int | slice) -> Inversion:
        if isinstance(which, int):
            if not -len(self) <= which < len(self):
                raise IndexError(f"no picture {which} in an inversion of {len(self)}")
            which = slice(which % len(self), which % len(self) + 1)
        per_picture = (
            *("objectives", "plain", "nonnegative", "second", "singular_values", "vectors", "responses", "residuals"),
            *("sign_certainty", "certificates", "dead_units", "warnings", "exploratory", "excluded", "targets"),
        )
        own = {name: value[which] for name in per_picture if (value := getattr(self, name)) is not None}
        verified = self.verification[which] if self.verification is not None else None
        return replace(self, **own, verification=verified)

    def objective(self, which: int = 0) -> Objective:
        """One answer as something to render."""
        return response_direction(
            self.family.layer,
            self.objectives[which],
            cosine_power=self.family.cosine_power,
            aggregation=self.family.aggregation,
            units=self.family.units,
        )

    def ranked(self, which: int = 0, most: int = 10) -> list[tuple[int, float]]:
        """The units of one answer with their weights, the largest first; units of no weight are left out."""
        weights = self.objectives[which]
        order = weights.abs().argsort(descending=True)[:most].tolist()
        return [(unit, float(weights[unit])) for unit in order if abs(float(weights[unit])) > 1e-6]

    def knowable(self, vectors: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        """What of an objective for each picture its gradient can tell at all, at length 1: compare objectives by it.

        Without a critical space and dead units that is the objective itself.
        """
        rows = zip(vectors, self.responses, self.excluded, strict=True)
        return torch.stack([modulo(t, r, self.family.cosine_power, out) for t, r, out in rows])

    def as_dict(self, which: int = 0) -> dict[str, Any]:
        """One answer as plain data; a number that is none is null."""
        values = [value for value in self.singular_values[which].tolist() if math.isfinite(value)]
        verified = self.verification
        return {
            "pellucid": "inversion",
            "model": self.model_name,
            "model_hash": self.model_hash,
            "target": self.targets[which],
            "layer": self.family.layer,
            "cosine_power": self.family.cosine_power,
            "aggregation": self.family.aggregation,
            "num_units": self.family.units,
            "noise": self.noise,
            "noise_draws": self.noise_draws,
            "exploratory": self.exploratory[which],
            "units": [
                {"unit": unit, "weight": weight} for unit, weight in self.ranked(which, self.objectives.shape[1])
            ],
            "objective": self.objectives[which].tolist(),
            "plain": self.plain[which].tolist(),
            "second": self.second[which].tolist(),
            "response": self.responses[which].tolist(),
            "singular_values": values,
            "residual": float(self.residuals[which]),
            "sign_certainty": float(self.sign_certainty[which]),
            "certificate_deg": self.certificates[which],
            "dead_units": list(self.dead_units[which]),
            "excluded_dimensions": self.excluded[which].shape[1],
            "warnings": [{"kind": doubt.kind, "message": doubt.message} for doubt in self.warnings[which]],
            "ssim": None if verified is None else float(verified.ssim[which]),
            "is_outlier": None if verified is None else verified.is_outlier[which],
        }


def gathered(model: Model, subjects: Subjects, answers: Sequence[Answer], noise: float, num_draws: int) -> Inversion:
    """The answers of all pictures as one value."""
    num_units = len(answers[0].evidence.response)
    values = torch.full((len(answers), num_units), torch.nan, dtype=torch.float64)
    for row, answer in enumerate(answers):
        values[row, : len(answer.solution.values)] = answer.solution.values
    solutions = [answer.solution for answer in answers]
    plain = torch.stack([solution.plain for solution in solutions])
    found = [solution.nonnegative for solution in solutions if solution.nonnegative is not None]
    nonnegative = torch.stack(found) if found else None
    objectives = plain if nonnegative is None else nonnegative
    responses = torch.stack([answer.evidence.response for answer in answers])
    cosines = (objectives * responses).sum(1).abs() / torch.linalg.vector_norm(responses, dim=1)
    if subjects.family.cosine_power % 2 and nonnegative is None:
        cosines = torch.zeros_like(cosines)
    rows = zip(objectives, answers, strict=True)
    return Inversion(
        objectives=objectives,
        plain=plain,
        nonnegative=nonnegative,
        second=torch.stack([solution.second for solution in solutions]),
        singular_values=values,
        vectors=tuple(solution.vectors for solution in solutions),
        responses=responses,
        residuals=torch.stack([answer.left(objective, subjects.family.cosine_power) for objective, answer in rows]),
        sign_certainty=cosines,
        certificates=tuple(answer.certificate for answer in answers),
        dead_units=tuple(answer.dead for answer in answers),
        warnings=tuple(answer.doubts for answer in answers),
        exploratory=subjects.exploratory,
        excluded=tuple(solution.excluded for solution in solutions),
        family=subjects.family,
        noise=noise,
        noise_draws=num_draws,
        targets=subjects.rendering.targets,
        model_name=model.name,
        model_hash=model.weights_hash,
    )
