"""How alike pictures are: by a perceptual metric whose weights are at hand, by a network's features, or by SSIM."""

from __future__ import annotations

import os
import warnings
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from pellucid.errors import MissingExtra, ModelError
from pellucid.models.layers import OUTPUT
from pellucid.models.model import Model
from pellucid.objectives.response import Response

__all__ = ["DreamSim", "Features", "Likeness", "Lpips", "Ssim", "best_likeness"]

_BATCH = 32  # pictures that go through a network at once
_LPIPS_BACKBONE = "alexnet-owt-7be5be79.pth"  # torchvision's, under torch.hub's folder
_LPIPS_PX = 64
_DREAMSIM_PX = 224


class Likeness(ABC):
    """A similarity of pictures in [0, 1] and of one size: larger is more alike. `name` says which, for reports.

    Each picture is prepared once, whatever it is compared with.
    """

    name: str

    @abstractmethod
    def prepared(self, pictures: Float[Tensor, "b c h w"]) -> Float[Tensor, "b ..."]:
        """What of the pictures is compared."""

    @abstractmethod
    def compared(self, first: Float[Tensor, "n ..."], second: Float[Tensor, "m ..."]) -> Float[Tensor, "n m"]:
        """Each of the first with each of the second, both prepared."""

    def __call__(self, first: Float[Tensor, "n c h w"], second: Float[Tensor, "m c h w"]) -> Float[Tensor, "n m"]:
        """Each of the first pictures with each of the second."""
        return self.compared(self.prepared(first), self.prepared(second))


class Ssim(Likeness):
    """Structural similarity, -1 to 1 (1: equal): of pixels at the same place, so that a shifted pattern is unlike.

    Source: Wang et al. 2004; scikit-image's, with windows of 7 px.
    """

    name = "SSIM (scikit-image, windows of 7 px)"

    def prepared(self, pictures: Float[Tensor, "b c h w"]) -> Float[Tensor, "b ..."]:
        """The pictures themselves."""
        return pictures.double().cpu()

    def compared(self, first: Float[Tensor, "n ..."], second: Float[Tensor, "m ..."]) -> Float[Tensor, "n m"]:
        """Pair by pair."""
        from skimage.metrics import structural_similarity

        pairs = [
            [structural_similarity(a, b, channel_axis=0, data_range=1.0) for b in second.numpy()] for a in first.numpy()
        ]
        return torch.tensor(pairs).float().view(len(first), len(second))


class _Embedding(Likeness):
    """A cosine of embeddings."""

    def compared(self, first: Float[Tensor, "n ..."], second: Float[Tensor, "m ..."]) -> Float[Tensor, "n m"]:
        """All pairs in one product."""
        return (first @ second.T).clamp(-1, 1)


