"""Images of a group that share their coarse shapes: what makes a row of pictures line up."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.draws import Draws
from pellucid.errors import ImageError
from pellucid.images.image import Image, LinearImage
from pellucid.images.pyramid import Levels

__all__ = ["SharedLowRes"]

LEVELS = (1, 2, 3, 4)
"""A half, a quarter, an eighth and a sixteenth of the size: the levels of Lucid's aligned interpolations."""


class SharedLowRes(Image):
    """An image plus, for the rows of a group, coarse pictures that all of them have in common.

    latents_i = own latents_i + matrix x sum_k enlarged(level_k of i's group), the colour matrix being the own image's.
    `groups` lists rows, or is a number: that many rows after another make a group. Rows of no group are as without.

    The one exception to row i affecting image i only, and only within a group. Still every parameter has one row for
    each image, so that optimisers, histories and `flat` need know nothing of groups: `shared` [b, m] holds a share for
    each image, and a group's levels (levels 1 to 4: a half to a sixteenth of the size) are the mean of its rows'
    shares. Each row of a group gets the same gradient, the mean of what its images ask for, and Adam moves the mean as
    far as it would move a single parameter. The spread of a start's levels is `sd` whatever the size of the group.

    A group enters and leaves whole: `reset_rows` and `set_rows` take all rows of a group or none. From a photo, the
    shared levels are 0 and the own image is the photo.

    Raises:
        ImageError: a group is empty, names a row twice or one that does not exist, or does not divide the number of
            rows; the spread is negative; or the image's squash projects ("clip": it would project its own part only).

    Source: Mordvintsev et al., "Differentiable Image Parameterizations", Distill 2018 (aligned feature visualization
    interpolation): Lucid's `lowres_tensor`, one for all images, added to a `fft_image` of each.
    """

    def __init__(self, own: LinearImage, groups: int | Sequence[Sequence[int]], *, sd: float = 0.01) -> None:
        super().__init__(own.num_images, own.size, own.channels)
        if own.squash.projects:
            raise ImageError("a shared image cannot be projected row by row; squash by 'sigmoid'")
        if not sd >= 0:
            raise ImageError(f"the spread of the start must be 0 or more, not {sd}")
        self.own = own
        self.groups = _checked_groups(groups, own.num_images)
        self.sd = sd
        self._levels = Levels(own.size, own.channels, LEVELS)
        self.shared = nn.Parameter(
            torch.zeros(
                own.num_images, sum(self._levels.counts), dtype=own.parameter.dtype, device=own.parameter.device
            )
        )

    def regroup(self, groups: Sequence[Sequence[int]]) -> None:
        """From now on these rows are groups. Those of a new group are to be filled before they are looked at.

        Raises:
            ImageError: as for a new image.
        """
        self.groups = _checked_groups(groups, self.num_images)

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        return self.own.ranges

    def forward(self) -> Float[Tensor, "b c h w"]:
        return self.own.squash.to_pixels(self.own.latents() + self.component())

    def component(self) -> Float[Tensor, "b c h w"]:
        """What the shared levels add to the latents of each image; 0 for rows of no group."""
        common = [self.shared[list(group)].mean(0) for group in self.groups]
        own_group = {row: number for number, group in enumerate(self.groups) for row in group}
        none = torch.zeros_like(self.shared[0])
        rows = [common[own_group[row]] if row in own_group else none for row in range(self.num_images)]
        return self.own.mixed(self._levels.sum(torch.stack(rows)))

    @torch.no_grad()
    def reset_rows(self, rows: Sequence[int], draws: Draws) -> None:
        self._check_whole_groups(rows)
        places = self._checked_rows(rows, draws)
        self.own.reset_rows(rows, draws)
        for place, row in enumerate(rows):
            size = next((len(group) for group in self.groups if row in group), 0)
            share = draws.rows([place]).to(places.device).child("shared start").normal(self.shared.shape[1])
            self.shared[row] = (share[0] * self.sd * math.sqrt(size)).to(self.shared.dtype)

    @torch.no_grad()
    def set_rows(self, rows: Sequence[int], images: Float[Tensor, "n c h2 w2"]) -> None:
        self._check_whole_groups(rows)
        self.own.set_rows(rows, images)
        self.shared[self._checked_rows(rows)] = 0

    @torch.no_grad()
    def resized(self, size: tuple[int, int]) -> SharedLowRes:
        new = SharedLowRes(self.own.resized(size), self.groups, sd=self.sd)
        levels = zip(self._levels.split(self.shared), new._levels.sizes, strict=True)
        scaled = [F.interpolate(level, size=one, mode="bilinear", antialias=True).flatten(1) for level, one in levels]
        new.shared.copy_(torch.cat(scaled, 1))
        # Levels of another size do not sum up to quite the same: each image's own part makes up for it.
        whole = self.own.latents() + self.component()
        wanted = F.interpolate(whole, size=size, mode="bicubic", antialias=True, align_corners=False)
        new.own.set_latents(range(self.num_images), wanted - new.component())
        return new

    def _check_whole_groups(self, rows: Sequence[int]) -> None:
        for group in self.groups:
            missing = sorted(set(group) - set(rows))
            if missing and set(group) & set(rows):
                raise ImageError(f"rows {list(group)} share an image and start together; rows {missing} are missing")


def _checked_groups(groups: int | Sequence[Sequence[int]], num_images: int) -> tuple[tuple[int, ...], ...]:
    if isinstance(groups, int):
        if groups < 1 or num_images % groups:
            raise ImageError(f"{num_images} rows cannot be cut into groups of {groups}")
        return tuple(tuple(range(start, start + groups)) for start in range(0, num_images, groups))
    rows = [row for group in groups for row in group]
    if not all(0 <= row < num_images for row in rows) or len(set(rows)) < len(rows) or not all(map(len, groups)):
        raise ImageError(
            f"groups hold each of the rows 0 to {num_images - 1} at most once, and none is empty; not "
            f"{[list(group) for group in groups]}"
        )
    return tuple(tuple(group) for group in groups)
