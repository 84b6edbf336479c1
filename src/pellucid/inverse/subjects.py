"""What is inverted: pictures as functions of parameters, and what is known of how they were made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.ascent.jobs import ImageMaker
from pellucid.ascent.parameterization import empty_parameterization, parameterization_of
from pellucid.ascent.plan import Resolved
from pellucid.ascent.realization import Realization
from pellucid.ascent.recipe import Recipe
from pellucid.ascent.rendering import Rendering, Status
from pellucid.errors import InversionError, did_you_mean
from pellucid.images.image import Image
from pellucid.images.pixels import Pixels
from pellucid.inverse.doubts import Doubt
from pellucid.models.model import Model
from pellucid.objectives.response_direction import AGGREGATIONS, Family

__all__ = ["Subjects", "rendering_of", "subjects_of"]


@dataclass(frozen=True, eq=False)
class Subjects:
    """Pictures to invert: a rendering (for a foreign picture, one as if its pixels had been optimised), its image,
    the family of objectives that is searched, and what makes it doubtful from the start."""

    rendering: Rendering
    image: Image
    family: Family
    exploratory: tuple[bool, ...]
    doubts: tuple[tuple[Doubt, ...], ...]
    make_image: ImageMaker | None = None

    def image_of(self, num_images: int) -> Image:
        """An image of the same kind for so many pictures, to be read at other parameters."""
        return empty_parameterization(self.rendering, num_images, self.make_image)

    @property
    def residuals(self) -> tuple[float | None, ...]:
        """|gradient| / cos^k at the end of rendering, where it is known and speaks of this family."""
        rows = zip(self.rendering.realizations, self.exploratory, strict=True)
        return tuple(one.residual if one.family == self.family and not foreign else None for one, foreign in rows)


def rendering_of(model: Model, images: Float[Tensor, "b c h w"], targets: tuple[str, ...] | None = None) -> Rendering:
    """Pictures from elsewhere, in the network's value range, as if their pixels had been optimised through a sigmoid.

    Black and white are taken half an 8-bit level inside, where the sigmoid still has a slope.

    Raises:
        InversionError: they are no pictures of this network's channels, or leave its value range.
    """
    low, high = model.value_range
    if images.ndim != 4 or images.shape[1] != model.channels:
        raise InversionError(f"{model.name} takes pictures [b, {model.channels}, h, w], not {list(images.shape)}")
    shown = (images.detach().cpu() - low) / (high - low)
    if not bool(torch.isfinite(shown).all()) or float(shown.min()) < -1e-4 or float(shown.max()) > 1 + 1e-4:
        raise InversionError(f"pictures for {model.name} hold finite values from {low:g} to {high:g}, and these do not")
    size = (shown.shape[2], shown.shape[3])
    dtype = shown.dtype if shown.dtype == torch.float64 else torch.float32
    image = Pixels(len(shown), size, channels=model.channels, dtype=dtype)
    image.set_rows(range(len(shown)), shown.to(dtype).clamp(0, 1))
    precision = "float64" if dtype == torch.float64 else "float32"
    recipe = Recipe(image="pixels", color="none", transforms="none", size=size, precision=precision)
    resolved = Resolved(
        device="cpu",
        precision=precision,  # type: ignore[arg-type]  # one of two names
        layout="channels_last",
        folded=dtype != torch.float64,
        size=size,
        batch=len(shown),
        lanes=1,
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        learning_rate=recipe.rate,
    )
    return Rendering(
        images=images.detach().cpu().float(),
        scores=torch.full((len(shown),), torch.nan),
        history=torch.empty(0, len(shown)),
        snapshots={},
        status=(Status("done", 0),) * len(shown),
        targets=targets or tuple(f"picture {number}" for number in range(len(shown))),
        recipe=recipe,
        resolved=resolved,
        model_name="elsewhere",
        model_hash="",
        parameters=image.flat().detach(),
        value_range=model.value_range,
        realizations=tuple(Realization(None, None, f"picture {number}") for number in range(len(shown))),
    )


def subjects_of(
    model: Model,
    pictures: Rendering | Float[Tensor, "b c h w"],
    layer: str | None,
    cosine_power: int | None,
    aggregation: str | None,
    make_image: ImageMaker | None,
) -> Subjects:
    """Pictures with the family of objectives to search: what was given, else what they were rendered with.

    Raises:
        InversionError: layer, cosine power or aggregation is neither given nor known, or they are not one for all.
        TargetError: the layer is unknown.
    """
    rendering = rendering_of(model, pictures) if isinstance(pictures, Tensor) else pictures
    if not rendering.realizations:
        nothing = tuple(Realization(None, None, f"picture {number}") for number in range(len(rendering)))
        rendering = replace(rendering, realizations=nothing)
    if rendering.alpha:
        raise InversionError("a picture with opacity is seen over random backgrounds: it cannot be inverted")
    if rendering.images.shape[1] != model.channels:
        channels = rendering.images.shape[1]
        raise InversionError(f"{model.name} sees {model.channels} channels, and the pictures have {channels}")
    family = _family(rendering, layer, cosine_power, aggregation)
    model.layer(family.layer, (rendering.images.shape[2], rendering.images.shape[3]))
    foreign = [one.family != family or rendering.model_hash != model.weights_hash for one in rendering.realizations]
    return Subjects(
        rendering,
        parameterization_of(rendering, make_image),
        family,
        tuple(foreign),
        tuple(tuple(_doubts(rendering, model, is_foreign)) for is_foreign in foreign),
        make_image,
    )


def _family(rendering: Rendering, layer: str | None, cosine_power: int | None, aggregation: str | None) -> Family:
    known = {one.family for one in rendering.realizations if one.family is not None}
    if len(known) > 1 and (layer is None or cosine_power is None or aggregation is None):
        raise InversionError(
            "the pictures were made for objectives of several layers, cosine powers or aggregations: invert them one "
            "by one, or name layer, cosine_power and aggregation for all"
        )
    (only,) = known if len(known) == 1 else (None,)
    if layer is None and only is None:
        raise InversionError("whose units the picture shows is not known: name a layer (pellucid layers MODEL)")
    if aggregation is not None and aggregation not in AGGREGATIONS:
        hint = did_you_mean(aggregation, AGGREGATIONS) or f" There are: {', '.join(AGGREGATIONS)}."
        raise InversionError(f"no aggregation {aggregation!r}.{hint}")
    if cosine_power is not None and (type(cosine_power) is not int or cosine_power < 0):
        raise InversionError(f"the cosine power is a whole number from 0, not {cosine_power!r}")
    missing = [
        name
        for name, given in (("cosine power", cosine_power), ("aggregation", aggregation))
        if given is None and only is None
    ]
    if missing:
        raise InversionError(
            f"the {' and the '.join(missing)} that the picture was made with {'are' if len(missing) > 1 else 'is'} not "
            "known, as it does not come with a rendering's sidecar: name them (the paper's are cosine_power=2 and "
            "aggregation='pooled')"
        )
    return Family(
        layer if layer is not None else cast(Family, only).layer,
        cosine_power if cosine_power is not None else cast(Family, only).cosine_power,
        aggregation if aggregation is not None else cast(Family, only).aggregation,
        only.units if only is not None and layer in (None, only.layer) else None,
    )


def _doubts(rendering: Rendering, model: Model, is_foreign: bool) -> list[Doubt]:
    """What can be said before anything is computed."""
    recipe = rendering.recipe
    if rendering.model_hash == "":
        why = "made elsewhere: whether it is stationary for any objective cannot be tested from one picture"
        return [Doubt("not stationary", f"the picture was {why}")]
    if rendering.model_hash != model.weights_hash:
        return [Doubt("not stationary", f"the picture was made by {rendering.model_name}, another network")]
    if is_foreign:
        return [Doubt("not stationary", "the picture was made for another kind of objective than the one searched")]
    beside = [name for name in ("penalties", "diversity", "alignment", "prior", "blur") if getattr(recipe, name)]
    if recipe.transforms != "none":
        beside.append("random transforms")
    if not beside:
        return []
    return [
        Doubt("not stationary", f"the picture was also moved by {', '.join(beside)}: it is no optimum without them")
    ]
