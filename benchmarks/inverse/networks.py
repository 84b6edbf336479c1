"""The networks that the experiments look into, with their weights: those trained by `training/`, ready to be opened.

    pellucid layers benchmarks/inverse/networks.py:densenet

`training/densenet.py` and `training/srnet.py` made the weights; the cards beside them say how, and how good they are.
"""

from __future__ import annotations

import sys
from pathlib import Path

from safetensors.torch import load_file

from pellucid.models.model import Model

_TREE = Path(__file__).parents[2]
if str(_TREE) not in sys.path:  # opened as FILE.py:factory, it does not find the definitions beside its tree
    sys.path.append(str(_TREE))

from training.networks import DenseNet, SRNet  # noqa: E402

__all__ = ["densenet", "densenet_without4", "srnet"]

WEIGHTS = Path(__file__).parent / "weights"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MEAN, STD = (0.491, 0.482, 0.447), (0.247, 0.243, 0.262)  # as training/densenet.py


def densenet() -> Model:
    """DenseNet-BC (growth 12) that knows the ten classes of CIFAR-10."""
    return _densenet("densenet-all")


def densenet_without4() -> Model:
    """The same, never shown class 4."""
    return _densenet("densenet-without4")


def srnet() -> Model:
    """SRNet, which makes geometry images four times as large; its channels have their own ranges (image `geometry`)."""
    net = SRNet()
    net.load_state_dict({key: value.float() for key, value in load_file(WEIGHTS / "srnet.safetensors").items()})
    return Model(net, name="srnet", size=32, channels=5)


def _densenet(name: str) -> Model:
    net = DenseNet()
    weights = {key: value.float() for key, value in load_file(WEIGHTS / f"{name}.safetensors").items()}
    missing, unexpected = net.load_state_dict(weights, strict=False)
    if unexpected or any(not key.endswith("num_batches_tracked") for key in missing):
        raise ValueError(f"{name}.safetensors does not fit DenseNet: {missing} {unexpected}")
    return Model(net, name=name, mean=MEAN, std=STD, size=32, classes=CLASSES)
