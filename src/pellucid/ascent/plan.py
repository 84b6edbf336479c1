"""What a recipe comes to on this machine, for this network: device, precision, size, batch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import cast

import torch

from pellucid.ascent.recipe import Recipe
from pellucid.errors import RecipeError
from pellucid.models.model import Model, Precision

__all__ = ["Resolved", "resolve"]

# Pixels in one batch at which a CPU with two cores and one GPU stop gaining (8 and 64 pictures of 224 px).
_BATCH_PIXELS = {"cpu": 8 * 224 * 224, "cuda": 64 * 224 * 224, "mps": 16 * 224 * 224}
_MOST_IMAGES = 64


@dataclass(frozen=True)
class Resolved:
    """What was chosen where the recipe said "auto", and what else decides the last bits of a picture."""

    device: str
    precision: Precision
    size: tuple[int, int]
    batch: int
    threads: int
    torch: str

    @property
    def hash(self) -> str:
        """Sixteen hex digits: with model, target and recipe the key of a picture, bit for bit."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


def resolve(recipe: Recipe, model: Model, num_images: int) -> Resolved:
    """Choose device, precision, size and batch.

    Raises:
        RecipeError: a device or precision that this machine lacks; the message names what it has.
    """
    device = _device(recipe.device, model)
    size = recipe.size or model.size
    kind = torch.device(device).type
    auto = max(1, min(_MOST_IMAGES, _BATCH_PIXELS.get(kind, _BATCH_PIXELS["cpu"]) // (size[0] * size[1])))
    return Resolved(
        device=device,
        precision=_precision(recipe.precision, kind),
        size=size,
        batch=min(recipe.batch or auto, max(1, num_images)),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
    )


def _device(wanted: str, model: Model) -> str:
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


def _precision(wanted: str, device_type: str) -> Precision:
    """The precision asked for; by default bfloat16 where the hardware multiplies it, else float32."""
    has_fast_bfloat16 = (
        torch.cuda.is_bf16_supported()
        if device_type == "cuda"
        # no public query for the CPU yet; this one exists since torch 2.0
        else device_type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )
    if wanted == "auto":
        return "bfloat16" if has_fast_bfloat16 else "float32"
    if wanted == "float64" and device_type == "mps":
        raise RecipeError("no precision 'float64' on mps. There are: float32, bfloat16, float16.")
    return cast(Precision, wanted)
