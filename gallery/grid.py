"""The grid of high frequencies in the gradient of a network with strides and pools, itself.

Source: reference document 003, which takes strided convolutions and pooling for the cause, and says that it is not
fully understood.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

import pellucid as pl
from gallery.crops import crops_of
from gallery.exhibit import Claim, Exhibit, Picture, Table
from gallery.hall import Hall
from gallery.measures import high_frequency, pixel_gradient
from gallery.plots import chart
from gallery.spectra import lattice_lines, mean_power, phase_spread
from pellucid.images.sheets import contact_sheet
from pellucid.models.max_pooling import SmoothedMaxPool

__all__ = ["ITEMS"]

_UNITS, _PHOTOS = 6, 6
_STANDS_OUT = 2.0  # times the power around it, on average over the lattice: a grid
_FLAT = 1.25  # less than this: none
_SEEN = (
    "Speckle one or two pixels wide wherever the channel is on; with max-pools as averages smooth patches with "
    "lines across them; without strides the speckle is finer and follows edges. Wrong: none of them shows the "
    "channel's motif, and the grid is in the middle row only."
)
_SEEN_SPECTRA = (
    "Dots on a lattice are seen in the middle spectrum, on the axes and at a quarter cycle, and nowhere else. "
    "Wrong: the bright cross in all three comes from the borders of the pictures and could be taken for a grid."
)


def without_strides(model: pl.Model) -> pl.Model:
    """The same weights, with every convolution and pool moved one pixel at a time."""

    def fill(network: nn.Module) -> None:
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
                module.stride = (1, 1)

    return model.filled(fill)


def _gradients(
    model: pl.Model, images: Float[Tensor, "b c h w"], layer: str, *, averaged: bool = False
) -> Float[Tensor, "n c h w"]:
    """Of the means of the layer's first channels, at all images; those of a unit that is off are left out."""
    with SmoothedMaxPool("average") if averaged else nullcontext():
        found = torch.cat([pixel_gradient(model, images, layer, unit) for unit in range(_UNITS)])
    return found[found.flatten(1).abs().amax(1) > 0]


