"""torch-dreams 4.0, at its defaults."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import torch
from protocol import Options, serve
from torch import Tensor, nn

from networks import Network

# By name: a peer is no dependency of this project but lives in an environment of its own (venvs.py).
Dreamer = import_module("torch_dreams").Dreamer
BatchedAutoImageParam = import_module("torch_dreams.batched_image_param").BatchedAutoImageParam
BatchedObjective = import_module("torch_dreams.batched_objective").BatchedObjective


def channel(unit: int) -> Callable[[list[Tensor]], Tensor]:
    """Its README's objective for a channel."""
    return lambda outputs: -outputs[0][:, unit].mean()


class TorchDreams:
    """`Dreamer.render` of one channel, or with its batched parameter and objective."""

    packages: tuple[str, ...] = ("torch-dreams", "opencv-python-headless")

    def __init__(self, net: nn.Module, network: Network, size: int) -> None:
        self.dreamer = Dreamer(net, quiet=True, device="cpu")
        self.layers = [net.get_submodule(network.layer)]

    def defaults(self) -> Mapping[str, Any]:
        """From its signature; what that does not say as its source has it."""
        signature = {key: value.default for key, value in inspect.signature(Dreamer.render).parameters.items()}
        return {
            "steps": signature["iters"],
            "learning rate": signature["lr"],
            "optimizer": f"AdamW, gradient norm at most {signature['grad_clip']}",
            "image": "fourier, decay 1.5 (0.75 of squared frequency), sd 0.01, Lucid's colours, sigmoid",
            "transforms": f"rotate ±{signature['rotate_degrees']} deg, scale of height and width each "
            f"{signature['scale_min']}..{signature['scale_max']}",
            "size": f"{signature['width']} px",
        }

    def one(self, unit: int, options: Options) -> Tensor:
        """One channel."""
        settings: dict[str, Any] = {} if options.steps is None else {"iters": options.steps}
        if options.size is not None:
            settings |= {"width": options.size, "height": options.size}
        image: Tensor = self.dreamer.render(layers=self.layers, custom_func=channel(unit), **settings).to_chw_tensor()
        return image

    def batch(self, units: Sequence[int], options: Options) -> Tensor:
        """One channel per image."""
        settings = {} if options.steps is None else {"iters": options.steps}
        side = options.size or 256
        images = self.dreamer.render(
            layers=self.layers,
            image_parameter=BatchedAutoImageParam(batch_size=len(units), height=side, width=side, device="cpu"),
            custom_func=BatchedObjective([channel(unit) for unit in units]),
            **settings,
        )
        return torch.stack([images[i].to_chw_tensor() for i in range(len(units))])


if __name__ == "__main__":
    serve(TorchDreams, normalises=True)
