"""The networks compared, as every side builds them: one state dict in a file, one input contract.

    python benchmarks/peers/networks.py googlenet FILE

writes the weights that are made here, for `pellucid bench --weights FILE`. This file runs in the peers' environments
too: it imports torch, torchvision and safetensors only.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models import get_model

__all__ = ["IMAGENET", "NETWORKS", "Network", "build", "for_peers", "save_weights"]

Contract = tuple[tuple[float, float, float], tuple[float, float, float]]  # mean and std of RGB in [0, 1]

# What Lucent, torch-dreams and DreamLens subtract and divide by, and in whose range Horama's pictures lie.
IMAGENET: Contract = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_CAFFE: Contract = ((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255, 1 / 255, 1 / 255))


@dataclass(frozen=True)
class Network:
    """A network of torchvision, the layer that is looked at, and how its pixels are normalised."""

    architecture: str
    layer: str
    contract: Contract
    settings: tuple[tuple[str, Any], ...] = ()


NETWORKS = {
    "squeezenet": Network("squeezenet1_1", "features.9", _CAFFE),
    "googlenet": Network("googlenet", "inception4c", IMAGENET, (("aux_logits", False), ("init_weights", False))),
    "resnet50": Network("resnet50", "layer3", IMAGENET),
}


def build(network: Network, weights: Path | None = None) -> nn.Module:
    """The network in evaluation mode, with the weights of a safetensors file."""
    net: nn.Module = get_model(network.architecture, weights=None, **dict(network.settings))
    if weights is not None:
        net.load_state_dict({key: value.float() for key, value in load_file(weights).items()})
    return net.eval()


def for_peers(net: nn.Module, network: Network) -> nn.Module:
    """The same function of the picture, for peers that normalise by ImageNet's mean and std: that is undone first."""
    if network.contract == IMAGENET:
        return net
    (mean, std), (own_mean, own_std) = (
        (torch.tensor(m).view(3, 1, 1), torch.tensor(s).view(3, 1, 1)) for m, s in (IMAGENET, network.contract)
    )

    def renormalise(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        return ((inputs[0] * std + mean - own_mean) / own_std,)

    net.register_forward_pre_hook(renormalise)
    return net


def save_weights(network: Network, file: Path, source: Path | None) -> str:
    """Write the weights that all sides load, and say where they come from.

    Without a source they are random: seed 0, and each batch norm's statistics taken from 16 pictures of smooth noise,
    as an untrained network's activations otherwise shrink or grow by layers.
    """
    if source is not None:
        save_file({key: value.float().contiguous() for key, value in load_file(source).items()}, file)
        return f"from {source.name}"
    torch.manual_seed(0)
    net = build(network)
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # a plain average
        norm.train()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in network.contract)
    octaves = [F.interpolate(torch.randn(16, 3, side, side), 224, mode="bicubic") for side in (4, 8, 16, 32, 64)]
    with torch.no_grad():
        net((torch.sigmoid(sum(octaves, torch.zeros(()))) - mean) / std)
    save_file({key: value.contiguous() for key, value in net.eval().state_dict().items()}, file)
    return "random (seed 0), batch norms calibrated on smooth noise"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=[name for name in NETWORKS if name != "squeezenet"], metavar="NETWORK")
    parser.add_argument("file", type=Path, metavar="FILE")
    given = parser.parse_args()
    print(save_weights(NETWORKS[given.network], given.file, None))
