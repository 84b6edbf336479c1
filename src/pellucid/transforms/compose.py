"""Transforms one after the other, with neighbouring moves of the picture plane carried out as one warp."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.draws import Draws
from pellucid.errors import RecipeError
from pellucid.transforms.affine import GREY, Affine, Jitter, composed, shift, warp
from pellucid.transforms.boxes import Box
from pellucid.transforms.crops import Pad, RandomCrop, central
from pellucid.transforms.pixelwise import Blur, Noise, UniformNoise
from pellucid.transforms.transform import Chained, Transform

__all__ = ["FusedWarp", "Pipeline", "chain", "compose"]


@dataclass(frozen=True)
class FusedWarp:
    """A run of neighbouring moves and grey frames as ONE sampling of the picture, so that it is blurred once.

    `moves` holds each move with its place in the pipeline, which names its draws.
    """

    moves: tuple[tuple[int, Affine], ...]
    pads: tuple[Pad, ...] = ()
    keep_canvas: bool = False  # the frames stay on the result: only where a later crop may cut into them
    fill: float | int | tuple[float | int, ...] = GREY

    def __call__(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h2 w2"]:
        """Move each image by its own draws; the input's size, that of the padded canvas, or what a move makes of it.

        Source: `docs/design/fused-warp.md`.
        """
        size = (images.shape[2], images.shape[3])
        frame = sum(pad.px.on(size) for pad in self.pads)
        out = (size[0] + 2 * frame, size[1] + 2 * frame) if self.keep_canvas else size
        if images.device.type == "cpu" and all(isinstance(move, Jitter) for _, move in self.moves):
            # Whole pixels need no interpolation. Elsewhere reading the shifts back would stall the device.
            shifts = torch.zeros(len(images), 2, dtype=torch.int64)
            for place, move in self.moves:
                assert isinstance(move, Jitter)
                shifts = shifts + move.shifts(draws.child(str(place)), size)
            return shift(images, shifts, out, fill=self.fill)
        matrices = []
        for place, move in self.moves:
            matrices.append(move.sources(draws.child(str(place)), size))
            if (after := move.result_size(size)) != size:
                size = out = after
        sources = matrices[0]
        for matrix in matrices[1:]:
            sources = composed(sources, matrix)
        return warp(images, sources, out, fill=self.fill)


@dataclass(frozen=True)
class Pipeline(Chained):
    """Transforms in order, as asked for (`transforms`) and as carried out (`stages`).

    The result has the input's size, unless one of them is a crop or a box of a size of its own. No transforms: the very
    same tensor.
    """

    transforms: tuple[Transform, ...]
    fill: float | int | tuple[float | int, ...] = GREY
    stages: tuple[tuple[int, Transform], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", _stages(self.transforms, self.fill))

    def __call__(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h2 w2"]:
        """Carry out all transforms; the i-th draws from `draws.child(str(i))`."""
        size = (images.shape[2], images.shape[3])
        for place, stage in self.stages:
            images = stage(images, draws if isinstance(stage, FusedWarp) else draws.child(str(place)))
        return images if _crops(self.transforms) else central(images, size) if self.stages else images


def compose(transforms: Sequence[Transform], *, fill: float | int | Sequence[float | int] = GREY) -> Pipeline:
    """Transforms one after the other as one transform, with neighbouring moves fused into one warp.

    `fill` is what lies outside a picture, in the picture's range: one value, or one per channel. It holds for every
    frame, move and blur among them. Transforms of your own (`Transform`) stand between the others as they are.
    """
    return Pipeline(tuple(transforms), float(fill) if isinstance(fill, (int, float)) else tuple(map(float, fill)))


def chain(first: Transform, second: Transform) -> Pipeline:
    """Both, one after the other (`first >> second`); the parts of a pipeline join, so that neighbours fuse.

    Raises:
        RecipeError: two pipelines that fill what lies outside differently.
    """
    fills = {one.fill for one in (first, second) if isinstance(one, Pipeline) and one.transforms}
    if len(fills) > 1:
        raise RecipeError(
            f"pipelines that fill what lies outside with {' and '.join(map(str, fills))} cannot be joined"
        )
    parts = [part for one in (first, second) for part in (one.transforms if isinstance(one, Pipeline) else (one,))]
    return compose(parts, fill=fills.pop() if fills else GREY)


def _crops(transforms: Sequence[Transform]) -> bool:
    """Whether the result has a size of its own."""
    return any(
        isinstance(transform, RandomCrop) or (isinstance(transform, Box) and transform.px is not None)
        for transform in transforms
    )


def _stages(
    transforms: Sequence[Transform], fill: float | int | tuple[float | int, ...]
) -> tuple[tuple[int, Transform], ...]:
    """Group moves and the grey frames among them into fused warps; the rest stands alone."""
    stages: list[tuple[int, Transform]] = []
    run: list[tuple[int, Pad | Affine]] = []

    def close() -> None:
        moves = tuple((place, part) for place, part in run if isinstance(part, Affine))
        pads = tuple(part for _, part in run if isinstance(part, Pad))
        if moves:
            # A frame that nothing later can see is not drawn: what lies outside is grey anyway.
            seen = any(not isinstance(later, (Noise, UniformNoise)) for later in transforms[run[-1][0] + 1 :])
            stages.append((run[0][0], FusedWarp(moves, pads, keep_canvas=seen and bool(pads), fill=fill)))
        else:
            stages.extend((run[0][0], pad) for pad in pads)
        run.clear()

    for place, given in enumerate(transforms):
        part = replace(given, fill=fill) if isinstance(given, Blur) else given
        if isinstance(part, Pad):
            part = Pad(part.px, part.mode, fill=fill)
        if isinstance(part, Affine) or (isinstance(part, Pad) and part.mode == "grey"):
            run.append((place, part))
            continue
        close()
        stages.append((place, part))
    close()
    return tuple(stages)
