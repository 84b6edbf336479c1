"""Attributions made visible: a map laid over its photo."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from pellucid.explain.attribution import Attribution
from pellucid.images.sheets import contact_sheet, picture, show_channels

__all__ = ["overlay", "sheet_of"]

_CUT = 0.99  # of the pixels: the few above it are shown as strong as that, so that one pixel does not darken all others
_GREY = 0.35  # how much of the photo is left where nothing is marked
_FOR = (0.90, 0.16, 0.10)  # red: raises the score
_AGAINST = (0.12, 0.36, 0.95)  # blue: lowers it; told from red also by those who see no red

_WIDE_PX = 320  # of a picture on the sheet, at least


def overlay(found: Attribution) -> Float[Tensor, "3 h w"]:
    """The photo in faint greys, red where it raises the score and blue where it lowers it, in [0, 1].

    The colour is as strong as the map, up to the 99th percentile of its size.
    """
    photo = show_channels(found.photo.clamp(0, 1))
    if photo.shape[-2:] != found.map.shape:  # channels shown side by side
        photo = found.photo.mean(0, keepdim=True).expand(3, -1, -1)
    faint = 1 - _GREY * (1 - photo.mean(0, keepdim=True))
    strength = found.map.abs().float()
    most = strength.flatten().quantile(_CUT)
    most = most if most > 0 else strength.amax()
    alpha = (strength / most.clamp(min=1e-30)).clamp(0, 1)
    sign = (found.map >= 0)[None]
    colour = torch.where(sign, torch.tensor(_FOR)[:, None, None], torch.tensor(_AGAINST)[:, None, None])
    return faint * (1 - alpha) + colour * alpha


def sheet_of(found: Sequence[Attribution], labels: Sequence[str] | None = None) -> Image.Image:
    """The photo, and beside it one map after the other, each with its method below it."""
    shown = [found[0].photo, *(overlay(one) for one in found)]
    names = list(labels or map(_label, found))
    enlarge = max(1, -(-_WIDE_PX // found[0].photo.shape[-1]))
    title = f"{found[0].target}: red raises it, blue lowers it (of gradients, red matters either way)"
    pictures = [picture(one) for one in shown]
    return contact_sheet(pictures, ["photo", *names], enlarge=enlarge, background="light", title=title)


def _label(found: Attribution) -> str:
    return f"{found.method} at {found.layer}" if found.layer else found.method
