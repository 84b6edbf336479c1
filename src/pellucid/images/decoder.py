"""A small network from latents to photos of 64 px: a learned prior that comes with its own training script."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pellucid.errors import WeightsError
from pellucid.images.sidecars import read_sidecar

__all__ = ["Decoder", "load_decoder"]


class Decoder(nn.Module):
    """Latents [b, num_latents] -> pictures [b, 3, 64, 64] in [0, 1]: 4 px, doubled four times, 0.8 million weights.

    Each doubling repeats pixels and convolves (no transposed convolutions, whose strides draw a checkerboard).

    Source of the enlarging: Odena et al., "Deconvolution and Checkerboard Artifacts", Distill 2016.
    """

    widths = (192, 128, 96, 48, 24)

    def __init__(self, num_latents: int = 128) -> None:
        super().__init__()
        self.num_latents = num_latents
        self.first = nn.Linear(num_latents, self.widths[0] * 16)
        stages = zip(self.widths[:-1], self.widths[1:], strict=True)
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Upsample(scale_factor=2), nn.Conv2d(wide, narrow, 3, padding=1), nn.BatchNorm2d(narrow), nn.SiLU()
            )
            for wide, narrow in stages
        )
        self.last = nn.Conv2d(self.widths[-1], 3, 3, padding=1)

    def forward(self, latents: Float[Tensor, "b k"]) -> Float[Tensor, "b 3 64 64"]:
        """The pictures."""
        values: Tensor = nn.functional.silu(self.first(latents)).unflatten(1, (self.widths[0], 4, 4))
        for stage in self.stages:
            values = stage(values)
        return torch.sigmoid(self.last(values))


def load_decoder(path: str | Path | None = None) -> Decoder:
    """The decoder that comes with Pellucid, or one whose weights `training/decoder.py` wrote as safetensors.

    The one that comes along is a variational autoencoder's, trained for minutes (`training/decoder.py`): a learned
    prior to see the idea by, whose pictures are blurred.

    Raises:
        ImageError: there is no such file, or it is no safetensors file.
        WeightsError: it holds other weights than a decoder's.
    """
    if path is None:
        with resources.as_file(resources.files("pellucid").joinpath("assets/decoder.safetensors")) as file:
            return load_decoder(file)
    tensors, _ = read_sidecar(path)
    if "first.weight" not in tensors:
        raise WeightsError(f"{path} does not hold a decoder's weights; training/decoder.py writes them")
    decoder = Decoder(tensors["first.weight"].shape[1])
    weights: Mapping[str, Tensor] = {name: tensor.float() for name, tensor in tensors.items()}
    try:
        missing = decoder.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise WeightsError(f"{path} does not fit the decoder: {error}") from None
    absent = [name for name in missing.missing_keys if not name.endswith("num_batches_tracked")]
    if absent or missing.unexpected_keys:
        raise WeightsError(f"{path} does not fit the decoder: {[*absent, *missing.unexpected_keys][0]!r}")
    return decoder.eval()
