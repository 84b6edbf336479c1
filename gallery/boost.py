"""Item 2: from a photo to the filters that it excites, to what the strongest of them looks for and where it fires.

Source: reference document 001, on boosted convolutional features: mean activation of every filter of the last layer
before the classifier; the most active one is drawn from noise and taken for what matters most in the photo.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from matplotlib import colormaps
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

import pellucid as pl
from gallery.exhibit import Claim, Exhibit, Picture, Table
from gallery.hall import PHOTOS, SURE, Hall
from gallery.measures import activations
from gallery.plots import chart, sheet

__all__ = ["ITEMS"]

_STEPS = 256
_STANDS_OUT = 1.5  # times the second strongest filter: what a bar chart shows at a glance
_QUARTERS = 4  # parts of equal area that are hidden in turn
_RED, _BLUE = "tab:red", "tab:blue"


def boost(hall: Hall) -> Exhibit:
    """A photo, the filter that it excites most, what that filter looks for and where in the photo it fires."""
    model, layer = hall.model, hall.stage(1)
    low, high = model.value_range
    photos = torch.stack([hall.photo(name, min(model.size)) for name in PHOTOS])
    inputs = low + (high - low) * photos
    maps = activations(model, inputs, layer)
    bars = maps.mean((2, 3))
    top = bars.topk(2)
    best = top.indices[:, 0]
    heat = maps[torch.arange(len(PHOTOS)), best]
    drawn = pl.render(model, [f"{layer}:{unit}" for unit in best.tolist()], recipe=SURE, steps=hall.steps(_STEPS))
    ratios = top.values[:, 0] / top.values[:, 1]
    gains = drawn.scores / top.values[:, 0]
    own, evidence = _hidden(model, inputs, heat, layer, best)
    classes = [_class_name(model, index) for index in _outputs(model, inputs).argmax(1).tolist()]
    rivals = [float(left[1:].mean()) for left in evidence]
    claims = [
        Claim(
            "One filter answers to the photo significantly more than all others.",
            f"in most photos the strongest filter's mean activation is at least {_STANDS_OUT} times the second's",
            _each(ratios.tolist()),
            int((ratios >= _STANDS_OUT).sum()) > len(PHOTOS) / 2,
        ),
        Claim(
            "Which filter it is depends on what the photo shows.",
            f"{len(PHOTOS)} photos have {len(PHOTOS)} different strongest filters",
            ", ".join(f"{name} {unit}" for name, unit in zip(PHOTOS, best.tolist(), strict=True)),
            len(set(best.tolist())) == len(PHOTOS),
        ),
        Claim(
            "The strongest filter's picture shows what it looks for.",
            "every picture excites its filter more than the photo that led to it does",
            f"times the photo's activation: {_each(gains.tolist())}",
            bool((gains > 1).all()),
        ),
        Claim(
            "The filter answers to part of the photo.",
            "in every photo, greying the quarter where it fires most takes more of its activation than greying the "
            "other quarters does on average",
            f"what is left: {_each([float(left[0]) for left in own])}; "
            f"of the other quarters: {_each([float(left[1:].mean()) for left in own])}",
            all(float(left[0]) < float(left[1:].mean()) for left in own),
        ),
        Claim(
            "What the strongest filter answers to is what matters most for the class.",
            "in every photo, greying that quarter lowers the logit of the photo's class more than greying the other "
            "quarters does on average",
            f"change of the logit: {_each([float(left[0]) for left in evidence])}; by the others: {_each(rivals)}",
            all(float(left[0]) < rival for left, rival in zip(evidence, rivals, strict=True)),
        ),
    ]
    rows = [
        (name, unit, float(bars[index, unit]), int(unit == best[index]))
        for index, name in enumerate(PHOTOS)
        for unit in range(bars.shape[1])
    ]
    quarters = [
        (name, found, part + 1, float(own[index][part]), float(evidence[index][part]))
        for index, (name, found) in enumerate(zip(PHOTOS, classes, strict=True))
        for part in range(_QUARTERS)
    ]
    head = ("photo", "class", "quarter, from where it fires most", "activation left", "change of the class's logit")
    return Exhibit(
        "From a photo to its strongest filter",
        "the article on boosted features (S1)",
        f"Four photos of scikit-image at {min(model.size)} px; every filter's mean activation at `{layer}`, the last "
        f"layer before the classifier of `{model.name}`; the strongest drawn from noise in {hall.steps(_STEPS)} steps.",
        claims,
        [
            Picture(
                "bars",
                _bars(bars, best),
                f"Mean activation of every filter of {layer} for each photo",
                "The cat's bar stands alone, the others do not; the coffee's is no higher than the next. Several "
                "hundred bars are finer than a phone can show, and the red one is drawn wider than it is.",
            ),
            Picture(
                "strongest",
                _sheet(photos, heat, drawn.pictures, best, classes),
                "Photo, where its strongest filter fires (yellow: most), and that filter's picture",
                "16 draws a dog's snout and fires between the cat's eyes and nose; 79 draws brown brew in a white rim "
                "and fires at the cup; 266 draws a roof and a pole above a row of posts and fires at the rocket's "
                "middle; 4 draws round heads with black eyes and fires beside the astronaut's face. The maps have 4 x "
                "4 places, smoothed: their outlines mean nothing.",
            ),
        ],
        [
            Table("activations", ("photo", "filter", "mean activation", "strongest"), rows),
            Table("quarters", head, quarters),
        ],
    )


def _hidden(
    model: pl.Model, inputs: Float[Tensor, "b c h w"], heat: Float[Tensor, "b h2 w2"], layer: str, best: Tensor
) -> tuple[list[Tensor], list[Tensor]]:
    """For each photo and hidden quarter: what is left of the filter's activation, and how the class's logit changes.

    Quarters have equal areas; the first is where the map is highest.
    """
    grey = sum(model.value_range) / 2
    own, evidence = [], []
    for image, places, unit in zip(inputs, _enlarged(heat, inputs.shape[-1]), best.tolist(), strict=True):
        ranks = places.flatten().argsort(descending=True).argsort().view_as(places)
        part = ranks * _QUARTERS // ranks.numel()
        hidden = torch.stack([torch.where(part == which, grey, image) for which in range(_QUARTERS)])
        both = torch.cat([image[None], hidden])
        fires = activations(model, both, layer)[:, unit].mean((1, 2))
        logits = _outputs(model, both)
        own.append(fires[1:] / fires[0])
        evidence.append(logits[1:, logits[0].argmax()] - logits[0].max())
    return own, evidence


def _outputs(model: pl.Model, inputs: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
    with torch.no_grad():
        return model(inputs).float()


def _class_name(model: pl.Model, index: int) -> str:
    return model.classes[index].partition(",")[0] if model.classes else f"class {index}"


def _enlarged(heat: Float[Tensor, "b h w"], side_px: int) -> Float[Tensor, "b side side"]:
    return F.interpolate(heat[:, None], (side_px, side_px), mode="bilinear")[:, 0]


def _each(values: list[float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in zip(PHOTOS, values, strict=True))


def _bars(bars: Float[Tensor, "b n"], best: Tensor) -> Image.Image:
    with chart(len(PHOTOS), height=1.9) as drawn:
        for axes, name, heights, unit in zip(drawn.axes, PHOTOS, bars, best.tolist(), strict=True):
            axes.bar(range(len(heights)), heights.tolist(), width=1.0, color=_BLUE)
            axes.bar([unit], [float(heights[unit])], width=max(2, len(heights) / 150), color=_RED)
            axes.annotate(f"{unit}", (unit, float(heights[unit])), color=_RED, ha="center", va="bottom")
            axes.set(title=name, ylabel="activation", xlim=(-1, len(heights)))
            axes.margins(y=0.2)
        drawn.axes[-1].set_xlabel("filter")
    return drawn.image


def _sheet(
    photos: Float[Tensor, "b 3 h w"],
    heat: Float[Tensor, "b h2 w2"],
    drawn: Float[Tensor, "b c h w"],
    best: Tensor,
    classes: list[str],
) -> Image.Image:
    """Four rows of three: the photo, the map of the filter over its greys, the filter's picture."""
    places = _enlarged(heat, photos.shape[-1])
    places = places / places.amax((1, 2), keepdim=True).clamp(min=1e-12)
    colors = torch.from_numpy(colormaps["inferno"](places.numpy())[..., :3]).permute(0, 3, 1, 2).float()
    lit = 0.4 * photos.mean(1, keepdim=True) + 0.6 * colors
    images = [one for row in zip(photos, lit, drawn, strict=True) for one in row]
    labels = [
        label
        for name, found, unit in zip(PHOTOS, classes, best.tolist(), strict=True)
        for label in (f"{name} (seen as {found})", f"where {unit} fires", f"what {unit} looks for")
    ]
    return sheet(images, labels, 3)


ITEMS = {"boost": boost}
