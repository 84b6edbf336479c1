"""DreamLens 0.1.1, at its defaults (method "maximize")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from protocol import Options, serve
from torch import Tensor, nn

from networks import Network

# By name: a peer is no dependency of this project but lives in an environment of its own (venvs.py).
dreamlens = import_module("dreamlens")


class DreamLens:
    """`maximize_channel`, or `maximize_channels` for a batch."""

    packages: tuple[str, ...] = ("dreamlens",)

    def __init__(self, net: nn.Module, network: Network, size: int) -> None:
        self.net, self.layer = net, network.layer

    def defaults(self) -> Mapping[str, Any]:
        """From its configuration; the image as its source has it."""
        config = dreamlens.RenderConfig()
        moves = config.transform
        return {
            "steps": config.steps,
            "learning rate": config.lr,
            "optimizer": f"AdamW, gradient norm at most {config.grad_clip} (over the whole batch)",
            "image": "fourier, decay 1, sd 0.01, Lucid's colours, sigmoid",
            "transforms": f"scale {moves.scale_min}..{moves.scale_max}, rotate ±{moves.rotate_degrees} deg, "
            "cropped or padded with zeros to size",
            "size": f"{config.width} px",
        }

    def one(self, unit: int, options: Options) -> Tensor:
        """One channel."""
        image: Tensor = self._engine().maximize_channel(self.layer, unit, config=self._config(options)).as_chw()
        return image

    def batch(self, units: Sequence[int], options: Options) -> Tensor:
        """One channel per image."""
        made = self._engine().maximize_channels(self.layer, list(units), config=self._config(options))
        images: Tensor = made.as_nchw()
        return images

    def _engine(self) -> Any:
        return dreamlens.FeatureVisualizer(self.net, quiet=True)  # it keeps the first size it transforms to

    def _config(self, options: Options) -> Any:
        settings: dict[str, Any] = {} if options.steps is None else {"steps": options.steps}
        if options.size is not None:
            settings |= {"width": options.size, "height": options.size}
        return dreamlens.RenderConfig(**settings)


if __name__ == "__main__":
    serve(DreamLens, normalises=True)
