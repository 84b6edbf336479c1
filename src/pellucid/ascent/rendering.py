"""What a run of the ascent gives back: pictures, how well they do, and how they came about."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from pellucid.ascent.plan import Resolved
from pellucid.ascent.realization import Realization
from pellucid.ascent.recipe import Recipe
from pellucid.errors import ImageError
from pellucid.images.files import write
from pellucid.images.sheets import contact_sheet, picture
from pellucid.images.sidecars import read_sidecar, write_sidecar
from pellucid.images.video import Reel, film, write_video

__all__ = ["Rendering", "State", "Status"]

State = Literal["done", "converged", "interrupted", "dead", "nonfinite"]


@dataclass(frozen=True)
class Status:
    """How one image ended, after how many steps, and by what it was woken if it got no gradient at first."""

    state: State
    step: int
    rescue: str | None = None

    @property
    def is_good(self) -> bool:
        """Whether the picture shows its unit."""
        return self.state in ("done", "converged")

    def __str__(self) -> str:
        woken = f", woken by {self.rescue}" if self.rescue else ""
        return f"{self.state} after {self.step} steps{woken}"


@dataclass(frozen=True)
class Rendering:
    """Pictures of one run, in the order they were asked for; index or slice it to get some of them.

    `images` [b, c, h, w] float32, in the network's value range; `scores` [b] clean (without transforms), in the
    layer's units; `history` [steps, b], the scores under transforms, NaN behind an image's end; `snapshots` step ->
    [b, c, h, w] (NaN for an image that had ended); `parameters` [b, m], what was optimised; `realizations` [b], what an
    inversion needs beside them.
    """

    images: Float[Tensor, "b c h w"]
    scores: Float[Tensor, " b"]
    history: Float[Tensor, "steps b"]
    snapshots: dict[int, Float[Tensor, "b c h w"]]
    status: tuple[Status, ...]
    targets: tuple[str, ...]
    recipe: Recipe
    resolved: Resolved
    model_name: str
    model_hash: str
    parameters: Float[Tensor, "b m"] = field(repr=False)
    value_range: tuple[float, float] = (0.0, 1.0)
    realizations: tuple[Realization, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, which: int | slice) -> Rendering:
        if isinstance(which, int):
            if not -len(self) <= which < len(self):
                raise IndexError(f"no image {which} in a rendering of {len(self)}")
            which = slice(which % len(self), which % len(self) + 1)
        return Rendering(
            images=self.images[which],
            scores=self.scores[which],
            history=self.history[:, which],
            snapshots={step: images[which] for step, images in self.snapshots.items()},
            status=self.status[which],
            targets=self.targets[which],
            recipe=self.recipe,
            resolved=self.resolved,
            model_name=self.model_name,
            model_hash=self.model_hash,
            parameters=self.parameters[which],
            value_range=self.value_range,
            realizations=self.realizations[which],
        )

    @property
    def alpha(self) -> bool:
        """Whether the last channel of the images is their opacity, from 0 (see-through) to 1."""
        return self.recipe.alpha

    @property
    def pictures(self) -> Float[Tensor, "b c h w"]:
        """The images in [0, 1], ready to be shown; an unbounded image is scaled by its own extremes. Opacity stays."""
        colors = self.images.shape[1] - self.alpha
        return torch.cat([self._scaled(self.images[:, :colors]), self.images[:, colors:].clamp(0, 1)], 1)

    def _scaled(self, colors: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        low, high = self.value_range
        shown = (colors - low) / (high - low)
        if self.recipe.squash == "unbounded":
            floor = shown.flatten(1).amin(1).view(-1, 1, 1, 1)
            span = shown.flatten(1).amax(1).view(-1, 1, 1, 1) - floor
            shown = (shown - floor) / span.clamp(min=1e-12)
        return shown.clamp(0, 1)

    def provenance(self, which: int = 0) -> dict[str, Any]:
        """Where one picture comes from, as plain data: network, target, recipe, score, status."""
        return {
            "pellucid": "rendering",
            "model": self.model_name,
            "model_hash": self.model_hash,
            "target": self.targets[which],
            "score": float(self.scores[which]),
            "status": asdict(self.status[which]),
            "recipe": self.recipe.as_dict(),
            "resolved": asdict(self.resolved),
            "value_range": list(self.value_range),
            "realization": self.realizations[which].as_dict() if self.realizations else None,
        }

    def save(
        self,
        path: str | Path,
        *,
        sidecar: bool = True,
        labels: Sequence[str] | None = None,
        columns: int | None = None,
    ) -> Path:
        """Write the picture, or all pictures as a contact sheet, and beside it the floats they were made of.

        The suffix chooses the format (PNG, WebP, JPEG). The sidecar `NAME.safetensors` holds images and parameters in
        the precision they were made in, and the provenance: eight bits a pixel lose what inversion needs. `load` reads
        it back.

        Raises:
            ImageError: the file cannot be written.
        """
        path = Path(path)
        shown = self.pictures[0] if len(self) == 1 else self.contact_sheet(labels, columns=columns)
        records = [self.provenance(i) for i in range(len(self))]
        write(
            path, shown, alpha=self.alpha, metadata={"pellucid": json.dumps(records[0] if len(self) == 1 else records)}
        )
        if sidecar:
            tensors = {"images": self.images, "parameters": self.parameters, "scores": self.scores}
            write_sidecar(path.with_suffix(".safetensors"), tensors, {"pellucid": json.dumps(records)})
        return path

    @classmethod
    def load(cls, path: str | Path) -> Rendering:
        """What `save` wrote: from the sidecar, or from a picture that has one beside it. Histories are not kept.

        Raises:
            ImageError: there is no sidecar, or it holds no rendering.
        """
        path = Path(path).with_suffix(".safetensors")
        tensors, texts = read_sidecar(path)
        try:
            records = json.loads(texts["pellucid"])
            first = records[0]
            made_by = [record.get("realization") for record in records]
            size = len(tensors["images"])
            return cls(
                images=tensors["images"],
                scores=tensors["scores"],
                history=torch.empty(0, size),
                snapshots={},
                status=tuple(Status(**record["status"]) for record in records),
                targets=tuple(record["target"] for record in records),
                recipe=Recipe.of(first["recipe"]),
                resolved=Resolved(**{**first["resolved"], "size": tuple(first["resolved"]["size"])}),
                model_name=first["model"],
                model_hash=first["model_hash"],
                parameters=tensors["parameters"],
                value_range=tuple(first.get("value_range", (0.0, 1.0))),
                realizations=tuple(Realization.of(one) for one in made_by) if all(made_by) else (),
            )
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise ImageError(f"'{path}' holds no rendering of Pellucid's: {type(error).__name__} {error}") from None

    def contact_sheet(self, labels: Sequence[str] | None = None, *, columns: int | None = None) -> Image.Image:
        """All pictures on one page, each with its target or label, as a PIL image; transparency lies on a checkerboard.

        So many `columns`, or as many as make a page.
        """
        return contact_sheet(self.pictures, list(labels or self.targets), alpha=self.alpha, columns=columns)

    @property
    def reels(self) -> tuple[Reel, ...]:
        """What each picture was after the steps that were kept, and at its end: step -> 8-bit picture."""
        snapshots = {step: replace(self, images=images).pictures for step, images in self.snapshots.items()}
        reels: list[Reel] = []
        for row, (final, status) in enumerate(zip(self.pictures, self.status, strict=True)):
            kept = {step: pictures[row] for step, pictures in snapshots.items() if step < status.step}
            frames = {**kept, status.step: final}
            reels.append({step: picture(frame, alpha=self.alpha) for step, frame in frames.items()})
        return tuple(reels)

    def save_video(self, path: str | Path, *, fps: float | int = 12, size: int | None = None) -> Path:
        """Write how the pictures came about: a frame for each step that was kept, then the finished pictures, held.

        The suffix chooses the format: .mp4 (H.264; needs the `video` extra), .gif or .webp. Several pictures are shown
        as a contact sheet; one that ended early stays as it ended. Render with `snapshots=pl.video_steps(steps)` for a
        video that shows most of the beginning, where most happens. `fps`: frames a second. `size`: the longer side of
        a frame in px; by default small pictures are enlarged by a whole number to 256 px or more, and large frames kept
        below 1920 px (WebP 1280, GIF 640).

        Raises:
            ImageError: no snapshots were kept, an unknown suffix, a bad `fps` or `size`, or it cannot be written.
            MissingExtra: an mp4 without PyAV.
        """
        if not self.snapshots:
            raise ImageError(
                "the rendering kept no snapshots to make a video of; render with snapshots=pl.video_steps(steps)"
            )
        path = Path(path)
        write_video(path, film(self.reels, self.targets), fps=fps, size=size)
        return path

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        buffer = io.BytesIO()
        self.contact_sheet().save(buffer, "PNG")
        return buffer.getvalue()
