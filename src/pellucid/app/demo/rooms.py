"""What the demo shows: which units, in which order, with which words. Chosen by hand, by looking at contact sheets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["GROWTH", "LADDER", "OPPOSITES", "STARTS", "Room"]


@dataclass(frozen=True)
class Room:
    """Pictures that are made in one call and shown side by side.

    `depth` is how much of the network they need, from 0 to 1: what a step costs, for the bar. `size_px` is for units
    that see little of a picture: in a large one their answer drowns in repetition.
    """

    key: str
    title: str
    text: str
    targets: tuple[str, ...]
    steps: int
    depth: float = 1.0
    snapshots: tuple[int, ...] = ()
    size_px: int | None = None
    transforms: str = "lucid"


def _units(layer: str, *channels: int) -> tuple[str, ...]:
    return tuple(f"{layer}:{channel}" for channel in channels)


_EARLY: dict[str, Any] = {"size_px": 32, "transforms": "slides", "steps": 64}

LADDER = (
    Room(
        "conv1",
        "Light and colours",
        "The first layer sees 5 pixels at a time. Over a whole picture an edge pays as much as it costs: colours are "
        "left. (Pictures of 32 px.)",
        _units("conv1", 3, 24, 19, 10, 6, 5),
        depth=0.1,
        **_EARLY,
    ),
    Room(
        "conv2",
        "Strokes",
        "Strokes of one direction and width, and colours against their opposites. (32 px.)",
        _units("conv2", 42, 44, 12, 10, 57, 63),
        depth=0.15,
        **_EARLY,
    ),
    Room(
        "mixed3a",
        "Weaves",
        "Strokes repeat: hatchings, grids, dots.",
        _units("mixed3a", 0, 1, 3, 40, 77, 120),
        steps=96,
        depth=0.5,
    ),
    Room(
        "mixed3b",
        "Textures",
        "Hatchings, stripes, braids and chains, each at a scale of its own.",
        _units("mixed3b", 42, 174, 54, 156, 66, 132),
        steps=96,
        depth=0.6,
    ),
    Room(
        "mixed4a",
        "Patterns",
        "Textures close into cells, rings and eyes.",
        _units("mixed4a", 24, 64, 144, 40, 208, 288),
        steps=128,
        depth=0.7,
    ),
    Room(
        "mixed4b",
        "Parts",
        "Scales, nets, eyes, bulges, twigs: parts, wherever they are in the picture.",
        _units("mixed4b", 304, 264, 16, 104, 224, 0),
        steps=128,
        depth=0.8,
    ),
    Room(
        "mixed4c",
        "Parts in place",
        "A face in its hair, cells, cloth, a seam: parts that come with their surroundings.",
        _units("mixed4c", 108, 0, 324, 270, 99, 342),
        steps=128,
        depth=0.9,
    ),
    Room(
        "mixed5a",
        "Near objects",
        "A lamp, a dome, a beetle, a cauliflower: almost whole things.",
        _units("mixed5a", 224, 490, 266, 42, 196, 0),
        steps=128,
    ),
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
            "logit:academic gown",
            "logit:espresso",
        ),
        steps=192,
    ),
)
"""From the first layer to the last."""

GROWTH = Room(
    "growth",
    "How a picture grows",
    "It starts as faint noise. Every step changes it a little towards what raises the score.",
    ("logit:teapot",),
    192,
    snapshots=(0, 4, 12, 32, 80, 192),
)

OPPOSITES = Room(
    "opposites",
    "Most and least",
    "What a channel looks for, and what it is least like (taken before its nonlinearity).",
    ("mixed4a:64", "neg:mixed4a:64", "mixed4c:108", "neg:mixed4c:108"),
    128,
    0.8,
)

STARTS = Room(
    "starts",
    "One unit, several starts",
    "Other noise gives another picture. What they share is what the unit looks for; a unit that answers to several "
    "things shows them here.",
    ("mixed4c:108",) * 4,
    128,
    0.8,
)
