"""Contact sheets: a peer's pictures above, ours below, unit by unit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from measure import COUNTERPARTS, OURS, Pictures
from pellucid.images.sheets import contact_sheet

__all__ = ["write_sheets"]

_COLUMNS = 8


def write_sheets(network: str, pictures: Pictures, reach: Sequence[dict[str, Any]], folder: Path) -> None:
    """Write NETWORK-PEER.png for every peer, labelled with the clean activations."""
    for peer in pictures:
        if peer in (OURS, *COUNTERPARTS.values()):
            continue
        ours = COUNTERPARTS.get(peer, OURS)
        rows = {row["unit"]: row for block in reach if block["round"] == 0 for row in block["peers"].get(peer, ())}
        images, labels = [], []
        units = sorted(rows)
        for start in range(0, len(units), _COLUMNS):
            line = units[start : start + _COLUMNS]
            for side, value in ((peer, "clean"), (ours, "our_clean")):
                images += [torch.from_numpy(np.clip(pictures[side][unit], 0, 1)) for unit in line]
                labels += [f"{side} {unit}: {rows[unit][value]:.3g}" for unit in line]
        if images:
            title = f"{network}: {peer} above, Pellucid below; unit: mean activation without transforms"
            columns = min(_COLUMNS, len(units))
            contact_sheet(images, labels, columns=columns, title=title).save(folder / f"{network}-{peer}.png")
