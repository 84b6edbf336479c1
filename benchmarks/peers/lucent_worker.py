"""Lucent 0.1.8 with kornia 0.4.1, at its defaults."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import torch
from protocol import Options, serve
from torch import Tensor, nn

from networks import Network

# By name: a peer is no dependency of this project but lives in an environment of its own (venvs.py).
objectives, param, render = (import_module(f"lucent.optvis.{name}") for name in ("objectives", "param", "render"))


class Lucent:
    """`render_vis` of one channel, or of one channel per image of a batch."""

    packages: tuple[str, ...] = ("torch-lucent", "kornia")

    def __init__(self, net: nn.Module, network: Network, size: int) -> None:
        self.net, self.layer = net, network.layer.replace(".", "_")

    def defaults(self) -> Mapping[str, Any]:
        """Steps from its signature; the rest as its source has it."""
        thresholds = inspect.signature(render.render_vis).parameters["thresholds"].default
        return {
            "steps": max(thresholds),
            "learning rate": 0.05,
            "optimizer": "Adam",
            "image": "fourier, decay 1, sd 0.01, Lucid's colours, sigmoid",
            "transforms": "pad 12, jitter 8, scale 0.9..1.1, rotate -10..10 deg, jitter 4",
            "size": "128 px, upsampled to 224",
        }

    def one(self, unit: int, options: Options) -> Tensor:
        """One channel."""
        return self._render(objectives.channel(self.layer, unit), 1, options)[0]

    def batch(self, units: Sequence[int], options: Options) -> Tensor:
        """Image i of the batch shows units[i]: the objectives are summed."""
        each = [objectives.channel(self.layer, unit, batch=i) for i, unit in enumerate(units)]
        return self._render(objectives.Objective.sum(each), len(units), options)

    def _render(self, objective: Any, count: int, options: Options) -> Tensor:
        settings = {} if options.steps is None else {"thresholds": (options.steps,)}
        images = render.render_vis(
            self.net,
            objective,
            param_f=lambda: param.image(options.size or 128, batch=count),
            progress=False,
            show_image=False,
            **settings,
        )
        # It never takes its hooks off the network, and each further picture would pay for all of those before it.
        for module in self.net.modules():
            module._forward_hooks.clear()
        return torch.from_numpy(images[-1]).permute(0, 3, 1, 2)


if __name__ == "__main__":
    serve(Lucent, normalises=True)
