"""Which units are alike: how every unit answers to the picture of every other, and who is nearest to whom."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from pellucid.ascent.source import RenderingSource
from pellucid.errors import TargetError
from pellucid.models.model import Model
from pellucid.models.targets import Target
from pellucid.objectives.response import Reduction, Response
from pellucid.survey.unit_table import About, UnitTable

__all__ = ["ResponseMatrix", "correlations", "nearest_units", "response_matrix", "responses"]

_BATCH = 32  # pictures that go through the network at once
_SOURCE = "S2: Boosting Feature Maps, response of every filter to every filter's picture"


@dataclass(frozen=True)
class ResponseMatrix:
    """How every unit of a layer answers to every unit's picture.

    `values[i, j]` is the activation of unit `units[j]` on the picture of unit `units[i]` (the mean over positions, in
    the layer's units); `pictures` [n, c, h, w] are those pictures in the network's range.
    """

    layer: str
    units: tuple[int, ...]
    values: Float[Tensor, "n n"]
    pictures: Float[Tensor, "n c h w"]

    @cached_property
    def similarity(self) -> Float[Tensor, "n n"]:
        """How alike two units answer: the correlation, over all the pictures, of their activations (-1 to 1)."""
        return correlations(self.values, self.values)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The rows, like beside like: the leaves of average-linkage clustering by 1 - correlation (SciPy)."""
        from scipy.cluster.hierarchy import leaves_list, linkage
        from scipy.spatial.distance import squareform

        if len(self.units) < 3:
            return tuple(range(len(self.units)))
        distance = (1 - self.similarity).clamp(min=0).double().numpy()
        distance = (distance + distance.T) / 2
        np.fill_diagonal(distance, 0)
        return tuple(int(row) for row in leaves_list(linkage(squareform(distance), "average", optimal_ordering=True)))

    @property
    def own_best(self) -> Float[Tensor, ""]:
        """The share of units that their own picture excites more than any other unit's picture does."""
        return (self.values.diagonal() >= self.values.amax(0)).float().mean()

    def nearest(self, unit: int, count: int = 5) -> list[tuple[str, float]]:
        """The units most like one unit, as targets, with their correlation.

        Raises:
            TargetError: the unit is not among those compared.
        """
        if unit not in self.units:
            raise TargetError(f"unit {unit} of {self.layer} was not compared; there are {len(self.units)} others")
        return self._nearest(self.units.index(unit), count)

    def _nearest(self, row: int, count: int) -> list[tuple[str, float]]:
        alike = self.similarity[row].clone()
        alike[row] = -torch.inf
        best = alike.argsort(descending=True, stable=True)[: min(count, len(self.units) - 1)].tolist()
        return [(str(Target.unit(self.layer, self.units[other])), float(alike[other])) for other in best]

    def table(self, model: Model, count: int = 5) -> UnitTable:
        """For every unit its nearest of the layer, for the atlas's viewer.

        Columns: `nearest_units`, a list of targets (texts, the most similar first), and `nearest_similarity`, a list of
        their correlations (-1 to 1), beside `own_rank`, the place of the unit's own picture among all pictures by how
        much they excite it (1: none excites it more).
        """
        near = [self._nearest(row, count) for row in range(len(self.units))]
        rank = 1 + (self.values > self.values.diagonal()).sum(0)
        how = {"layer": self.layer, "pictures": len(self.units), "source": _SOURCE}
        columns: dict[str, tuple[Sequence[object], About]] = {
            "nearest_units": ([[name for name, _ in one] for one in near], About("units that answer most alike", how)),
            "nearest_similarity": (
                [[value for _, value in one] for one in near],
                About("correlation with each nearest unit over the pictures of all units of the layer, -1 to 1", how),
            ),
            "own_rank": (
                rank.tolist(),
                About("place of the unit's own picture among those of the layer, by how much they excite it", how),
            ),
        }
        targets = [str(Target.unit(self.layer, unit)) for unit in self.units]
        return UnitTable.of(model, targets, columns)

    def heat_map(self) -> Image.Image:
        """The matrix, like units side by side: each column from its unit's lowest activation (dark) to its highest."""
        import matplotlib as mpl
        from matplotlib.figure import Figure

        order = torch.tensor(self.order)
        shown = self.values[order][:, order]
        low, high = shown.amin(0), shown.amax(0)
        shown = (shown - low) / (high - low).clamp(min=1e-12)
        with mpl.rc_context({"font.size": 11}):
            figure = Figure(figsize=(7, 6.2), dpi=130, layout="constrained")
            axes = figure.subplots()
            image = axes.imshow(shown.numpy(), cmap="magma", interpolation="nearest", vmin=0, vmax=1)
            axes.set(
                xlabel=f"unit of {self.layer}", ylabel="picture of unit", title=f"{self.layer}: who answers to whom"
            )
            if len(self.units) <= 40:
                names = [str(self.units[row]) for row in self.order]
                axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
                axes.set_yticks(range(len(names)), names, fontsize=7)
            else:
                axes.set(xticks=[], yticks=[])
            figure.colorbar(image, ax=axes, label="activation, from the unit's lowest to its highest")
            written = io.BytesIO()
            figure.savefig(written, format="png")
        return Image.open(written)


def response_matrix(
    model: Model,
    layer: str,
    source: RenderingSource,
    units: Sequence[int] | None = None,
    *,
    reduction: Reduction = "mean",
) -> ResponseMatrix:
    """Let every unit of a layer see every unit's picture, as a source has them.

    Units without a picture are left out.

    Raises:
        TargetError: an unknown layer or unit, or pictures of fewer than two units.
    """
    found = model.layer(layer)
    wanted = list(range(found.units)) if units is None else list(dict.fromkeys(units))
    if wrong := [unit for unit in wanted if not 0 <= unit < found.units]:
        raise TargetError(f"{layer} of {model.name} has units 0 to {found.units - 1}, not {wrong[0]}")
    names = {str(Target.unit(layer, unit)): unit for unit in wanted}
    portraits = source.portraits(list(names))
    there = [name for name in names if name in portraits]
    if len(there) < 2:
        raise TargetError(f"there are pictures of {len(there)} of {len(wanted)} units of {layer}; two or more compare")
    pictures = torch.stack([portraits[name].image for name in there])
    kept = tuple(names[name] for name in there)
    values = responses(model, layer, pictures, reduction=reduction)[:, list(kept)]
    return ResponseMatrix(layer, kept, values, pictures)


@torch.no_grad()
def responses(
    model: Model, layer: str, images: Float[Tensor, "b c h w"], *, reduction: Reduction = "mean"
) -> Float[Tensor, "b n"]:
    """How much every unit of a layer fires on images in the network's range."""
    response = Response(layer, reduction)
    seen = [response(model.tap(part.to(model.device), [response.tap])) for part in images.split(_BATCH)]
    return torch.cat(seen).float().cpu()


def correlations(first: Float[Tensor, "b n"], second: Float[Tensor, "b m"]) -> Float[Tensor, "n m"]:
    """Pearson's correlation of every column of one with every column of the other; 0 where one never changes."""

    def standard(values: Tensor) -> Tensor:
        centred = values.double() - values.double().mean(0)
        length = torch.linalg.vector_norm(centred, dim=0)
        # A unit that is the same on all pictures, up to rounding, is like nothing.
        still = length <= 1e-7 * torch.linalg.vector_norm(values.double(), dim=0)
        return torch.where(still, 0.0, centred / length.clamp(min=1e-300))

    return (standard(first).T @ standard(second)).clamp(-1, 1).float()


def nearest_units(
    model: Model,
    layer: str,
    other: Model,
    other_layer: str,
    pictures: Float[Tensor, "b c h w"],
    count: int = 5,
) -> list[list[tuple[str, float]]]:
    """For every unit of a layer, the units of another layer, of this network or another, that answer most alike.

    By the correlation of their mean activations over the same `pictures` in [0, 1] range of both networks: pictures of
    the units of both layers, or photos; at least a few dozen.

    Raises:
        TargetError: an unknown layer, or fewer than three pictures.
    """
    if len(pictures) < 3:
        raise TargetError(f"units are compared over three pictures or more, not {len(pictures)}")
    found = correlations(responses(model, layer, pictures), responses(other, other_layer, pictures))
    best = found.argsort(dim=1, descending=True, stable=True)[:, :count]
    return [
        [(str(Target.unit(other_layer, unit)), float(found[row, unit])) for unit in chosen]
        for row, chosen in enumerate(best.tolist())
    ]
