"""Which layers of a network are worth a look: its blocks, without what lies inside them. Needs no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pellucid.models.layers import Layer

__all__ = ["blocks"]

# Modules that only hold others in a row; what they hold is as interesting as they are.
_CONTAINER = re.compile(r"(Sequential|Stage|Encoder|Model|Features|Backbone)$")


def blocks(found: Mapping[str, Layer]) -> list[Layer]:
    """The layers that are not inside a block: a Bottleneck is shown, its convolutions are not."""

    def is_open(name: str) -> bool:
        inside = sum(other.startswith(f"{name}.") for other in found)
        return bool(_CONTAINER.search(found[name].kind)) or inside > len(found) / 2

    closed = [name for name in found if not is_open(name)]
    return [layer for name, layer in found.items() if not any(name.startswith(f"{block}.") for block in closed)]
