"""Pictures without regularisation by steps and learning rates, and what the Fourier basis does to them.

Source: reference document 003, after Olah et al., "Feature Visualization", Distill 2017. The document's network was
trained without adversaries; so where there is a choice, the one that was is judged, and the other's number stands
beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from PIL import Image
from torch import Tensor

import pellucid as pl
from gallery.crops import crops_of
from gallery.exhibit import Cell, Claim, Exhibit, Picture, Table
from gallery.hall import SURE, Hall
from gallery.measures import high_frequency, means
from gallery.plots import chart, sheet
from gallery.spectra import contrast

__all__ = ["BARE", "ITEMS", "RATE", "networks", "sheet_of"]

BARE: Mapping[str, Any] = {"image": "pixels", "color": "none", "transforms": "none"}
"""Nothing but pixels and the network: settings beside `SURE`."""

_RATES = (0.01, 0.05, 0.25)
RATE = 0.05
_STEPS = (1, 32, 128, 256, 2048)
_UNITS = 2
_SEEN = {
    "rates": (
        "Upright strands with coloured dots come out of grey, the sooner the larger the rate, and with the steps pure "
        "colours and a checkerboard one pixel wide lie over them; default's strands turn hard black and white, with "
        "coloured specks and less checkerboard. Wrong: at 2,048 steps plain's pictures show the noise more than the "
        "motif."
    ),
    "rates-plot": (
        "plain's scores level off at much the same height and default's lower, while fine detail goes on growing, far "
        "above that of photos. Wrong: with five steps looked at, the bends between them are not to be trusted."
    ),
    "fourier": (
        "Strands both ways; in decorrelated colour they are brown and white as fur for 256 steps, in pixels pink "
        "and cyan from the start, and at 2,048 steps both are glaring. Wrong: a checkerboard and pure colours come "
        "in the Fourier basis as well, only later."
    ),
    "fourier-plot": (
        "The two run side by side: neither the score nor the fine detail tells them apart, whatever the eye says of "
        "the colours. Wrong: fine detail is summed over colours and places, so that a checkerboard and a sharp edge "
        "count alike."
    ),
}


def networks(hall: Hall) -> dict[str, pl.Model]:
    """The network that claims are judged by, and the hall's own: one and the same where there is one."""
    return {hall.ordinary.name: hall.ordinary, hall.model.name: hall.model}