class Features(_Embedding):
    """Cosine of what a layer says of two pictures, averaged over positions and less its mean over natural images.

    -1 to 1. It sees what the network sees, wherever it lies in the picture. Without `images` nothing is subtracted, and
    behind a ReLU all pictures are then rather alike.
    """

    def __init__(self, model: Model, layer: str, images: Float[Tensor, "b c h w"] | None = None) -> None:
        """`images` in [0, 1], some hundred natural ones."""
        self.model, self.layer = model, layer
        self.name = f"cosine of {layer}'s mean activations in {model.name}"
        self._mean = self._means(images).mean(0) if images is not None else None

    def prepared(self, pictures: Float[Tensor, "b c h w"]) -> Float[Tensor, "b ..."]:
        """Mean activations, centred and of length 1."""
        means = self._means(pictures)
        return F.normalize(means if self._mean is None else means - self._mean, dim=1)

    @torch.no_grad()
    def _means(self, pictures: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n"]:
        response, (low, high) = Response(self.layer), self.model.value_range
        parts = [
            response(self.model.tap((low + part * (high - low)).to(self.model.device), [response.tap])).cpu()
            for part in pictures.split(_BATCH)
        ]
        return torch.cat(parts)


class Lpips(Likeness):
    """1 - LPIPS (AlexNet): how alike people find two patches; its weights must be on this machine already.

    The library brings those of its last step; torchvision's AlexNet in torch.hub's folder is the other part. Pictures
    below 64 px are enlarged to that.

    Source: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018.

    Raises:
        MissingExtra: the library `lpips` is not installed.
        ModelError: the weights are not there; nothing is downloaded.
    """

    name = "1 - LPIPS (AlexNet)"

    def __init__(self) -> None:
        try:
            import lpips
        except ImportError:
            raise MissingExtra("lpips", "perceptual") from None
        backbone = Path(torch.hub.get_dir()) / "checkpoints" / _LPIPS_BACKBONE
        if not backbone.is_file():
            raise ModelError(f"LPIPS needs torchvision's AlexNet in '{backbone}', and nothing is downloaded for it")
        with warnings.catch_warnings():  # lpips 0.1.4 asks torchvision for AlexNet in the way of before 0.13
            warnings.filterwarnings("ignore", message=".*(pretrained|weight enum).*", module="torchvision")
            self._metric: Any = lpips.LPIPS(net="alex", verbose=False).eval()

    def prepared(self, pictures: Float[Tensor, "b c h w"]) -> Float[Tensor, "b ..."]:
        """From -1 to 1."""
        factor = max(1.0, _LPIPS_PX / min(pictures.shape[-2:]))
        sized = F.interpolate(pictures.cpu(), scale_factor=factor, mode="bilinear") if factor > 1 else pictures.cpu()
        return sized * 2 - 1

    @torch.no_grad()
    def compared(self, first: Float[Tensor, "n ..."], second: Float[Tensor, "m ..."]) -> Float[Tensor, "n m"]:
        """One of the first with all of the second at a time."""
        rows = [1 - self._metric(a.expand(len(second), -1, -1, -1), second).flatten() for a in first]
        return torch.stack(rows)


class DreamSim(_Embedding):
    """Cosine of DreamSim's embeddings, -1 to 1: how alike people find two pictures as a whole.

    `folder` holds its weights (by default the one that PELLUCID_DREAMSIM names); nothing is downloaded.

    Source: Fu et al., "DreamSim", NeurIPS 2023; the similarity of Zimmermann et al. 2024.

    Raises:
        MissingExtra: the library `dreamsim` is not installed.
        ModelError: the weights are not in the folder.
    """

    name = "cosine of DreamSim's embeddings"

    def __init__(self, folder: str | Path | None = None) -> None:
        folder = folder or os.environ.get("PELLUCID_DREAMSIM")
        try:
            from dreamsim import dreamsim
        except ImportError:
            raise MissingExtra("dreamsim", "perceptual") from None
        if folder is None or not any(Path(folder).glob("*.pth")):
            raise ModelError("DreamSim's weights are in no folder that PELLUCID_DREAMSIM names, and are not downloaded")
        self._metric: Any = dreamsim(pretrained=True, device="cpu", cache_dir=str(folder))[0].eval()

    @torch.no_grad()
    def prepared(self, pictures: Float[Tensor, "b c h w"]) -> Float[Tensor, "b ..."]:
        """Embeddings of length 1."""
        sized = F.interpolate(pictures.cpu(), (_DREAMSIM_PX,) * 2, mode="bicubic", antialias=True).clamp(0, 1)
        return F.normalize(torch.cat([self._metric.embed(part) for part in sized.split(_BATCH)]), dim=1)


def best_likeness(model: Model, images: Float[Tensor, "b c h w"] | None = None) -> Likeness:
    """DreamSim or else LPIPS where library and weights are at hand, else the network's own features: see its `name`.

    The features are those of the last layer before the output, less their mean over natural `images` in [0, 1].
    """
    for make in (DreamSim, Lpips):
        try:
            return make()
        except (MissingExtra, ModelError):
            continue
    layers = [layer.name for layer in model.layers.values() if layer.name != OUTPUT and max(layer.map_size) > 1]
    return Features(model, layers[-1] if layers else next(iter(model.layers)), images)
