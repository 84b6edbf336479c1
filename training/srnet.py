"""Train a small SRNet, which makes geometry images four times as large, on ray-cast random surfaces.

    python training/srnet.py train  --runs ~/pellucid-runs
    python training/srnet.py export --runs ~/pellucid-runs

No data is needed: the surfaces are drawn from their seeds (`training/isosurfaces.py`) and kept below `--runs`. `train`
writes a checkpoint every 250 steps and, started again, goes on from the last one. `export` writes float16 weights and a
card, with errors beside those of bilinear enlargement, to `benchmarks/inverse/weights/`.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from isosurfaces import cast, random_surface
from networks import SRNet

WEIGHTS = Path(__file__).parents[1] / "benchmarks/inverse/weights"
_STEPS_A_CHECKPOINT = 250
_SMALL_PX, _FACTOR = 32, 4
_NUM_TRAINING, _NUM_HELD_OUT = 400, 64  # surfaces; seeds count up from 0, the held-out ones behind the others


@dataclass(frozen=True)
class Schedule:
    """One training run: Adam, half a cosine down to zero, on patches of the small pictures."""

    num_blocks: int = 10
    steps: int = 4000
    batch: int = 16
    patch_px: int = 16
    peak_rate: float = 4e-4
    seed: int = 0


def surfaces(runs: Path) -> tuple[Tensor, Tensor]:
    """Geometry images [n, 5, 32, 32], and the same [n, 5, 128, 128]: cast once, kept in a file."""
    file = runs / "srnet/surfaces.pt"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        drawn = [random_surface(seed) for seed in range(_NUM_TRAINING + _NUM_HELD_OUT)]
        small = torch.stack([cast(surface, _SMALL_PX) for surface in drawn])
        large = torch.stack([cast(surface, _SMALL_PX * _FACTOR) for surface in drawn])
        torch.save((small, large), file)
    small, large = torch.load(file, weights_only=True)
    return small, large


def patches(small: Tensor, large: Tensor, schedule: Schedule, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random surfaces, a random square of each; no flips, for they would turn normals the wrong way."""
    px, limit = schedule.patch_px, _SMALL_PX - schedule.patch_px + 1
    which = torch.randint(0, _NUM_TRAINING, (schedule.batch,), generator=generator).tolist()
    tops, lefts = torch.randint(0, limit, (2, schedule.batch), generator=generator).tolist()
    pairs = [
        (
            small[i, :, top : top + px, left : left + px],
            large[i, :, top * _FACTOR : (top + px) * _FACTOR, left * _FACTOR : (left + px) * _FACTOR],
        )
        for i, top, left in zip(which, tops, lefts, strict=True)
    ]
    return torch.stack([a for a, _ in pairs]), torch.stack([b for _, b in pairs])


def loss_of(made: Tensor, wanted: Tensor) -> Tensor:
    """Absolute errors: of normals and depth where there is a surface, of the mask everywhere."""
    mask = wanted[:, 4:]
    surface = ((made[:, :4] - wanted[:, :4]).abs() * mask).sum() / (4 * mask.sum()).clamp(min=1)
    return surface + F.l1_loss(made[:, 4:], mask)


def errors(made: Tensor, wanted: Tensor) -> dict[str, float]:
    """Mean angle between normals in degrees and mean error of depth on the surface; share of wrong mask pixels."""
    is_surface = wanted[:, 4] > 0.5
    a, b = (F.normalize(normals, dim=1) for normals in (made[:, :3], wanted[:, :3]))
    angle = 2 * torch.atan2((a - b).norm(dim=1), (a + b).norm(dim=1)).rad2deg()
    return {
        "normals_deg": round(angle[is_surface].mean().item(), 3),
        "depth": round((made[:, 3] - wanted[:, 3]).abs()[is_surface].mean().item(), 5),
        "mask": round(((made[:, 4] > 0.5) != is_surface).float().mean().item(), 5),
    }