def grid(hall: Hall) -> Exhibit:
    """The input gradient of strided and pooled networks: its spectrum with strides and without."""
    layer = hall.middle
    crops = crops_of(hall)
    chosen = crops.pictures[:: max(1, len(crops) // _PHOTOS)][:_PHOTOS]
    low, high = hall.model.value_range
    images = low + (high - low) * chosen
    networks = {hall.model.name: hall.model, hall.ordinary.name: hall.ordinary}
    found: dict[tuple[str, str], Tensor] = {}
    for name, model in networks.items():
        found[name, "as it is"] = _gradients(model, images, layer)
        found[name, "max-pools as averages"] = _gradients(model, images, layer, averaged=True)
        found[name, "no strides"] = _gradients(without_strides(model), images, layer)
        found[name, "neither"] = _gradients(without_strides(model), images, layer, averaged=True)
    side = min(images.shape[-2:])
    stride = side // max(hall.model.layer(layer).map_size)
    powers = {key: mean_power(gradients) for key, gradients in found.items()}
    lines = {key: lattice_lines(power, stride) for key, power in powers.items()}
    spreads = {key: phase_spread(gradients, stride) for key, gradients in found.items()}
    fine = {key: float(high_frequency(gradients).mean()) for key, gradients in found.items()}
    natural = float(high_frequency(images).mean())
    judged = hall.ordinary.name
    both = list(networks)

    def told(values: dict[tuple[str, str], float], how: str, spec: str = ".2f") -> str:
        return ", ".join(f"{values[name, how]:{spec}} in {name}" for name in both)

    claims = [
        Claim(
            "The gradient's spectrum carries a grid with the period of the strides.",
            f"in {judged}, its power at multiples of 1/{stride} cycle per px is on average over {_STANDS_OUT:g} times "
            "that around them",
            told(lines, "as it is"),
            lines[judged, "as it is"] > _STANDS_OUT,
        ),
        Claim(
            "With max-pools that pass gradients as averages do, the grid is there.",
            f"the same test with {judged}'s max-pools replaced in the backward pass",
            told(lines, "max-pools as averages"),
            lines[judged, "max-pools as averages"] > _STANDS_OUT,
        ),
        Claim(
            "It is made by the strides.",
            f"so seen, the same weights of {judged} with every stride 1 give less than {_FLAT} times",
            f"{told(lines, 'neither')}; with max-pools' own gradients {told(lines, 'no strides')}",
            lines[judged, "neither"] < _FLAT,
        ),
        Claim(
            "How large the gradient is repeats with the strides, whatever its sign.",
            f"in {judged}, its energy varies over the {stride} x {stride} places of a cell at least twice as much as "
            "without strides",
            f"{told(spreads, 'as it is', '.0%')} of its mean; without strides {told(spreads, 'no strides', '.0%')}",
            spreads[judged, "as it is"] > 2 * spreads[judged, "no strides"],
        ),
        Claim(
            "The strides bring high frequencies into the gradient.",
            f"in {judged}, the share of its power above a quarter cycle per px is larger with strides than without",
            f"{told(fine, 'as it is', '.0%')}; without strides {told(fine, 'no strides', '.0%')}; "
            f"of the photos themselves {natural:.1%}",
            fine[judged, "as it is"] > fine[judged, "no strides"],
        ),
        Claim(
            "Max-pooling, which passes its gradient to single pixels, has a part in it.",
            f"in {judged}, that share is smaller when max-pools pass gradients as averages do",
            f"{told(fine, 'max-pools as averages', '.0%')} against {told(fine, 'as it is', '.0%')}",
            fine[judged, "max-pools as averages"] < fine[judged, "as it is"],
        ),
    ]
    rows = [(*key, lines[key], spreads[key], fine[key], len(found[key])) for key in found]
    shown = {key: value[:3] for key, value in found.items() if key[0] == judged and key[1] != "neither"}
    labels = [how for (_, how), gradients in shown.items() for _ in gradients]
    sheet = contact_sheet(
        [_visible(one) for gradients in shown.values() for one in gradients],
        labels,
        columns=3,
        enlarge=max(1, 192 // side),
        resample="nearest",
        background="light",
    )
    return Exhibit(
        "The grid in the gradient itself",
        "the slides (S3)",
        f"What raises the mean of each of the first {_UNITS} channels of `{layer}` from {len(images)} pieces of "
        f"photos, before any step is taken, in `{'` and `'.join(both)}`; then with max-pools that pass gradients as "
        "averages do, with every stride 1 (the same weights, but activations that no training saw), and with both.",
        claims,
        [
            Picture("gradients", sheet, f"Input gradients of {layer}:0 of {judged} at three pieces of photos", _SEEN),
            Picture("spectra", _spectra(powers, judged, stride), f"Their mean power spectra, {judged}", _SEEN_SPECTRA),
        ],
        [
            Table(
                "lines",
                (
                    "network",
                    "how",
                    "power on the lattice by that around",
                    "spread of energy over a cell",
                    "share above 1/4 cycle",
                    "gradients",
                ),
                rows,
            )
        ],
    )


def _visible(gradient: Float[Tensor, "c h w"]) -> Float[Tensor, "c h w"]:
    """Mid-grey is zero; three standard deviations are black and white."""
    return (0.5 + gradient / (6 * gradient.std().clamp(min=1e-30))).clamp(0, 1)


def _spectra(powers: dict[tuple[str, str], Tensor], judged: str, stride: int) -> Image.Image:
    own = {how: power for (name, how), power in powers.items() if name == judged and how != "neither"}
    with chart(1, columns=len(own), height=2.6) as drawn:
        top = max(float(power.log10().max()) for power in own.values())
        for axes, (how, power) in zip(drawn.axes, own.items(), strict=True):
            axes.imshow(
                torch.fft.fftshift(power).clamp(min=1e-30).log10(),
                extent=(-0.5, 0.5, -0.5, 0.5),
                vmin=top - 4,
                vmax=top,
                cmap="magma",
            )
            axes.set(title=how, xlabel="cycles per px")
            axes.set_xticks([-0.5, 0, 0.5])
            axes.set_yticks([-0.5, 0, 0.5])
    return drawn.image


ITEMS = {"grid": grid}
