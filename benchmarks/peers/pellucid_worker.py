"""Pellucid, at its defaults, by the same protocol as its peers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from protocol import Options, serve
from torch import Tensor, nn

import pellucid as pl
from networks import Network


class Pellucid:
    """`render` of one channel, or of several in one batch."""

    packages: tuple[str, ...] = ("pellucid",)

    def __init__(self, net: nn.Module, network: Network, size: int) -> None:
        mean, std = network.contract
        self.model = pl.Model(net, name=network.architecture, mean=mean, std=std, size=size, device="cpu")
        self.layer = network.layer

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
        settings: dict[str, Any] = {} if options.steps is None else {"steps": options.steps}
        made = pl.render(
            self.model,
            [f"{self.layer}:{unit}" for unit in units],
            seed=options.seed,
            size=options.size,
            snapshots=options.snapshots,
            device="cpu",
            **settings,
        )
        if not options.snapshots:
            return made.images
        # A picture that ended early (not at the defaults) keeps its last state.
        return torch.stack([torch.where(kept.isnan(), made.images, kept) for kept in made.snapshots.values()])


if __name__ == "__main__":
    serve(Pellucid, normalises=False)
