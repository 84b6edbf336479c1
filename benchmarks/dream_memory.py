"""How much memory a dream of a large photo takes: peak resident memory and seconds, for two networks.

    python benchmarks/dream_memory.py                  # 2000 x 1500 px, four octaves, two steps in each
    python benchmarks/dream_memory.py --steps 12       # as long as a dream takes by default; memory is the same

Each network has a process of its own: `default` at mixed4a, and torchvision's GoogLeNet with random weights at
inception4c. The first column of memory is what the process takes before the dream begins: PyTorch and the network.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

NETWORKS = {"default": "mixed4a", "torchvision:googlenet": "inception4c"}
MIB = 2**20 if sys.platform == "darwin" else 2**10  # getrusage counts bytes there, KiB elsewhere


def peak() -> float:
    """The largest resident memory so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB


def measure(spec: str, width: int, height: int, steps: int) -> None:
    import torch

    import pellucid as pl

    model = pl.load(spec) if spec == "default" else pl.load(spec, weights="none")
    _ = model.layers
    coarse = torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(0))
    photo = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")[0]
    before, began = peak(), time.perf_counter()
    got = pl.dream(model, photo, NETWORKS[spec], steps=steps)
    seconds = time.perf_counter() - began
    tiles = " ".join(f"{octave.tile[0]}x{octave.tile[1]}" for octave in got.octaves)
    print(f"| {spec} {NETWORKS[spec]} | {tiles} | {before:.0f} | {peak():.0f} | {seconds:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=2000)
    parser.add_argument("--height", type=int, default=1500)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--only", choices=list(NETWORKS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        measure(given.only, given.width, given.height, given.steps)
        return
    print(f"{given.width} x {given.height} px, {given.steps} steps in each octave\n")
    print("| network | tiles | MiB before | MiB at most | seconds |\n| --- | --- | --- | --- | --- |", flush=True)
    for spec in NETWORKS:
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--only", spec], check=True)


if __name__ == "__main__":
    main()