def ladder(
    hall: Hall, model: pl.Model, layer: str, steps: tuple[int, ...], **settings: Any
) -> tuple[dict[int, Tensor], dict[int, float], dict[int, float]]:
    """Pictures of a layer's first channels after more and more steps, their mean score and contrast of fine detail."""
    wanted = tuple(sorted({max(1, step // hall.thrift) for step in steps}))
    targets = [f"{layer}:{unit}" for unit in range(_UNITS)]
    made = pl.render(model, targets, recipe=SURE, steps=wanted[-1], snapshots=wanted, **settings)
    pictures = {step: made.snapshots[step] for step in wanted}
    scores = {step: float(means(model, one, layer)[:, :_UNITS].diagonal().mean()) for step, one in pictures.items()}
    return pictures, scores, {step: float(contrast(one).mean()) for step, one in pictures.items()}


def rates(hall: Hall) -> Exhibit:
    """Steps x learning rates without any regularisation."""
    layer = hall.middle
    crops = crops_of(hall).pictures
    natural, natural_share = float(contrast(crops).mean()), float(high_frequency(crops).mean())
    found = {
        (name, rate): ladder(hall, model, layer, _STEPS, learning_rate=rate, **BARE)
        for name, model in networks(hall).items()
        for rate in (_RATES if model is hall.ordinary else (RATE,))
    }
    judged, other = hall.ordinary.name, hall.model.name
    steps = list(found[judged, RATE][0])
    second, last = steps[min(1, len(steps) - 1)], steps[-1]
    scores = {key: value[1] for key, value in found.items()}
    fine = {key: value[2] for key, value in found.items()}
    shares = {key: float(high_frequency(value[0][last]).mean()) for key, value in found.items()}
    early = [scores[judged, rate][second] for rate in _RATES]
    late = [scores[judged, rate][last] for rate in _RATES]
    claims = [
        Claim(
            "At every rate the score rises with the steps.",
            f"in {judged}, the mean score is larger at each of the steps {', '.join(map(str, steps))} than before",
            "; ".join(f"rate {rate}: {_row(scores[judged, rate])}" for rate in _RATES),
            all(_rises(list(scores[judged, rate].values())) for rate in _RATES),
        ),
        Claim(
            "A larger rate gets further in the same few steps.",
            f"in {judged}, scores at step {second} are in the order of the rates",
            ", ".join(f"{rate}: {score:.3g}" for rate, score in zip(_RATES, early, strict=True)),
            _rises(early),
        ),
        Claim(
            "With time the rates end alike.",
            f"in {judged}, the least score at step {last} is at least 80 % of the largest",
            ", ".join(f"{rate}: {score:.3g}" for rate, score in zip(_RATES, late, strict=True)),
            min(late) >= 0.8 * max(late),
        ),
        Claim(
            "Without regularisation patterns of high frequency emerge.",
            f"in {judged}, at step {last} and rate {RATE}, the contrast of detail finer than 4 px is at least twice "
            "that of photos",
            f"{fine[judged, RATE][last]:.3f} against {natural:.3f} ({other}: {fine[other, RATE][last]:.3f}); of all "
            f"power {shares[judged, RATE]:.0%} against {natural_share:.0%} ({other}: {shares[other, RATE]:.0%})",
            fine[judged, RATE][last] >= 2 * natural,
        ),
        Claim(
            "They grow with the steps.",
            f"in {judged}, at rate {RATE}, that contrast is larger at each of the steps than before",
            f"{_row(fine[judged, RATE])} ({other}: {_row(fine[other, RATE])})",
            _rises(list(fine[judged, RATE].values())),
        ),
    ]
    rows: list[list[Cell]] = [
        [name, rate, step, scores[name, rate][step], fine[name, rate][step]]
        for name, rate in found
        for step in found[name, rate][0]
    ]
    sheets = [
        (f"{name}, {rate}, {step} step{'s' * (step > 1)}", images[step][0])
        for (name, rate), (images, _, _) in found.items()
        for step in steps
    ]
    return Exhibit(
        "Steps and learning rates without regularisation",
        "the slides (S3)",
        f"The first {_UNITS} channels of `{layer}` as pixels, without transforms, penalties or decorrelated colour, by "
        f"Adam at three rates, with `{judged}`, trained like the document's network, and `{other}`.",
        claims,
        [
            Picture("pictures", sheet_of(sheets, len(steps)), f"{layer}:0 by rates and steps", _SEEN["rates"]),
            Picture(
                "curves",
                _curves(
                    {f"{name}, rate {rate}": (scores[name, rate], fine[name, rate]) for name, rate in found}, natural
                ),
                "Score and fine detail over the steps",
                _SEEN["rates-plot"],
            ),
        ],
        [Table("steps", ("network", "rate", "steps", "mean score", "contrast of detail finer than 4 px"), rows)],
    )


def fourier(hall: Hall) -> Exhibit:
    """The same ascent in pixels and in the Fourier basis with decorrelated colour."""
    layer = hall.middle
    ways: dict[str, dict[str, Any]] = {"without": {"image": "pixels", "color": "none"}, "with": {"image": "fourier"}}
    model = hall.ordinary
    found = {
        way: ladder(hall, model, layer, _STEPS, learning_rate=RATE, transforms="slides", **settings)
        for way, settings in ways.items()
    }
    steps = list(found["with"][0])
    second, last, before = steps[min(1, len(steps) - 1)], steps[-1], steps[max(0, len(steps) - 3)]
    scores = {key: value[1] for key, value in found.items()}
    fine = {key: value[2] for key, value in found.items()}
    shares = {
        key: {step: float(high_frequency(one).mean()) for step, one in value[0].items()} for key, value in found.items()
    }
    growth = {key: values[last] / max(values[before], 1e-9) for key, values in fine.items()}
    natural = float(contrast(crops_of(hall).pictures).mean())
    claims = [
        Claim(
            "In pixels the fine detail grows with the steps.",
            f"its contrast at step {last} is at least 1.5 times that at step {before}",
            f"{growth['without']:.2f} times: {_row(fine['without'])}",
            growth["without"] >= 1.5,
        ),
        Claim(
            "In the Fourier basis it does not.",
            "the same is less than 1.1 times",
            f"{growth['with']:.2f} times: {_row(fine['with'])}",
            growth["with"] < 1.1,
        ),
        Claim(
            "Preconditioned pictures have less of high frequency.",
            "a smaller share of their power lies above a quarter cycle per px at every step",
            f"with {_row(shares['with'])}; without {_row(shares['without'])}",
            all(shares["with"][step] < shares["without"][step] for step in steps),
        ),
        Claim(
            "They develop faster.",
            f"a higher mean score at step {second}",
            f"with {scores['with'][second]:.3g}, without {scores['without'][second]:.3g}",
            scores["with"][second] > scores["without"][second],
        ),
    ]
    rows: list[list[Cell]] = [
        [way, step, scores[way][step], fine[way][step], shares[way][step]] for way in found for step in steps
    ]
    drawn = [
        (f"{way}, {step} step{'s' * (step > 1)}", images[step][0])
        for way, (images, _, _) in found.items()
        for step in steps
    ]
    curves = {f"{way} Fourier basis": (scores[way], fine[way]) for way in found}
    return Exhibit(
        "With and without preconditioning",
        "the slides (S3)",
        f"The first {_UNITS} channels of `{layer}` of `{model.name}` at rate {RATE} under the document's transforms: "
        "as pixels, and as Fourier coefficients scaled by 1/f in decorrelated colour.",
        claims,
        [
            Picture("pictures", sheet_of(drawn, len(steps)), f"{layer}:0 without and with", _SEEN["fourier"]),
            Picture("curves", _curves(curves, natural), "Score and fine detail over the steps", _SEEN["fourier-plot"]),
        ],
        [Table("steps", ("Fourier", "steps", "mean score", "contrast of detail", "share above 1/4"), rows)],
    )


def _rises(values: list[float]) -> bool:
    return all(first < then for first, then in pairwise(values))


def _row(values: Mapping[int, float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values.values())


def sheet_of(pictures: list[tuple[str, Tensor]], columns: int) -> Image.Image:
    """Labelled pictures on one page."""
    return sheet([image for _, image in pictures], [label for label, _ in pictures], columns)


def _curves(found: Mapping[str, tuple[dict[int, float], dict[int, float]]], natural: float) -> Image.Image:
    with chart(2) as drawn:
        score, fine = drawn.axes
        for label, (scores, contrasts) in found.items():
            score.plot(list(scores), list(scores.values()), "o-", label=label)
            fine.plot(list(contrasts), list(contrasts.values()), "o-", label=label)
        fine.axhline(natural, color="grey", linestyle=":", label="photos")
        score.set(xlabel="steps", ylabel="mean score\n(layer's own units)", xscale="log")
        fine.set(xlabel="steps", ylabel="contrast of detail\nfiner than 4 px (0 to 1)", xscale="log")
        for axes in drawn.axes:
            axes.legend(fontsize=8)
    return drawn.image


ITEMS = {"rates": rates, "fourier": fourier}
