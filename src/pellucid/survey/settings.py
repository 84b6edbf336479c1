"""What decides a survey's numbers, as plain data: two passes with the same settings give the same table."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.errors import TargetError, did_you_mean
from pellucid.models.model import Model, Precision
from pellucid.survey.dataset import Dataset
from pellucid.survey.summary import summarise

__all__ = ["Settings", "chosen_layers", "fast_enough_and_true", "usual_batch"]

_BATCH_PIXELS = 16 * 224 * 224  # from where a CPU with two cores stops gaining
_MOST_IMAGES = 64
_MOST_ERROR = 0.02  # of a layer's responses, relative to float32: as for pictures that are rendered


@dataclass(frozen=True)
class Settings:
    """The network, the pictures, and how they are looked at."""

    model: str
    model_hash: str
    size: tuple[int, int]
    dataset: str
    dataset_identity: str
    length: int
    layers: tuple[str, ...]
    k: int
    seed: int
    batch: int
    precision: Precision

    @classmethod
    def of(
        cls,
        model: Model,
        dataset: Dataset,
        layers: tuple[str, ...],
        k: int,
        seed: int,
        batch: int,
        precision: Precision,
    ) -> Settings:
        """The settings of a pass that is about to begin."""
        return cls(
            model=model.name,
            model_hash=model.weights_hash,
            size=model.size,
            dataset=dataset.name,
            dataset_identity=dataset.identity,
            length=len(dataset),
            layers=layers,
            k=k,
            seed=seed,
            batch=batch,
            precision=precision,
        )


def chosen_layers(model: Model, patterns: Sequence[str] | str | None) -> tuple[str, ...]:
    """The layers that names or patterns with wildcards mean, in forward order; all of them when None.

    Raises:
        TargetError: a pattern that fits no layer.
    """
    known = model.layers
    if patterns is None:
        return tuple(known)
    wanted = [patterns] if isinstance(patterns, str) else list(patterns)
    chosen: set[str] = set()
    for pattern in wanted:
        found = [name for name in known if name == pattern or fnmatch.fnmatchcase(name, pattern)]
        if not found:
            hint = did_you_mean(pattern, known)
            raise TargetError(f"no layer {pattern!r} in {model.name}.{hint} (pellucid layers {model.name} --all)")
        chosen.update(found)
    return tuple(name for name in known if name in chosen)


def usual_batch(size: tuple[int, int]) -> int:
    """Pictures looked at together."""
    return max(1, min(_MOST_IMAGES, _BATCH_PIXELS // (size[0] * size[1])))


def fast_enough_and_true(model: Model, layers: Sequence[str], images: Float[Tensor, "b c h w"]) -> Precision:
    """bfloat16 where the device computes in it and responses to these pictures stay within 2 % of float32."""
    if not len(images) or not _has_bfloat16(model.device):
        return "float32"
    exact, fast = (summarise(model.at(precision=p), images, layers).by_unit() for p in ("float32", "bfloat16"))
    first = 0
    for name in layers:
        units = slice(first, first + model.layers[name].units)
        for got, true in ((fast.means, exact.means), (fast.peaks, exact.peaks)):
            error = (got[:, units] - true[:, units]).norm() / true[:, units].norm().clamp(min=1e-12)
            if not error <= _MOST_ERROR:
                return "float32"
        first = units.stop
    return "bfloat16"


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cpu":  # no public query yet; this one exists since torch 2.0
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return device.type == "cuda" and torch.cuda.is_bf16_supported()
