"""Measure Pellucid against its peers: same network, units, size and machine, taking turns in one run.

    python benchmarks/peers --squeezenet ../shared/models/squeezenet1_1-imagenet.safetensors --out peers

See README.md in this folder for what is measured and how.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import signal
import sys
import tempfile
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from judge import Judge
from process import Worker, WorkerError
from report import write_report
from sheet import write_sheets
from venvs import PEERS, python_of

from measure import OURS, Pictures, Plan, equal_steps, reach
from networks import NETWORKS, save_weights

_PARTS = ("reach", "equal", "memory")


def numbers(text: str) -> tuple[int, ...]:
    """'0-3,7' as (0, 1, 2, 3, 7)."""
    found: list[int] = []
    for part in text.split(","):
        low, _, high = part.partition("-")
        found += range(int(low), int(high or low) + 1)
    return tuple(found)


def peer_units(text: str) -> tuple[str, tuple[int, ...]]:
    """'horama=0-3' as ('horama', (0, 1, 2, 3))."""
    name, _, units = text.partition("=")
    if name not in PEERS:
        raise argparse.ArgumentTypeError(f"no peer {name!r}; there are: {', '.join(PEERS)}")
    return name, numbers(units)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python benchmarks/peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = Plan(())
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--parts", nargs="+", choices=_PARTS, default=list(_PARTS), help="what is measured")
    parser.add_argument("--units", type=numbers, default=numbers("0-31"), help="channels, such as 0-31 or 0-3,7")
    parser.add_argument(
        "--peer-units", type=peer_units, nargs="+", default=[], help="fewer for a slow peer: horama=0-3"
    )
    parser.add_argument("--rounds", type=int, default=default.rounds, help="repetitions with other seeds")
    parser.add_argument("--block", type=int, default=default.block, help="units per turn, and images in our batch")
    parser.add_argument("--size", type=int, default=default.size, help="px")
    parser.add_argument("--native", action="store_true", help="peers at their own default size instead")
    parser.add_argument("--our-steps", type=int, help="instead of our default")
    parser.add_argument("--peer-steps", type=int, help="instead of every peer's default")
    parser.add_argument("--every", type=int, default=default.every, help="steps between our snapshots")
    parser.add_argument("--draws", type=int, default=default.draws, help="draws of the judge's transforms")
    parser.add_argument("--steps-equal", type=int, default=default.steps_equal)
    parser.add_argument("--images-equal", type=int, default=default.images_equal)
    parser.add_argument("--memory-batches", type=int, nargs="+", default=list(default.memory_batches))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of every process")
    parser.add_argument("--out", type=Path, default=Path("peers"))
    parser.add_argument("--venvs", type=Path, default=Path.home() / ".cache" / "pellucid" / "peers")
    parser.add_argument("--squeezenet", type=Path, help="safetensors file of SqueezeNet 1.1's trained weights")
    given = parser.parse_args()
    if "squeezenet" in given.networks and given.squeezenet is None:
        parser.error("squeezenet needs trained weights: --squeezenet FILE (or --networks googlenet resnet50)")
    return given


def hardware() -> dict[str, Any]:
    """What this machine is."""
    cpu = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    return {
        "cpu": cpu[0] if cpu else platform.processor(),
        "cores": os.cpu_count(),
        "cores_given": len(os.sched_getaffinity(0)),
        "memory_gb": round(int(memory.split()[1]) / 2**20, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


class Run:
    """One run: workers are started, measured and ended; results are written after every step."""

    def __init__(self, given: argparse.Namespace, scratch: Path) -> None:
        self.given, self.scratch = given, scratch
        names = [field for field in vars(given) if field in Plan.__dataclass_fields__]
        settings = {name: getattr(given, name) for name in names}
        settings |= {"memory_batches": tuple(given.memory_batches), "peer_units": dict(given.peer_units)}
        self.plan = Plan(**settings)
        self.pythons = {name: python_of(name, given.venvs) for name in given.peers}
        self.results: dict[str, Any] = {
            "command": shlex.join(["python", *sys.argv]),
            "began": _now(),
            "load_average_before": os.getloadavg(),
            "hardware": hardware(),
            "threads": given.threads,
            "plan": vars(self.plan),
            "sides": {},
            "networks": {},
        }

    def start(self, name: str) -> Worker:
        """A fresh process of one side."""
        script = "pellucid_worker.py" if name == OURS else PEERS[name].worker
        log = self.given.out / "logs" / f"{name}.log"
        return Worker(self.pythons.get(name, sys.executable), script, self.given.threads, log)

    def load(self, worker: Worker, network: str, weights: Path) -> dict[str, Any]:
        """Load a network into it."""
        size, threads = self.plan.size, self.given.threads
        return worker.ask(load={"network": network, "weights": str(weights), "threads": threads, "size": size})

    def network(self, name: str) -> None:
        """Measure everything on one network."""
        weights = self.scratch / f"{name}.safetensors"
        source = self.given.squeezenet if name == "squeezenet" else None
        found: dict[str, Any] = {
            "layer": NETWORKS[name].layer,
            "weights": save_weights(NETWORKS[name], weights, source),
        }
        found |= {"reach": [], "equal": [], "memory": [], "errors": {}}
        self.results["networks"][name] = found
        with ExitStack() as stack:
            sides = self._warm_sides(stack, name, weights, found)
            if "reach" in self.given.parts:
                pictures: Pictures = {}
                judge = Judge(NETWORKS[name], weights, self.plan.size)
                steps = self.plan.our_steps or self.results["sides"][OURS]["defaults"]["steps"]
                for block in reach(sides, judge, self.plan, steps, self.scratch, pictures):
                    found["reach"].append(block)
                    self.write(f"{name}: units {block['units'][0]}-{block['units'][-1]}, round {block['round']}")
                write_sheets(name, pictures, found["reach"], self.given.out)
            if "equal" in self.given.parts:
                batches = {side: side == OURS or PEERS[side].makes_batches for side in sides}
                found["equal"] = equal_steps(sides, self.plan, self.scratch, batches)
                self.write(f"{name}: equal steps")
        if "memory" in self.given.parts:
            for side in sides:
                self._memory(side, name, weights, found)
                self.write(f"{name}: memory of {side}")

    def _warm_sides(self, stack: ExitStack, network: str, weights: Path, found: dict[str, Any]) -> dict[str, Worker]:
        """All sides with the network loaded and two steps behind them; a peer that cannot is named and left out."""
        sides = {}
        for name in (OURS, *self.given.peers):
            worker = stack.enter_context(self.start(name))
            try:
                reply = self.load(worker, network, weights)
                units = self.plan.units[: self.plan.block] if name == OURS else self.plan.units[:1]
                worker.ask(render=self.plan.render(name, units, self.scratch / "warm.npy", steps=2))
            except WorkerError as error:
                found["errors"][name] = str(error)
                continue
            self.results["sides"][name] = {"versions": reply["versions"], "defaults": reply["defaults"]}
            sides[name] = worker
        return sides

    def _memory(self, side: str, network: str, weights: Path, found: dict[str, Any]) -> None:
        """Peak of a fresh process above what it held with the network loaded, by pictures asked for at once."""
        for batch in self.plan.memory_batches:
            if batch > 1 and side != OURS and not PEERS[side].makes_batches:
                continue
            row: dict[str, Any] = {"side": side, "batch": batch}
            with self.start(side) as worker:
                try:
                    baseline = self.load(worker, network, weights)["baseline_mb"]
                    changes = {"steps": 3, "batch": batch > 1 or side == OURS}
                    request = self.plan.render(side, list(range(batch)), self.scratch / "memory.npy", **changes)
                    row["peak_mb"] = worker.ask(render=request)["peak_mb"] - baseline
                except WorkerError as error:
                    row["error"] = str(error)
            found["memory"].append(row)

    def write(self, done: str) -> None:
        """Save what there is."""
        print(f"{_now()} {done}", flush=True)
        self.results |= {"ended": _now(), "load_average_after": os.getloadavg()}
        (self.given.out / "results.json").write_text(json.dumps(self.results, indent=1))
        (self.given.out / "report.md").write_text(write_report(self.results))


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def main() -> None:
    given = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # workers that are stopped would outlive us
    (given.out / "logs").mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory(prefix="peers-") as scratch:
        run = Run(given, Path(scratch))
        for network in given.networks:
            run.network(network)
    print(given.out / "report.md")


if __name__ == "__main__":
    main()
