"""What the demo shows: which units, in which order, with which words. Chosen by hand, by looking at contact sheets."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GROWTH", "LADDER", "OPPOSITES", "STARTS", "Room"]


@dataclass(frozen=True)
class Room:
    """Pictures that are made in one call and shown side by side.

    `depth` is how much of the network they need, from 0 to 1: what a step costs, for the bar.
    """

    key: str
    title: str
    text: str
    targets: tuple[str, ...]
    steps: int
    depth: float = 1.0
    snapshots: tuple[int, ...] = ()


def _layer(layer: str, title: str, text: str, channels: tuple[int, ...], steps: int, depth: float) -> Room:
    return Room(layer, title, text, tuple(f"{layer}:{channel}" for channel in channels), steps, depth)


LADDER = (
    _layer(
        "conv1",
        "Edges and colours",
        "The first layer sees 5 pixels at a time: an edge, a colour, a flicker.",
        (4, 9, 12, 17, 22, 28),
        64,
        0.2,
    ),
    _layer(
        "conv2",
        "Strokes",
        "Edges of one direction, and the colours on either side of them.",
        (2, 8, 19, 26, 37, 50),
        64,
        0.3,
    ),
    _layer("mixed3a", "Weaves", "Strokes repeat: hatchings, grids, dots.", (0, 1, 3, 40, 77, 120), 96, 0.5),
    _layer(
        "mixed3b", "Textures", "Fur, scales and ripples, each at a scale of its own.", (0, 3, 50, 91, 130, 170), 96, 0.6
    ),
    _layer("mixed4a", "Patterns", "Textures close into cells, rings and eyes.", (1, 2, 3, 100, 180, 260), 128, 0.7),
    _layer(
        "mixed4b",
        "Parts",
        "Eyes, beaks, wheels: parts, wherever they are in the picture.",
        (0, 3, 90, 150, 220, 300),
        128,
        0.8,
    ),
    _layer(
        "mixed4c", "Parts in place", "Parts that come with their surroundings.", (5, 60, 120, 200, 280, 340), 128, 0.9
    ),
    _layer("mixed5a", "Near objects", "Almost whole things, several at a time.", (0, 1, 150, 290, 410, 520), 128, 1.0),
    Room(
        "logits",
        "Objects",
        "The last layer's evidence for a class: what the network would call by that name.",
        (
            "logit:goldfish",
            "logit:king penguin",
            "logit:monarch",
            "logit:school bus",
            "logit:teapot",
            "logit:jellyfish",
            "logit:black stork",
            "logit:lemon",
            "logit:mushroom",
            "logit:ladybug",
            "logit:suspension bridge",
            "logit:espresso",
        ),
        192,
        1.0,
    ),
)
"""From the first layer to the last."""

GROWTH = Room(
    "growth",
    "How a picture grows",
    "It starts as faint noise. Every step changes it a little towards what raises the score.",
    ("logit:goldfish",),
    192,
    snapshots=(0, 4, 12, 32, 80, 192),
)

OPPOSITES = Room(
    "opposites",
    "Most and least",
    "What a channel looks for, and what it is least like (taken before its nonlinearity).",
    ("mixed4a:3", "neg:mixed4a:3", "mixed4b:3", "neg:mixed4b:3"),
    128,
    0.8,
)

STARTS = Room(
    "starts",
    "One unit, several starts",
    "Other noise gives another picture. What they share is what the unit looks for; a unit that answers to several "
    "things shows them here.",
    ("mixed4b:0",) * 4,
    128,
    0.8,
)
