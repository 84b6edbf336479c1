"""Train the embedded networks on Tiny ImageNet.

    python training/embedded.py train plain  --data ../shared/data --runs ~/pellucid-runs
    python training/embedded.py train robust --data ../shared/data --runs ~/pellucid-runs
    python training/embedded.py export --data ../shared/data --runs ~/pellucid-runs

`train` writes a checkpoint after every epoch below `--runs` and, started again, goes on from the last one. `robust`
starts from the finished `plain` network, and both from `--start FILE` where it is given (in a new folder of `--runs`):
the shipped weights can be trained on. `export` measures those that `--runs` holds,
and writes their float16 weights and model cards to `src/pellucid/assets/`.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, update_bn

from data import augmented, load_split
from pellucid.models.embedded import SmallInception

MEAN, STD = (0.480, 0.449, 0.398), (0.274, 0.267, 0.280)  # of the training pictures, per channel, in [0, 1]
_AVERAGED_STEPS = 50
_NORM_PICTURES = 10_000  # that batch norms of averaged weights are estimated on
ASSETS = Path(__file__).parents[1] / "src/pellucid/assets"


@dataclass(frozen=True)
class Schedule:
    """One training run; `sizes_px` has one entry per epoch (small pictures first are cheaper and cost no accuracy)."""

    sizes_px: tuple[int, ...]
    peak_rate: float
    warmup_epochs: float
    batch: int = 128
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    averaged: bool = False  # keep the peak rate to the end, and take the mean of the weights after every 50 steps
    epsilon: float = 0.0  # L-infinity radius of the one-step attack, in [0, 1] pixels; 0 trains on clean pictures
    seed: int = 0

    def rate(self, epoch: float) -> float:
        """The learning rate at a fractional epoch: linear warm-up, then half a cosine down to zero (averaged: none)."""
        if epoch < self.warmup_epochs:
            return self.peak_rate * epoch / self.warmup_epochs
        if self.averaged:
            return self.peak_rate
        done = (epoch - self.warmup_epochs) / (len(self.sizes_px) - self.warmup_epochs)
        return self.peak_rate * 0.5 * (1 + math.cos(math.pi * done))


SCHEDULES = {
    "plain": Schedule(sizes_px=(64,) * 2, peak_rate=0.02, warmup_epochs=0.1, averaged=True, seed=3),
    "robust": Schedule(sizes_px=(48, 64, 64), peak_rate=0.04, warmup_epochs=0.3, epsilon=2 / 255),
}


# How the shipped weights came about: the schedules above are the last parts of it.
HISTORY = {
    "plain": "Four runs, each from the weights of the one before, 45 epochs. The first three end in half a cosine: 10 "
    "epochs at 48 px and 3 at 64 px, peak rate 0.2 (epochs 0-3: batches of 256, 0.4); 10 and 8, peak 0.15; 6 and 6, "
    "peak 0.08. The last averages weights, as stated. At last batch norms are estimated on 10,000 whole pictures.",
    "robust": "From the weights of plain, as stated; batch norms as there.",
}


def normalised(images: Tensor) -> Tensor:
    """Images `[b, 3, h, w]` in [0, 1] -> what the network reads, channels-last."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


