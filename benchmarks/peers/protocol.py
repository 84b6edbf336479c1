"""What every worker speaks: one JSON object a line on stdin, one reply a line on stdout.

    {"load": {"network": "squeezenet", "weights": FILE, "threads": 2, "size": 224}}
        -> {"versions": {...}, "defaults": {...}, "baseline_mb": 312.1}
    {"render": {"units": [0, 1], "batch": false, "file": FILE, "steps": null, "size": 224, "seed": 0, ...}}
        -> {"seconds": [3.1, 3.0], "peak_mb": 402.3}

Pictures come back as a NumPy file [n, 3, h, w], float32, in [0, 1]. This file runs in the peers' environments too.
"""

from __future__ import annotations

import json
import os
import random
import resource
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

import networks
from networks import Network

__all__ = ["Options", "Renderer", "serve"]


@dataclass(frozen=True)
class Options:
    """What is asked of a rendering. None leaves the side's own default."""

    size: int | None
    steps: int | None
    seed: int
    snapshots: tuple[int, ...] = ()
    like: str | None = None  # a peer whose method is taken instead of the default, where a side has it


class Renderer(Protocol):
    """One side of the comparison, with a network loaded."""

    packages: tuple[str, ...]

    def defaults(self) -> Mapping[str, Any]:
        """What decides a picture when nothing is asked, read from the package itself; "steps" among it."""

    def one(self, unit: int, options: Options) -> Tensor:
        """The picture [3, h, w] of one unit."""

    def batch(self, units: Sequence[int], options: Options) -> Tensor:
        """The pictures [b, 3, h, w] of several units, made at once; with snapshots [s, b, 3, h, w]."""


def _memory_mb(field: str) -> float:
    """This process's memory now (VmRSS) or at most (VmHWM), in MB of 2**20 bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no {field} in /proc/self/status")


def _baseline_mb() -> float:
    """Memory now; the peak is counted from here on.

    Not `ru_maxrss` alone: a new process inherits it from the one that started it, and loading weights raises it.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return _memory_mb("VmRSS")


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the peers draw from it
    torch.manual_seed(seed)


def _render(side: Renderer, net: nn.Module, request: dict[str, Any]) -> dict[str, Any]:
    snapshots = tuple(request.get("snapshots", ()))
    options = Options(request["size"], request["steps"], request["seed"], snapshots, request.get("like"))
    units = request["units"]
    net.requires_grad_(not request.get("frozen", False))
    seconds, pictures = [], []
    for group in [units] if request["batch"] else [[unit] for unit in units]:
        _seed(1000 * options.seed + group[0])
        began = time.perf_counter()
        made = side.batch(group, options) if request["batch"] else side.one(group[0], options)[None]
        seconds.append(time.perf_counter() - began)
        pictures.append(made.detach().float().cpu())
    np.save(request["file"], torch.cat(pictures).numpy())
    return {"seconds": seconds, "peak_mb": _memory_mb("VmHWM")}


def serve(make: Callable[[nn.Module, Network, int], Renderer], *, normalises: bool) -> None:
    """Answer requests until stdin ends. `make` gets the network, its description and the size in px.

    Args:
        normalises: this side applies ImageNet's mean and std itself, and gets a network that expects that.
    """
    replies = os.fdopen(os.dup(1), "w")  # what libraries print goes to stderr
    os.dup2(2, 1)
    side: Renderer | None = None
    net: nn.Module | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "load" in request:
                load = request["load"]
                torch.set_num_threads(load["threads"])
                network = networks.NETWORKS[load["network"]]
                net = networks.build(network, Path(load["weights"]))
                if normalises:
                    net = networks.for_peers(net, network)
                side = make(net, network, load["size"])
                versions = {name: version(name) for name in (*side.packages, "torch", "torchvision", "numpy")}
                reply = {"versions": versions, "defaults": dict(side.defaults()), "baseline_mb": _baseline_mb()}
            else:
                assert side is not None
                assert net is not None
                reply = _render(side, net, request["render"])
        except Exception as error:  # noqa: BLE001 - whatever a peer raises is the orchestrator's to report
            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {error}"}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
