"""Train the small decoder that shows a learned prior: a variational autoencoder on Tiny ImageNet.

    python training/decoder.py train  --data ../shared/data --runs ~/pellucid-runs
    python training/decoder.py export --runs ~/pellucid-runs --out decoder.safetensors
    python training/decoder.py samples --runs ~/pellucid-runs --out samples.png

`train` writes a checkpoint after every epoch below `--runs` and, started again, goes on from the last one; every 500
steps it draws what the decoder makes of normal latents (`decoder/samples.png`), to be looked at meanwhile. `export`
writes float16 weights that `pellucid.images.decoder.load_decoder` reads, with what they were trained on.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from data import augmented, load_split
from pellucid.images import files
from pellucid.images.decoder import Decoder
from pellucid.images.sheets import contact_sheet
from pellucid.images.sidecars import write_sidecar


@dataclass(frozen=True)
class Schedule:
    """One training run: 2,000 steps of 32 pictures, each picture once; some eight minutes of one core.

    Short on purpose: the decoder is shipped to show that a learned prior works, not to be a good generator. Hence many
    steps of small batches at a high rate, and a schedule that ends at zero within them.
    """

    epochs: int = 1
    pictures: int = 64_000
    batch: int = 32
    peak_rate: float = 1.2e-3
    warmup_epochs: float = 0.1
    num_latents: int = 128
    # Of the latents' divergence from a standard normal, against the sum of squared errors over a picture's pixels
    # divided by twice this variance: 128 principal components leave errors of 0.12 in [0, 1] of 64 x 64 pixels.
    pixel_variance: float = 0.12**2
    seed: int = 0

    def rate(self, epoch: float) -> float:
        """The learning rate at a fractional epoch: linear warm-up, then half a cosine down to zero."""
        if epoch < self.warmup_epochs:
            return self.peak_rate * epoch / self.warmup_epochs
        done = (epoch - self.warmup_epochs) / (self.epochs - self.warmup_epochs)
        return self.peak_rate * 0.5 * (1 + math.cos(math.pi * done))


class Encoder(nn.Module):
    """Pictures [b, 3, 64, 64] -> mean and log variance [b, k] of their latents: the decoder's stages turned round."""

    def __init__(self, num_latents: int) -> None:
        super().__init__()
        widths = (3, *reversed(Decoder.widths[:-1]))
        self.stages = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(a, b, 4, 2, 1), nn.BatchNorm2d(b), nn.SiLU())
                for a, b in itertools.pairwise(widths)
            )
        )
        self.last = nn.Linear(widths[-1] * 16, 2 * num_latents)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance."""
        mean, log_variance = self.last(self.stages(images * 2 - 1).flatten(1)).chunk(2, 1)
        return mean, log_variance.clamp(-10, 4)


def losses(encoder: Encoder, decoder: Decoder, images: Tensor, variance: float) -> tuple[Tensor, Tensor]:
    """Squared error, in units of the pixel variance, and divergence, both per picture.

    Source: Kingma & Welling, "Auto-encoding variational Bayes", ICLR 2014.
    """
    with torch.autocast("cpu", torch.bfloat16):
        mean, log_variance = (
            moment.float() for moment in encoder(images.contiguous(memory_format=torch.channels_last))
        )
        latents = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        pictures = decoder(latents).float()
    error = F.mse_loss(pictures, images, reduction="sum") / (2 * variance * len(images))
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum() / len(images)
    return error, divergence


def train(schedule: Schedule, data: Path, runs: Path) -> None:
    """Go on from the last finished epoch."""
    folder = runs / "decoder"
    folder.mkdir(parents=True, exist_ok=True)
    pixels, _ = load_split(data, runs / "cache", "train")
    val_pixels, _ = load_split(data, runs / "cache", "val")
    pixels = pixels[: schedule.pictures]
    torch.manual_seed(schedule.seed)
    encoder, decoder = Encoder(schedule.num_latents), Decoder(schedule.num_latents)
    nets = nn.ModuleList([encoder, decoder]).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(nets.parameters(), lr=schedule.peak_rate, weight_decay=1e-4)
    first, checkpoint = 0, folder / "last.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        nets.load_state_dict(state["nets"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["epoch"] + 1
    steps = len(pixels) // schedule.batch
    for epoch in range(first, schedule.epochs):
        generator = torch.Generator().manual_seed(schedule.seed * 1000 + epoch)
        torch.manual_seed(schedule.seed * 1000 + epoch)
        order = torch.randperm(len(pixels), generator=generator)
        nets.train()
        started, running = time.time(), torch.zeros(2)
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = schedule.rate(epoch + step / steps)
            rows = order[step * schedule.batch : (step + 1) * schedule.batch]
            error, divergence = losses(
                encoder, decoder, augmented(pixels[rows], 64, generator), schedule.pixel_variance
            )
            optimizer.zero_grad()
            (error + divergence).backward()
            nn.utils.clip_grad_norm_(nets.parameters(), 1000.0)
            optimizer.step()
            running += torch.stack([error, divergence]).detach()
            if step % 50 == 49:
                shown = (running / (step + 1)).tolist()
                print(f"  {step + 1}/{steps} error {shown[0]:.0f} divergence {shown[1]:.0f}", flush=True)
            if step % 500 == 499:
                draw_samples(decoder.eval(), folder / "samples.png")
                decoder.train()
        nets.eval()
        with torch.no_grad():
            images = val_pixels[:1000].permute(0, 3, 1, 2).float() / 255
            error = F.mse_loss(decoder(encoder(images)[0]), images).sqrt()
        line = {
            "epoch": epoch,
            "error": round(running[0].item() / steps, 1),
            "divergence": round(running[1].item() / steps, 1),
            "val_rmse": round(error.item(), 4),
            "seconds": round(time.time() - started),
        }
        state = {"nets": nets.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
        torch.save(state, folder / "next.pt")
        os.replace(folder / "next.pt", checkpoint)
        with (folder / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)


@torch.no_grad()
def draw_samples(decoder: Decoder, path: Path) -> None:
    """Pictures of 24 normal latents, the same ones whenever it is asked, without touching the global generator."""
    latents = torch.randn(24, decoder.num_latents, generator=torch.Generator().manual_seed(0))
    files.write(path, contact_sheet(decoder(latents)))


def trained(schedule: Schedule, runs: Path) -> Decoder:
    """The decoder of the last checkpoint."""
    state = torch.load(runs / "decoder/last.pt", weights_only=True)["nets"]
    decoder = Decoder(schedule.num_latents)
    decoder.load_state_dict({key[2:]: value for key, value in state.items() if key.startswith("1.")})
    return decoder.eval()


def export(schedule: Schedule, runs: Path, out: Path) -> None:
    """Write the decoder as float16 safetensors, with its history."""
    weights = {k: v.half() for k, v in trained(schedule, runs).state_dict().items() if v.is_floating_point()}
    card = {
        "data": "Tiny ImageNet (Stanford CS231n), training split",
        "recipe": json.dumps(asdict(schedule)),
        "epochs": (runs / "decoder/log.jsonl").read_text(),
    }
    write_sidecar(out, weights, card)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("train", "export", "samples"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the parquet files")
    parser.add_argument("--runs", type=Path, required=True, help="folder for checkpoints and decoded pictures")
    parser.add_argument("--out", type=Path, help="file to write")
    parser.add_argument("--epochs", type=int, default=Schedule.epochs)
    parser.add_argument("--pictures", type=int, default=Schedule.pictures, help="train on the first so many only")
    arguments = parser.parse_args()
    schedule = Schedule(epochs=arguments.epochs, pictures=arguments.pictures)
    if arguments.action == "train":
        train(schedule, arguments.data, arguments.runs)
    elif arguments.action == "export":
        export(schedule, arguments.runs, arguments.out or arguments.runs / "decoder/decoder.safetensors")
    else:
        draw_samples(trained(schedule, arguments.runs), arguments.out or arguments.runs / "decoder/samples.png")


if __name__ == "__main__":
    main()
