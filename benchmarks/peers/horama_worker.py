"""Horama 0.3.0, at its defaults: MACO, whose magnitudes are fixed and whose phases are optimised.

Its canvas is 1280 px, of which the network is shown crops of 320 to 384 px, resized to the network's size. So the
picture that is judged is what the network sees: the central 352 px at the network's size. Its values reach a little
beyond [0, 1] (it optimises in normalised units from -2.5 to 2.5); they are judged as they are, unclipped.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from maco_view import canvas_of, central
from protocol import Options, serve
from torch import Tensor, nn

from networks import IMAGENET, Network

# By name: a peer is no dependency of this project but lives in an environment of its own (venvs.py).
os.environ["TQDM_DISABLE"] = "1"  # its progress bar cannot be switched off otherwise; nothing else changes
horama = import_module("horama")

# Horama's template of ImageNet's magnitudes, as DreamLens carries it; the hash is in DreamLens's NOTICE.
_TEMPLATE_SHA256 = "a4810ea049ef9a0fe4e3f26660188e53222281879b333e8fd61377f7491aafc8"


def provide_template() -> None:
    """Go to a folder that holds the template under the name that Horama looks for before it downloads."""
    spec = find_spec("dreamlens")
    assert spec is not None
    assert spec.origin is not None
    template = Path(spec.origin).with_name("data") / "clean_decorrelated.npy"
    if hashlib.sha256(template.read_bytes()).hexdigest() != _TEMPLATE_SHA256:
        raise RuntimeError(f"{template} is not the template that Horama downloads")
    os.chdir(tempfile.mkdtemp(prefix="horama-"))
    shutil.copy(template, horama.maco_fv.MACO_SPECTRUM_FILENAME)


class Horama:
    """`maco` of one channel."""

    packages: tuple[str, ...] = ("horama",)

    def __init__(self, net: nn.Module, network: Network, size: int) -> None:
        self.net, self.size, self.output = net, size, torch.empty(0)
        self.signature = {key: value.default for key, value in inspect.signature(horama.maco).parameters.items()}
        net.get_submodule(network.layer).register_forward_hook(self._keep)
        provide_template()

    def _keep(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        self.output = output

    def defaults(self) -> Mapping[str, Any]:
        """From its signature."""
        return {
            "steps": self.signature["total_steps"],
            "learning rate": self.signature["learning_rate"],
            "optimizer": "NAdam",
            "image": "MACO: fixed magnitudes, free phases",
            "transforms": f"{self.signature['crops_per_iteration']} crops per step, noise {self.signature['noise']}",
            "size": f"{self.signature['image_size']} px",
        }

    def one(self, unit: int, options: Options) -> Tensor:
        """One channel: the mean over the crops of a step."""

        def objective(images: Tensor) -> Tensor:
            self.net(images)
            return self.output[:, unit].mean()

        canvas = canvas_of(self.size)  # keeps its proportion to the network's size; at 224 px it is the default
        settings = {} if options.steps is None else {"total_steps": options.steps}
        image, _ = horama.maco(objective, image_size=canvas, model_input_size=self.size, device="cpu", **settings)
        seen = central(image[None], self.size, self.signature["box_size"])[0]
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in IMAGENET)
        return seen * std + mean

    def batch(self, units: Sequence[int], options: Options) -> Tensor:
        """It makes one image at a time."""
        raise NotImplementedError("Horama makes one image at a time")


if __name__ == "__main__":
    serve(Horama, normalises=True)
