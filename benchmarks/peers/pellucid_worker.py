"""Pellucid, at its defaults, by the same protocol as its peers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from maco_view import canvas_of, central
from protocol import Options, serve
from torch import Tensor, nn

import pellucid as pl
from networks import Network

_BOXES = (0.25, 0.3)  # shares of the canvas that Horama shows the network


class Pellucid:
    """`render` of one channel, or of several in one batch."""

    packages: tuple[str, ...] = ("pellucid",)

    def __init__(self, net: nn.Module, network: Network, size: int) -> None:
        mean, std = network.contract
        self.model = pl.Model(net, name=network.architecture, mean=mean, std=std, size=size, device="cpu")
        self.layer, self.size = network.layer, size

    def defaults(self) -> Mapping[str, Any]:
        """The default recipe, in the words of the peers' defaults and whole."""
        recipe = pl.Recipe(device="cpu")
        return {
            "steps": recipe.steps,
            "learning rate": recipe.rate,
            "optimizer": recipe.optimizer,
            "image": f"{recipe.image}, decay {recipe.decay:g}, sd {recipe.sd:g}, colours of {recipe.color}, "
            f"{recipe.squash}",
            "transforms": recipe.transforms,
            "size": "the network's",
            "precision": pl.plan(self.model, f"{self.layer}:0", recipe=recipe).resolved.precision,
            "recipe": recipe.as_dict(),
        }

    def one(self, unit: int, options: Options) -> Tensor:
        """One channel."""
        return self.batch([unit], options)[0]

    def batch(self, units: Sequence[int], options: Options) -> Tensor:
        """One channel per image."""
        settings: dict[str, Any] = {"size": options.size}
        if options.like:
            settings = self.like(options.like)
        if options.steps is not None:
            settings["steps"] = options.steps
        made = pl.render(
            self.model,
            [f"{self.layer}:{unit}" for unit in units],
            seed=options.seed,
            snapshots=options.snapshots,
            device="cpu",
            **settings,
        )
        if not options.snapshots:
            return self._seen(made.images, options)
        # A picture that ended early (not at the defaults) keeps its last state.
        kept = (torch.where(kept.isnan(), made.images, kept) for kept in made.snapshots.values())
        return torch.stack([self._seen(images, options) for images in kept])

    def like(self, peer: str) -> dict[str, Any]:
        """Our settings for what a peer does, where it is not what a default recipe does."""
        assert peer == "horama"
        box = sum(_BOXES) / 2
        transforms = f"box:{box:g},{(_BOXES[1] - _BOXES[0]) / 12**0.5:.3g},0.15,{self.size} uniform:0.1"
        return {"image": "maco", "size": canvas_of(self.size), "transforms": transforms}

    def _seen(self, images: Tensor, options: Options) -> Tensor:
        return central(images, self.size, _BOXES) if options.like else images


if __name__ == "__main__":
    serve(Pellucid, normalises=False)
