"""Priors: a start from a photo, and a learned prior, whose own hand shows.

Source: reference document 003, where a channel's picture starts from a photo that fits it, and where pictures by a
generator are said to leave open what comes from the objective and what from the prior.
"""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

import pellucid as pl
from gallery.crops import crops_of, responses
from gallery.exhibit import Cell, Claim, Exhibit, Picture, Table
from gallery.hall import SURE, Hall
from gallery.measures import activations, high_frequency, means
from gallery.noise import BARE, RATE, networks, sheet_of
from gallery.spectra import contrast
from pellucid.images.decoder import load_decoder

__all__ = ["DECODER", "ITEMS", "can_be_made", "decoder_samples"]

DECODER = Path(pl.__file__).parent / "assets" / "decoder.safetensors"
"""Where the weights of a trained decoder lie, if the project has them (`training/decoder.py`)."""

_UNITS, _STEPS = 6, 128
_FIRES = 0.25  # the part of a photo, by area, where the channel fires most
_REACHES = 0.5  # of the score without the prior
_PRIOR = 0.01
_SEEN = {
    "photo": (
        "The rim of the cup survives (plain 7 and 9, a white line in default 7), and so do lights on a helmet (plain "
        "29); all else is painted over with the motif and a coloured checkerboard, where the channel fires as "
        "elsewhere. Wrong: of fur, sky, sleeve and saucer nothing is left to tell what the start was."
    ),
    "prior": (
        "Samples are blurred patches of leaf green, earth and sky without any object. Driven by the free latents, "
        "the same decoder draws each channel's motif in broad clean strokes: stripes, lit windows, yellow and "
        "red, a net of black holes, bars, without the fine texture of the default recipe. Wrong: colours far from "
        "any photo show that the latents have left what it was trained on; held by the prior, stripes, windows "
        "and bars fade to photo-like tones, but channels 2 and 4 collapse to flat green, where the prior won "
        "before the unit had anything to climb."
    ),
}


def photo(hall: Hall) -> Exhibit:
    """Channels' pictures started from a photo that fits them, without regularisation."""
    layer, crops = hall.middle, crops_of(hall).pictures
    found: dict[str, tuple[list[int], Tensor, Tensor, Tensor]] = {}
    for name, model in networks(hall).items():
        fits = responses(model, crops, layer)
        units = fits.amax(0).topk(_UNITS).indices.tolist()
        starts = crops[fits[:, units].argmax(0)]
        targets = [f"{layer}:{unit}" for unit in units]
        made = pl.render(
            model, targets, recipe=SURE, start=starts, steps=hall.steps(_STEPS), learning_rate=RATE, **BARE
        )
        found[name] = units, starts, made.pictures, _fires(model, starts, layer, units)
    change: dict[str, tuple[float, float]] = {}
    detail: dict[str, tuple[float, float]] = {}
    rows: list[list[Cell]] = []
    for name, (units, starts, ends, fires) in found.items():
        moved = (ends - starts).abs().mean(1)
        fine = _high_pass(ends).square().mean(1) - _high_pass(starts).square().mean(1)
        pairs = [[_inside(values, fires), _inside(values, ~fires)] for values in (moved, fine)]
        change[name] = float(pairs[0][0].mean()), float(pairs[0][1].mean())
        detail[name] = float(pairs[1][0].mean()), float(pairs[1][1].mean())
        rows += [
            [name, f"{layer}:{unit}", *(float(part[i]) for pair in pairs for part in pair)]
            for i, unit in enumerate(units)
        ]
    judged, other = hall.ordinary.name, hall.model.name
    raised = {
        name: float(contrast(ends).mean() / contrast(starts).mean()) for name, (_, starts, ends, _) in found.items()
    }
    claims = [
        Claim(
            "What the unit fires for stays the same during the optimisation.",
            f"in {judged}, pixels in the quarter of the picture where the channel fires most change at most half as "
            "much as the others",
            f"{change[judged][0]:.3f} against {change[judged][1]:.3f} ({other}: {change[other][0]:.3f} and "
            f"{change[other][1]:.3f})",
            change[judged][0] <= change[judged][1] / 2,
        ),
        Claim(
            "The rest gets patterns of high frequency.",
            f"in {judged}, the power finer than 4 px rises there at least twice as much as in that quarter",
            f"by {detail[judged][1]:.2g} against {detail[judged][0]:.2g} ({other}: {detail[other][1]:.2g} and "
            f"{detail[other][0]:.2g}); contrast of fine detail overall {raised[judged]:.2f} times that of the photos "
            f"({other}: {raised[other]:.2f})",
            detail[judged][1] >= 2 * detail[judged][0] and detail[judged][1] > 0,
        ),
    ]
    sheet = [
        (f"{name}, {layer}:{unit}{', start' if not after else ''}", picture)
        for name, (units, starts, ends, _) in found.items()
        for after, pictures in enumerate((starts, ends))
        for unit, picture in zip(units, pictures, strict=True)
    ]
    head = ("network", "target", "change where it fires", "elsewhere", "gain of fine power where it fires", "elsewhere")
    return Exhibit(
        "Started from a photo",
        "the slides (S3)",
        f"The {_UNITS} channels of `{layer}` that fire most for some piece of the photos, each started from the piece "
        f"that excites it most: as pixels, without transforms or penalties, {hall.steps(_STEPS)} steps at rate {RATE}.",
        claims,
        [Picture("pictures", sheet_of(sheet, _UNITS), "Starts, and below them what became of them", _SEEN["photo"])],
        [Table("units", head, rows)],
    )


