"""No penalty against L1, total variation and the blur penalty.

Source: reference document 003, with its weights: L1 0.05, total variation 0.25, blur 0.1. They were meant for a network
whose units fire in the hundreds; here they are divided by the same number until units fire again.
"""

from __future__ import annotations

import pellucid as pl
from gallery.exhibit import Cell, Claim, Exhibit, Picture, Table
from gallery.hall import SURE, Hall
from gallery.measures import high_frequency
from gallery.noise import BARE, RATE, sheet_of
from gallery.spectra import contrast

__all__ = ["ITEMS"]

_WEIGHTS = {"l1": 0.05, "tv": 0.25, "blur": 0.1}
_DIVISORS = (1, 4, 16, 64, 256, 1024, 4096, 16384)
_UNITS, _STEPS, _SEARCH_STEPS = 4, 128, 64
_FIRES = 0.5  # of the score without penalties: the unit still fires
_SEEN = (
    "Total variation takes the coloured speckle away and leaves pale forms on grey; L1 and blur at these "
    "weights change little; the document's own weights leave nothing but grey. Wrong: with total variation "
    "edges become blocks a few pixels wide, and half of channel 2's picture stays empty."
)


def penalties(hall: Hall) -> Exhibit:
    """Pictures without penalties, with L1, total variation and blur, and with all three."""
    layer = hall.middle
    targets = [f"{layer}:{unit}" for unit in range(_UNITS)]
    divisor = _divisor(hall, targets)
    own = {name: weight / divisor for name, weight in _WEIGHTS.items()}
    weights: dict[str, dict[str, float]] = {
        "none": {},
        **{name: {name: weight} for name, weight in own.items()},
        "all": own,
        "as in the slides": _WEIGHTS,
    }
    made = {way: _render(hall, targets, hall.steps(_STEPS), of) for way, of in weights.items()}
    scores = {key: float(one.scores.mean()) for key, one in made.items()}
    fine = {key: high_frequency(one.images) for key, one in made.items()}
    edges = {key: float(contrast(one.images, 1 / 16, 1 / 4).mean()) for key, one in made.items()}
    away = {key: float((one.pictures - 0.5).abs().mean()) for key, one in made.items()}
    ways = [way for way in made if way != "as in the slides"]

    def told(values: dict[str, float], spec: str) -> str:
        return ", ".join(f"{way} {values[way]:{spec}}" for way in ways)

    claims = [
        Claim(
            "With the document's own weights these units do not fire.",
            f"all three as they stand leave less than {_FIRES:.0%} of the mean score",
            f"{scores['as in the slides']:.2g} against {scores['none']:.3g}; divided by "
            f"{divisor}, at least {_FIRES:.0%} is left after {hall.steps(_SEARCH_STEPS)} steps",
            scores["as in the slides"] < _FIRES * scores["none"],
        ),
        Claim(
            "Penalties keep high frequencies down.",
            "with total variation, blur and all, every unit has a smaller share of its power above a quarter cycle per "
            "px than without",
            told({key: float(one.mean()) for key, one in fine.items()}, ".1%"),
            all(bool((fine[way] < fine["none"]).all()) for way in ("tv", "blur", "all")),
        ),
        Claim(
            "L1 keeps pixels at grey.",
            "pixels lie less far from mid-grey with it than without",
            told(away, ".3f"),
            away["l1"] < away["none"],
        ),
        Claim(
            "The unit still fires.",
            f"with each penalty and with all at least {_FIRES:.0%} of the mean score is left",
            told(scores, ".3g"),
            all(scores[way] >= _FIRES * scores["none"] for way in ways),
        ),
        Claim(
            "They discourage edges, too.",
            "with total variation, blur and all, the contrast between 4 and 16 px is smaller than without",
            told(edges, ".3f"),
            all(edges[way] < edges["none"] for way in ("tv", "blur", "all")),
        ),
    ]
    rows: list[list[Cell]] = [
        [way, one.recipe.penalties, target, float(one.scores[i]), float(fine[way][i])]
        for way, one in made.items()
        for i, target in enumerate(targets)
    ]
    sheet = [(f"{way}, {layer}:{unit}", one.pictures[unit]) for way, one in made.items() for unit in range(_UNITS)]
    return Exhibit(
        "Penalties on the picture",
        "the slides (S3)",
        f"{_UNITS} channels of `{layer}` of `{hall.ordinary.name}` as pixels without transforms at rate {RATE}, "
        f"{hall.steps(_STEPS)} steps. The weights of the document ({_text(_WEIGHTS)}) are divided by {divisor}, the "
        "least power of 4 with which all three together leave half of the mean score.",
        claims,
        [
            Picture(
                "pictures",
                sheet_of(sheet, _UNITS),
                f"{layer}:0 to {_UNITS - 1}, row by row with more penalties",
                _SEEN,
            )
        ],
        [Table("units", ("penalties", "weights", "target", "score", "share above 1/4 cycle"), rows)],
    )


def _divisor(hall: Hall, targets: list[str]) -> int:
    """The least of `_DIVISORS` that lets the units fire, in fewer steps than the pictures are made in."""
    steps = hall.steps(_SEARCH_STEPS)
    enough = _FIRES * float(_render(hall, targets, steps, {}).scores.mean())
    for divisor in _DIVISORS:
        weights = {name: weight / divisor for name, weight in _WEIGHTS.items()}
        if float(_render(hall, targets, steps, weights).scores.mean()) >= enough:
            return divisor
    return _DIVISORS[-1]


def _render(hall: Hall, targets: list[str], steps: int, weights: dict[str, float]) -> pl.Rendering:
    return pl.render(
        hall.ordinary, targets, recipe=SURE, steps=steps, learning_rate=RATE, penalties=_text(weights), **BARE
    )


def _text(weights: dict[str, float]) -> str:
    return " ".join(f"{name}:{weight:.3g}" for name, weight in weights.items())


ITEMS = {"penalties": penalties}
