"""What can be aimed at: layers from edges to objects; neuron, channel, layer and class.

Source: reference document 003, after Olah et al., "Feature Visualization", Distill 2017.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

import pellucid as pl
from gallery.exhibit import Cell, Claim, Exhibit, Picture, Table
from gallery.hall import SURE, Hall
from gallery.measures import rank_correlation, scale_px
from gallery.plots import sheet
from pellucid.objectives.from_target import objective_of
from pellucid.objectives.objective import Objective

__all__ = ["ITEMS", "class_probabilities"]

_STEPS = 128
_DEPTH_UNITS = 6
_RISES = 0.7  # rank correlation with the layer's place
_CLASSES = (0, 60, 120, 180)  # of the network's outputs, as far as it has so many
_SEEN = {
    "depth": (
        "Flat colours, then stripes and mazes, spots and weaves, cells and round eyes, and in the last row halves of "
        "objects: white roses, a carved vase, a window, faces with black eyes. Wrong: the first channels of conv1 are "
        "colours with ragged bounds and no edges, and in the last row there is hardly an object that one would name "
        "for certain."
    ),
    "aims": (
        "A neuron's picture is one motif in the middle that fades to grey, a channel's is the same motif all "
        "over; the whole layer's are crowds of black-eyed rings in bright colours; logits and probabilities show "
        "gowns, skirts and an ice lolly, and of the goldfish an orange head. Wrong: the layer's four pictures "
        "differ in size of their rings only, and a fine checkerboard lies over all but the probabilities'."
    ),
}


def depth(hall: Hall) -> Exhibit:
    """The ladder of layers, from edges to objects."""
    layers = hall.stages
    targets = [f"{layer}:{unit}" for layer in layers for unit in range(_DEPTH_UNITS)]
    made = pl.render(hall.model, targets, recipe=SURE, steps=hall.steps(_STEPS))
    places = torch.arange(len(layers)).repeat_interleave(_DEPTH_UNITS).float()
    sizes = scale_px(made.images)
    edged = _coherence(made.images)
    sure = class_probabilities(hall.model, made.images).amax(1)

    def of_layers(values: Float[Tensor, " b"]) -> Float[Tensor, " l"]:
        mean: Tensor = values.unflatten(0, (len(layers), _DEPTH_UNITS)).mean(1)
        return mean

    def told(values: Float[Tensor, " b"], spec: str) -> str:
        return ", ".join(f"{value:{spec}}" for value in of_layers(values).tolist())

    claims = [
        Claim(
            "The first layer's pictures are edges.",
            "they lie in one direction more than those of any later layer (mean coherence of their gradients, 0 to 1)",
            f"layer by layer {told(edged, '.2f')}",
            int(of_layers(edged).argmax()) == 0,
        ),
        Claim(
            "Patterns become larger with depth.",
            f"the wavelength of the mean frequency correlates with the layer's place by rank, at least {_RISES}",
            f"{rank_correlation(places, sizes):.2f}; layer by layer {told(sizes, '.1f')} px",
            rank_correlation(places, sizes) >= _RISES,
        ),
        Claim(
            "They become objects: the network takes them for one of its classes.",
            f"the largest class probability correlates with the layer's place by rank, at least {_RISES}",
            f"{rank_correlation(places, sure):.2f}; layer by layer {told(sure, '.0%')}",
            rank_correlation(places, sure) >= _RISES,
        ),
    ]
    rows: list[list[Cell]] = [
        [target, float(made.scores[i]), float(edged[i]), float(sizes[i]), float(sure[i])]
        for i, target in enumerate(targets)
    ]
    return Exhibit(
        "From edges to objects",
        "the slides (S3)",
        f"The first {_DEPTH_UNITS} channels of every stage, by the default recipe, {hall.steps(_STEPS)} steps.",
        claims,
        [
            Picture(
                "pictures",
                sheet(list(made.pictures), targets, _DEPTH_UNITS),
                "Row by row, deeper layers",
                _SEEN["depth"],
            )
        ],
        [Table("units", ("target", "score", "coherence", "wavelength in px", "largest class probability"), rows)],
    )


def aims(hall: Hall) -> Exhibit:
    """Neuron, channel, layer, class logit and class probability."""
    layer = hall.middle
    outputs = hall.model.layer("output").units
    classes = sorted({min(index, outputs - 1) for index in _CLASSES})
    names = [hall.model.classes[index] if hall.model.classes else str(index) for index in classes]
    texts = [
        (f"{layer}:{unit}@c", f"{layer}:{unit}", layer, f"logit:{index}", f"prob:{index}")
        for unit, index in enumerate(classes)
    ]
    kinds = ("neuron", "channel", "layer", "logit", "probability")
    made = pl.render(hall.model, [text for row in texts for text in row], recipe=SURE, steps=hall.steps(_STEPS))
    wins = torch.zeros(len(kinds))
    scores = torch.zeros(len(texts), len(kinds), len(kinds))
    for number, row in enumerate(texts):
        images = made.images[number * len(kinds) : (number + 1) * len(kinds)]
        for column, text in enumerate(row):
            scores[number, :, column] = _scored(hall.model, images, objective_of(pl.Target.parse(text), hall.model))
        wins += (scores[number].argmax(0) == torch.arange(len(kinds))).float()
    spread = _centre_share(made.images).unflatten(0, (len(texts), len(kinds))).mean(0)
    logits, probabilities = scores[:, 3:, 3], scores[:, 3:, 4]
    claims = [
        Claim(
            "Each kind of objective has a picture of its own, which does best by it.",
            f"for each of {len(texts)} units and classes, of all five the picture made for an objective scores highest",
            ", ".join(f"{kind} {int(won)} of {len(texts)}" for kind, won in zip(kinds, wins.tolist(), strict=True)),
            bool((wins == len(texts)).all()),
        ),
        Claim(
            "A neuron's picture lies at its place; a channel's repeats everywhere.",
            "more of the contrast lies in the middle quarter of the picture for the neuron than for the channel",
            f"{float(spread[0]):.0%} against {float(spread[1]):.0%} (evenly spread: 25%)",
            float(spread[0]) > float(spread[1]),
        ),
        Claim(
            "The logit's picture collects evidence for the class; the probability's also removes that for others.",
            "on average a higher logit by the first, and at least as high a probability by the second",
            f"logits {logits[:, 0].mean():.1f} and {logits[:, 1].mean():.1f}, "
            f"probabilities {probabilities[:, 0].mean():.3f} and {probabilities[:, 1].mean():.3f}",
            bool(
                logits[:, 0].mean() > logits[:, 1].mean() and probabilities[:, 1].mean() >= probabilities[:, 0].mean()
            ),
        ),
    ]
    rows: list[list[Cell]] = [
        [text, *scores[number, place].tolist()] for number, row in enumerate(texts) for place, text in enumerate(row)
    ]
    labels = [
        label
        for (neuron, one, whole, _, _), name in zip(texts, names, strict=True)
        for label in (neuron, one, whole, f"logit of {name}", f"probability of {name}")
    ]
    return Exhibit(
        "Neuron, channel, layer, logit, probability",
        "the slides (S3)",
        f"Units 0 to {len(classes) - 1} of `{layer}` and the classes {', '.join(names)}, {hall.steps(_STEPS)} steps.",
        claims,
        [
            Picture(
                "pictures",
                sheet(list(made.pictures), labels, len(kinds)),
                "Neuron, channel, layer, logit and probability",
                _SEEN["aims"],
            )
        ],
        [Table("scores", ("picture of", *(f"scored as {kind}" for kind in kinds)), rows)],
    )


def _scored(model: pl.Model, images: Float[Tensor, "b c h w"], objective: Objective) -> Float[Tensor, " b"]:
    with torch.no_grad():
        return objective(model.tap(images, objective.taps))


def class_probabilities(model: pl.Model, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
    """What the network says of pictures in its own range."""
    with torch.no_grad():
        output = torch.cat([model(part).flatten(1) for part in images.split(32)])
    return output if model.output_kind == "probabilities" else output.softmax(1)


def _coherence(images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """How far differences of neighbouring pixels point one way, by the structure tensor: 0 not at all, 1 all."""
    down, right = images.diff(dim=2)[..., :-1], images.diff(dim=3)[:, :, :-1]
    a, b, c = (part.sum((1, 2, 3)) for part in (down * down, right * right, down * right))
    return ((a - b).square() + 4 * c.square()).sqrt() / (a + b).clamp(min=1e-20)


def _centre_share(images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """The share of the squared distance from the mean colour that lies in the middle quarter of the picture."""
    energy = (images - images.mean((2, 3), keepdim=True)).square().sum(1)
    height, width = energy.shape[1:]
    middle = energy[:, height // 4 : height - height // 4, width // 4 : width - width // 4]
    return middle.sum((1, 2)) / energy.sum((1, 2)).clamp(min=1e-20)


ITEMS = {"depth": depth, "aims": aims}
