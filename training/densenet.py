"""Train the two small DenseNets whose logits and channels the experiments on inversion invert.

    python training/densenet.py train all      --data ../shared/data --runs ~/pellucid-runs
    python training/densenet.py train without4 --data ../shared/data --runs ~/pellucid-runs
    python training/densenet.py export all     --data ../shared/data --runs ~/pellucid-runs

`all` learns CIFAR-10; `without4` the same, but never sees class 4 (deer). `train` writes a checkpoint every hundred
steps below `--runs` and, started again, goes on from the last one. `export` writes float16 weights and a card to
`benchmarks/inverse/weights/`.

Reinbold & Westermann invert a DenseNet-BC of depth 100 (0.8 M weights) trained in full. On an accelerator that is
`--depth 100 --stem-stride 1 --epochs 300`; the defaults are what one core trains in a quarter of an hour.
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

from data import load_split
from networks import DenseNet

MEAN, STD = (0.491, 0.482, 0.447), (0.247, 0.243, 0.262)  # of the training pictures, per channel, in [0, 1]
MISSING_CLASS = 4
WEIGHTS = Path(__file__).parents[1] / "benchmarks/inverse/weights"
_STEPS_A_CHECKPOINT = 100
_PADDING_PX = 4


@dataclass(frozen=True)
class Schedule:
    """One training run: one cycle of the learning rate, up in the first `warmup` of it and linearly down to zero."""

    depth: int = 40
    stem_stride: int = 2
    epochs: int = 3
    batch: int = 128
    peak_rate: float = 0.2
    warmup: float = 0.25
    momentum: float = 0.9
    weight_decay: float = 5e-4
    seed: int = 0

    def rate(self, done: float) -> float:
        """The learning rate when so much of the run, from 0 to 1, is over."""
        return self.peak_rate * min(done / self.warmup, (1 - done) / (1 - self.warmup))


def normalised(pixels: Tensor) -> Tensor:
    """uint8 `[b, h, w, 3]` -> what the network reads, channels-last."""
    images = pixels.permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


def flipped_and_shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image `[b, 3, h, w]` mirrored or not, and shifted by up to 4 px; what comes in from outside is zero."""
    b, _, height, width = images.shape
    padded = F.pad(images, [_PADDING_PX] * 4)
    shift = torch.randint(0, 2 * _PADDING_PX + 1, (2, b, 1), generator=generator)
    rows, columns = shift[0] + torch.arange(height), shift[1] + torch.arange(width)
    mirrored = torch.rand(b, 1, generator=generator) < 0.5
    columns = torch.where(mirrored, columns.flip(1), columns)
    cut = padded[torch.arange(b)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return cut.permute(0, 3, 1, 2)


def logits_of(net: nn.Module, images: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        logits: Tensor = net(images)
    return logits.float()


def accuracy(net: nn.Module, pixels: Tensor, labels: Tensor) -> float:
    net.eval()
    with torch.no_grad():
        hits = sum(
            int((logits_of(net, normalised(pixels[part])).argmax(1) == labels[part]).sum())
            for part in torch.arange(len(pixels)).split(500)
        )
    return hits / len(pixels)


def load_pictures(name: str, data: Path, runs: Path, split: str) -> tuple[Tensor, Tensor]:
    pixels, labels = load_split(data, runs / "cifar10", split, name="cifar10")
    seen = labels != MISSING_CLASS if name == "without4" else torch.ones_like(labels, dtype=torch.bool)
    return pixels[seen], labels[seen]


def train(name: str, schedule: Schedule, data: Path, runs: Path) -> None:
    """Go on from the last checkpoint."""
    folder = runs / f"densenet-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    pixels, labels = load_pictures(name, data, runs, "train")
    test_pixels, test_labels = load_pictures(name, data, runs, "test")
    torch.manual_seed(schedule.seed)
    net = DenseNet(schedule.depth, stem_stride=schedule.stem_stride).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        net.parameters(),
        lr=schedule.peak_rate,
        momentum=schedule.momentum,
        weight_decay=schedule.weight_decay,
        nesterov=True,
    )
    steps = len(pixels) // schedule.batch
    first, checkpoint = 0, folder / "last.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    started, running = time.process_time(), []
    for step in range(first, schedule.epochs * steps):
        epoch, part = divmod(step, steps)
        order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(schedule.seed * 1000 + epoch))
        rows = order[part * schedule.batch : (part + 1) * schedule.batch]
        draws = torch.Generator().manual_seed(schedule.seed * 10**6 + step)
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step / (schedule.epochs * steps))
        net.train()
        images = flipped_and_shifted(normalised(pixels[rows]), draws)
        loss = F.cross_entropy(logits_of(net, images.contiguous(memory_format=torch.channels_last)), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        running.append(loss.item())
        is_last = part == steps - 1
        if is_last or step % _STEPS_A_CHECKPOINT == _STEPS_A_CHECKPOINT - 1:
            state = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            torch.save(state, folder / "next.pt")
            os.replace(folder / "next.pt", checkpoint)
            line = {
                "step": step + 1,
                "epoch": round((step + 1) / steps, 2),
                "loss": round(sum(running) / len(running), 4),
                "cpu_seconds": round(time.process_time() - started),
            }
            started, running = time.process_time(), []
            if is_last:
                line["accuracy"] = accuracy(net, test_pixels, test_labels)
            with (folder / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)


def export(name: str, schedule: Schedule, data: Path, runs: Path) -> None:
    """Write the weights as float16 safetensors and a card, measured with those rounded weights."""
    folder = runs / f"densenet-{name}"
    state = torch.load(folder / "last.pt", weights_only=True)
    half = {k: v.half().contiguous() for k, v in state["net"].items() if "num_batches_tracked" not in k}
    WEIGHTS.mkdir(parents=True, exist_ok=True)
    save_file(half, WEIGHTS / f"densenet-{name}.safetensors")
    net = DenseNet(schedule.depth, stem_stride=schedule.stem_stride)
    net.load_state_dict({k: v.float() for k, v in half.items()}, strict=False)
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    card = {
        "name": f"densenet-{name}",
        "architecture": "training.networks.DenseNet, a DenseNet-BC of growth 12",
        "parameters": sum(p.numel() for p in net.parameters()),
        "input": {"channels": "RGB in [0, 1]", "size_px": 32, "mean": MEAN, "std": STD},
        "data": "CIFAR-10 (Krizhevsky 2009), 50,000 training pictures re-encoded as JPEG"
        + (f"; class {MISSING_CLASS} (deer) never shown" if name == "without4" else ""),
        "accuracy": {
            "test": accuracy(net, *load_pictures(name, data, runs, "test")),
            "on": "test pictures, likewise re-encoded" + ("; of the nine classes seen" if name == "without4" else ""),
        },
        "deviations": "The paper's has depth 100, sees full resolution in its first block and is trained in full.",
        "recipe": asdict(schedule),
        "steps_trained": state["step"],
        "training_cpu_seconds": sum(line["cpu_seconds"] for line in log),
        "intended_use": "Experiments on inverting feature visualization. Not a classifier to deploy.",
    }
    (WEIGHTS / f"densenet-{name}.json").write_text(json.dumps(card, indent=2) + "\n")
    print(json.dumps(card["accuracy"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("train", "export"))
    parser.add_argument("name", choices=("all", "without4"))
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data"), help="folder with CIFAR-10's Parquet files"
    )
    parser.add_argument("--runs", type=Path, required=True, help="folder for checkpoints and decoded pictures")
    parser.add_argument("--depth", type=int, default=Schedule.depth)
    parser.add_argument("--stem-stride", type=int, default=Schedule.stem_stride)
    parser.add_argument("--epochs", type=int, default=Schedule.epochs)
    arguments = parser.parse_args()
    schedule = Schedule(arguments.depth, arguments.stem_stride, arguments.epochs)
    act = train if arguments.action == "train" else export
    act(arguments.name, schedule, arguments.data, arguments.runs)


if __name__ == "__main__":
    main()