def judged(net: nn.Module, small: Tensor, large: Tensor) -> dict[str, dict[str, float]]:
    """Errors on the held-out surfaces, beside those of bilinear enlargement."""
    small, large = small[_NUM_TRAINING:], large[_NUM_TRAINING:]
    with torch.no_grad():
        made = torch.cat([net(part) for part in small.split(8)])
    bilinear = F.interpolate(small, scale_factor=_FACTOR, mode="bilinear", align_corners=False)
    return {"network": errors(made, large), "bilinear": errors(bilinear, large)}


def train(schedule: Schedule, runs: Path) -> None:
    """Go on from the last checkpoint."""
    small, large = surfaces(runs)
    folder = runs / "srnet"
    torch.manual_seed(schedule.seed)
    net = SRNet(schedule.num_blocks).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters(), lr=schedule.peak_rate)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, schedule.steps)
    first, checkpoint = 0, folder / "last.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        rates.load_state_dict(state["rates"])
        first = state["step"]
    started, running = time.process_time(), []
    for step in range(first, schedule.steps):
        draws = torch.Generator().manual_seed(schedule.seed * 10**6 + step)
        images, wanted = patches(small, large, schedule, draws)
        with torch.autocast("cpu", torch.bfloat16):
            made = net(images.contiguous(memory_format=torch.channels_last))
        loss = loss_of(made.float(), wanted)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        rates.step()
        running.append(loss.item())
        if step % _STEPS_A_CHECKPOINT == _STEPS_A_CHECKPOINT - 1 or step == schedule.steps - 1:
            state = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "rates": rates.state_dict()}
            torch.save(state | {"step": step + 1}, folder / "next.pt")
            os.replace(folder / "next.pt", checkpoint)
            line = {
                "step": step + 1,
                "loss": round(sum(running) / len(running), 4),
                "cpu_seconds": round(time.process_time() - started),
            }
            started, running = time.process_time(), []
            with (folder / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
    print(json.dumps(judged(net, small, large)), flush=True)


def export(schedule: Schedule, runs: Path) -> None:
    """Write the weights as float16 safetensors and a card, measured with those rounded weights."""
    state = torch.load(runs / "srnet/last.pt", weights_only=True)
    half = {k: v.half().contiguous() for k, v in state["net"].items()}
    WEIGHTS.mkdir(parents=True, exist_ok=True)
    save_file(half, WEIGHTS / "srnet.safetensors")
    net = SRNet(schedule.num_blocks)
    net.load_state_dict({k: v.float() for k, v in half.items()})
    log = [json.loads(line) for line in (runs / "srnet/log.jsonl").read_text().splitlines()]
    card = {
        "name": "srnet",
        "architecture": "training.networks.SRNet",
        "parameters": sum(p.numel() for p in net.parameters()),
        "input": {"channels": "normal x, y, z; depth; mask: as training/isosurfaces.py casts them", "size_px": 32},
        "data": f"{_NUM_TRAINING} random implicit surfaces, cast at {_SMALL_PX} and {_SMALL_PX * _FACTOR} px",
        "errors": judged(net, *surfaces(runs)) | {"on": f"{_NUM_HELD_OUT} held-out surfaces"},
        "deviations": "Weiss et al. train on renderings of volumes, with shading and over time; neither is done here.",
        "recipe": asdict(schedule),
        "steps_trained": state["step"],
        "training_cpu_seconds": sum(line["cpu_seconds"] for line in log),
        "intended_use": "Experiments on inverting feature visualization of pictures that are no photos.",
    }
    (WEIGHTS / "srnet.json").write_text(json.dumps(card, indent=2) + "\n")
    print(json.dumps(card["errors"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("train", "export"))
    parser.add_argument("--runs", type=Path, required=True, help="folder for checkpoints and cast surfaces")
    parser.add_argument("--steps", type=int, default=Schedule.steps)
    parser.add_argument("--blocks", type=int, default=Schedule.num_blocks)
    arguments = parser.parse_args()
    schedule = Schedule(arguments.blocks, arguments.steps)
    act = train if arguments.action == "train" else export
    act(schedule, arguments.runs)


if __name__ == "__main__":
    main()