def loss_of(net: nn.Module, images: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        logits = net(normalised(images))
    return F.cross_entropy(logits.float(), labels, label_smoothing=smoothing)


def one_step_attack(net: nn.Module, images: Tensor, labels: Tensor, epsilon: float) -> Tensor:
    """Images moved within `epsilon` against their label: random start, one signed gradient step of 1.25 epsilon.

    Source: Wong et al., "Fast is better than free", ICLR 2020.
    """
    delta = torch.empty_like(images).uniform_(-epsilon, epsilon).requires_grad_()
    (gradient,) = torch.autograd.grad(loss_of(net, images + delta, labels), delta)
    moved = (delta + 1.25 * epsilon * gradient.sign()).clamp(-epsilon, epsilon).detach()
    return (images + moved).clamp(0, 1)


def pgd_attack(net: nn.Module, images: Tensor, labels: Tensor, epsilon: float, steps: int = 10) -> Tensor:
    """Projected gradient descent within L-infinity `epsilon`, step epsilon/4. Source: Madry et al., ICLR 2018."""
    delta = torch.empty_like(images).uniform_(-epsilon, epsilon)
    for _ in range(steps):
        delta.requires_grad_()
        (gradient,) = torch.autograd.grad(loss_of(net, images + delta, labels), delta)
        delta = (delta + epsilon / 4 * gradient.sign()).clamp(-epsilon, epsilon).detach()
    return (images + delta).clamp(0, 1)


def accuracy(net: nn.Module, pixels: Tensor, labels: Tensor, epsilon: float = 0.0) -> float:
    """Share of pictures whose top class is right, on pictures attacked with PGD when `epsilon` is set."""
    net.eval()
    hits = 0
    for start in range(0, len(pixels), 250):
        images = pixels[start : start + 250].permute(0, 3, 1, 2).float() / 255
        target = labels[start : start + 250]
        if epsilon:
            images = pgd_attack(net, images, target, epsilon)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            hits += int((net(normalised(images)).argmax(1) == target).sum())
    return hits / len(pixels)


def load(net: nn.Module, file: Path) -> None:
    """Begin from the weights of a checkpoint or of a safetensors file."""
    weights = final_weights(file) if file.suffix == ".pt" else load_file(file)
    net.load_state_dict({key: value.float() for key, value in weights.items()}, strict=False)


def sgd(net: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    """Momentum, and decay for weights but not for biases and batch norms."""
    decayed = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    return torch.optim.SGD(
        [{"params": decayed, "weight_decay": schedule.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=schedule.peak_rate,
        momentum=schedule.momentum,
        nesterov=True,
    )


def with_batch_norms(net: nn.Module, batches: Iterable[Tensor]) -> nn.Module:
    """A copy whose batch norms hold what these pictures [b, 3, h, w] do."""
    net = copy.deepcopy(net)
    update_bn((normalised(batch) for batch in batches), net)
    return net


def uncropped(pixels: Tensor) -> Iterator[Tensor]:
    """Some training pictures as a network will be shown pictures: whole.

    Random crops enlarge what is in them, so that the statistics of training are not those of use. Estimated anew they
    are worth two points of accuracy.

    Source: Touvron et al., "Fixing the train-test resolution discrepancy", NeurIPS 2019.
    """
    rows = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))[:_NORM_PICTURES]
    return (pixels[part].permute(0, 3, 1, 2).float() / 255 for part in rows.split(250))


def train(name: str, data: Path, runs: Path, start: Path | None = None) -> None:
    schedule = SCHEDULES[name]
    folder = runs / name
    folder.mkdir(parents=True, exist_ok=True)
    pixels, labels = load_split(data, runs / "cache", "train")
    val_pixels, val_labels = load_split(data, runs / "cache", "val")
    torch.manual_seed(schedule.seed)
    net = SmallInception().to(memory_format=torch.channels_last)
    if name == "robust" or start is not None:
        load(net, start or runs / "plain/last.pt")
    optimizer = sgd(net, schedule)
    first, checkpoint = 0, folder / "last.pt"
    mean = AveragedModel(net) if schedule.averaged else None
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["epoch"] + 1
        if mean is not None:
            mean.load_state_dict(state["mean"])
    steps = len(pixels) // schedule.batch
    for epoch in range(first, len(schedule.sizes_px)):
        generator = torch.Generator().manual_seed(schedule.seed * 1000 + epoch)
        order = torch.randperm(len(pixels), generator=generator)
        torch.manual_seed(schedule.seed * 1000 + epoch)
        net.train()
        started, running = time.time(), 0.0
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = schedule.rate(epoch + step / steps)
            rows = order[step * schedule.batch : (step + 1) * schedule.batch]
            images, target = augmented(pixels[rows], schedule.sizes_px[epoch], generator), labels[rows]
            if schedule.epsilon:
                images = one_step_attack(net, images, target, schedule.epsilon)
            loss = loss_of(net, images, target, schedule.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if mean is not None and step % _AVERAGED_STEPS == _AVERAGED_STEPS - 1:
                mean.update_parameters(net)
            running += loss.item()
            if step % 100 == 99:
                print(f"  {step + 1}/{steps} loss {running / (step + 1):.3f} {time.time() - started:.0f} s", flush=True)
        batches = (augmented(pixels[order[i : i + 250]], 64, generator) for i in range(0, _NORM_PICTURES, 250))
        judged = net if mean is None else with_batch_norms(mean.module, batches)
        seconds = time.time() - started
        line = {
            "epoch": epoch,
            "size_px": schedule.sizes_px[epoch],
            "loss": round(running / steps, 4),
            "accuracy": accuracy(judged, val_pixels, val_labels),
            "seconds": round(seconds),
        }
        if schedule.epsilon:
            line["accuracy_pgd"] = accuracy(net, val_pixels[:500], val_labels[:500], schedule.epsilon)
        state = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
        if mean is not None:
            state |= {"mean": mean.state_dict(), "averaged": judged.state_dict()}
        torch.save(state, folder / "next.pt")
        os.replace(folder / "next.pt", checkpoint)
        with (folder / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)


def final_weights(checkpoint: Path) -> dict[str, Tensor]:
    """The weights of a finished run: their mean over the last part of it, where there is one.

    Source: Izmailov et al., "Averaging weights leads to wider optima and better generalization", UAI 2018.
    """
    state = torch.load(checkpoint, weights_only=True)
    weights: dict[str, Tensor] = state.get("averaged", state["net"])
    return weights


def export(data: Path, runs: Path) -> None:
    """Write the weights as float16 safetensors and a model card each, measured with those rounded weights."""
    pixels, _ = load_split(data, runs / "cache", "train")
    val_pixels, val_labels = load_split(data, runs / "cache", "val")
    for name, asset in (("plain", "plain"), ("robust", "default")):
        if not (runs / name / "last.pt").exists():
            continue
        net = SmallInception()
        net.load_state_dict(final_weights(runs / name / "last.pt"))
        state = with_batch_norms(net.to(memory_format=torch.channels_last), uncropped(pixels)).state_dict()
        half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
        half = {k: v.contiguous() for k, v in half.items() if "num_batches_tracked" not in k}
        save_file(half, ASSETS / f"{asset}.safetensors")
        net.load_state_dict({k: v.float() for k, v in half.items()}, strict=False)
        net.to(memory_format=torch.channels_last)
        log = [json.loads(line) for line in (runs / name / "log.jsonl").read_text().splitlines()]
        card = {
            "name": asset,
            "architecture": "pellucid.models.embedded.SmallInception",
            "parameters": sum(p.numel() for p in net.parameters()),
            "input": {"channels": "RGB in [0, 1]", "size_px": 64, "mean": MEAN, "std": STD},
            "data": "Tiny ImageNet (Stanford CS231n): 100,000 training pictures, 200 classes, re-encoded as WebP 65",
            "accuracy": {
                "clean": accuracy(net, val_pixels, val_labels),
                "pgd10_linf_1_255": accuracy(net, val_pixels[:1000], val_labels[:1000], 1 / 255),
                "pgd10_linf_2_255": accuracy(net, val_pixels[:1000], val_labels[:1000], 2 / 255),
                "pgd10_linf_4_255": accuracy(net, val_pixels[:1000], val_labels[:1000], 4 / 255),
                "on": "clean: 5,000 validation pictures; attacked: the first 1,000 of them",
            },
            "history": HISTORY[name],
            "recipe": asdict(SCHEDULES[name])
            | {"starts_from": "plain" if name == "robust" else "the weights of the run before"},
            "epochs": log,
            "training_seconds": sum(line["seconds"] for line in log),
            "intended_use": "Trying, teaching and testing feature visualization offline. Not a classifier to deploy.",
        }
        (ASSETS / f"{asset}.json").write_text(json.dumps(card, indent=2) + "\n")
        print(json.dumps(card["accuracy"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("train", "export"))
    parser.add_argument("name", nargs="?", choices=tuple(SCHEDULES), default="plain")
    parser.add_argument("--data", type=Path, required=True, help="folder with the Tiny ImageNet Parquet files")
    parser.add_argument("--runs", type=Path, required=True, help="folder for checkpoints and decoded pictures")
    parser.add_argument("--start", type=Path, help="safetensors weights to begin from, e.g. those that are shipped")
    arguments = parser.parse_args()
    if arguments.action == "train":
        train(arguments.name, arguments.data, arguments.runs, arguments.start)
    else:
        export(arguments.data, arguments.runs)


if __name__ == "__main__":
    main()