def prior(hall: Hall) -> Exhibit:
    """Pictures by a small decoder's latents, beside those of the default recipe; or that there is no decoder."""
    title, source = "A learned prior", "the slides (S3)"
    if not can_be_made(hall):
        text = (
            f"Not drawn: there are no weights of a decoder for {hall.model.name} ({DECODER.name} beside the embedded "
            "network, 64 px; `training/decoder.py` trains one). With them, this item shows pictures by its latents, "
            "and the diverse pictures start from its samples, too."
        )
        return Exhibit(title, source, text, [], [], [])
    layer = hall.middle
    targets = [f"{layer}:{unit}" for unit in range(_UNITS)]
    steps = hall.steps(_STEPS)
    made = {
        "default recipe": pl.render(hall.model, targets, recipe=SURE, steps=steps),
        "decoder": pl.render(hall.model, targets, recipe=SURE, steps=steps, image="generator"),
        "decoder, prior 0.01": pl.render(
            hall.model, targets, recipe=SURE, steps=steps, image="generator", prior=_PRIOR
        ),
    }
    samples = decoder_samples(len(targets))
    by_chance = float(means(hall.model, samples, layer)[:, : len(targets)].diagonal().mean())
    scores = {way: float(one.scores.mean()) for way, one in made.items()}
    fine = {way: float(high_frequency(one.images).mean()) for way, one in made.items()}
    natural = float(high_frequency(crops_of(hall).pictures).mean())
    claims = [
        Claim(
            "Pictures by the decoder have the frequencies of photos.",
            "less of their power lies above a quarter cycle per px than of the default recipe's pictures",
            ", ".join(f"{way} {value:.1%}" for way, value in fine.items()) + f"; photos {natural:.1%}",
            max(fine["decoder"], fine["decoder, prior 0.01"]) < fine["default recipe"],
        ),
        Claim(
            "They are pictures of the unit.",
            f"with the prior the mean score is at least {_REACHES:.0%} of the default recipe's",
            ", ".join(f"{way} {value:.3g}" for way, value in scores.items()) + f"; samples by chance {by_chance:.3g}",
            scores["decoder, prior 0.01"] >= _REACHES * scores["default recipe"],
        ),
    ]
    rows: list[list[Cell]] = [
        [way, target, float(one.scores[i])] for way, one in made.items() for i, target in enumerate(targets)
    ]
    sheet = [("sample", one) for one in samples]
    sheet += [(f"{way}, {target}", one.pictures[i]) for way, one in made.items() for i, target in enumerate(targets)]
    return Exhibit(
        title,
        source,
        f"{_UNITS} channels of `{layer}`, {steps} steps: by the default recipe, and by the latents of a "
        "decoder trained on Tiny ImageNet, free and with a normal prior on them. What they share with photos comes "
        "from the decoder.",
        claims,
        [Picture("pictures", sheet_of(sheet, _UNITS), "Samples of the decoder, then by each way", _SEEN["prior"])],
        [Table("units", ("way", "target", "score"), rows)],
    )


def can_be_made(hall: Hall) -> bool:
    """Whether there is a trained decoder whose pictures fit the network."""
    return DECODER.is_file() and tuple(hall.model.size) == (64, 64) and hall.model.value_range == (0.0, 1.0)


def decoder_samples(count: int) -> Float[Tensor, "n 3 64 64"]:
    """Pictures by latents drawn from a standard normal, always the same."""
    decoder = load_decoder(DECODER)
    with torch.no_grad():
        pictures: Tensor = decoder(torch.randn(count, decoder.num_latents, generator=torch.Generator().manual_seed(0)))
    return pictures


def _fires(model: pl.Model, photos: Float[Tensor, "n c h w"], layer: str, units: list[int]) -> Tensor:
    """Where each photo's channel fires most: masks [n, h, w] of a quarter of the pixels."""
    low, high = model.value_range
    maps = activations(model, low + (high - low) * photos, layer)[torch.arange(len(units)), units]
    large = F.interpolate(maps[:, None], photos.shape[-2:], mode="bilinear")[:, 0]
    limits = large.flatten(1).quantile(1 - _FIRES, dim=1)
    return large > limits[:, None, None]


def _inside(values: Float[Tensor, "n h w"], mask: Tensor) -> Float[Tensor, " n"]:
    mean: Tensor = (values * mask).sum((1, 2)) / mask.sum((1, 2)).clamp(min=1)
    return mean


def _high_pass(images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """What is finer than 4 px along either side."""
    rows, cols = (torch.fft.fftfreq(side).abs() > 0.25 for side in images.shape[-2:])
    fine: Tensor = torch.fft.ifft2(torch.fft.fft2(images) * (rows[:, None] | cols)).real
    return fine


ITEMS = {"photo": photo, "prior": prior}
