"""Model randomisation: does a picture show what was learnt, or what the architecture alone would show?"""

from __future__ import annotations

import hashlib

import torch
from torch import nn

from pellucid.models.model import Model

__all__ = ["reinitialised"]


def reinitialised(model: Model, seed: int = 0) -> Model:
    """The same network with weights as before any training, drawn anew from a seed.

    Layers with a way to start of their own (PyTorch's `reset_parameters`) start by it, their running statistics too;
    other weights are drawn from a normal distribution with their own mean and deviation.

    Source of the check: Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018, for saliency maps.
    """

    @torch.no_grad()
    def fill(module: nn.Module) -> None:
        with torch.random.fork_rng(devices=[]):
            # Not the seed itself: trained networks often started from a small one, and would be met again.
            torch.manual_seed(int.from_bytes(hashlib.sha256(f"reinitialised {seed}".encode()).digest()[:7], "little"))
            for part in module.modules():
                reset = getattr(part, "reset_parameters", None)
                if callable(reset):
                    reset()
                    continue
                for weight in part.parameters(recurse=False):
                    spread = float(weight.std()) if weight.numel() > 1 else 0.0
                    weight.copy_(weight.mean() + spread * torch.randn(weight.shape).to(weight))

    other = model.filled(fill)
    other.name = f"{model.name} re-initialised"
    return other
