"""Opacity: what is laid over a background, and that only what is needed stays opaque."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pellucid.draws import Draws
from pellucid.errors import ImageError
from pellucid.images.alpha import Alpha, over
from pellucid.images.build import build_image
from pellucid.images.fourier import Fourier
from pellucid.images.pixels import Pixels


def test_over_is_alpha_times_the_picture_plus_the_rest_of_the_background() -> None:
    pictures = torch.rand(2, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    background = torch.rand(2, 3, 5, 6, generator=torch.Generator().manual_seed(1))
    alpha = pictures[:, 3:]
    assert torch.allclose(over(pictures, background), alpha * pictures[:, :3] + (1 - alpha) * background)
    assert torch.allclose(over(pictures, background[:1])[1], over(pictures[1:], background[:1])[0])
    opaque, clear = (
        torch.cat([pictures[:, :3], torch.ones(2, 1, 5, 6)], 1),
        pictures * torch.tensor([1, 1, 1, 0.0])[:, None, None],
    )
    assert torch.equal(over(opaque, background), pictures[:, :3])
    assert torch.equal(over(clear, background), background)
    red = torch.tensor([1.0, 0, 0])
    assert torch.equal(over(clear, red), red[:, None, None].expand(2, 3, 5, 6))
    with pytest.raises(ImageError, match="of 3 channels and alpha lie over a background of as many channels, not 1"):
        over(pictures, background[:, :1])


def test_a_photo_starts_opaque_and_one_with_alpha_keeps_it() -> None:
    image = build_image("pixels", 2, (8, 8), alpha=True)
    picture = 0.1 + 0.8 * torch.rand(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    image.set_rows([0], picture[:, :3])
    image.set_rows([1], picture)
    assert torch.allclose(image()[1], picture[0], atol=1e-4)
    assert torch.allclose(image()[0, :3], picture[0, :3], atol=1e-4)
    assert (image()[0, 3] > 0.99).all()
    with pytest.raises(ImageError, match=r"\[1 or 1, 4, h, w\], not \[1, 2, 8, 8\]"):
        image.set_rows([0], torch.zeros(1, 2, 8, 8))


def test_clipped_alpha_is_projected_too() -> None:
    image = Alpha(Pixels(1, (4, 4), squash="clip"), Pixels(1, (4, 4), channels=1, squash="clip"))
    with torch.no_grad():
        for parameter in image.parameters():
            parameter.add_(9)
    image.project()
    assert (torch.cat([one.detach().flatten() for one in (image.color(), image.alpha())]) == 1).all()
    assert image.alpha.latents().max() <= 1 + 1e-5  # type: ignore[operator]


def test_resizing_keeps_colour_and_alpha() -> None:
    image = build_image("fourier", 1, (16, 16), alpha=True)
    image.set_rows([0], torch.linspace(0.1, 0.9, 16).expand(1, 4, 16, 16).clone())
    larger = image.resized((32, 32))
    wanted = torch.nn.functional.interpolate(image(), size=(32, 32), mode="bicubic", antialias=True)
    assert (larger() - wanted).abs().mean() < 0.01


def test_only_what_the_objective_reads_stays_opaque() -> None:
    """A detector of red in the left half, over random backgrounds, with a price for alpha: right is see-through."""
    image = build_image("pixels", 1, (6, 8), alpha=True, color="none")
    draws = Draws.from_keys(["a"])
    image.reset_rows([0], draws)
    optimizer = torch.optim.Adam(image.parameters(), lr=0.2)

    def score(step: int) -> Tensor:
        pictures = image()
        shown = over(pictures, draws.at(step).uniform(3, 6, 8))
        return shown[:, 0, :, :4].mean() - 0.2 * pictures[:, 3].mean()

    for step in range(60):
        optimizer.zero_grad()
        (-score(step)).backward()
        optimizer.step()
    final = image().detach()[0]
    assert final[3, :, :4].min() > 0.8
    assert final[3, :, 4:].max() < 0.2
    assert final[0, :, :4].min() > 0.8, "what is opaque is red"


def test_colour_and_alpha_fit_each_other() -> None:
    for alpha in (Fourier(2, (8, 8), channels=1), Fourier(1, (8, 9), channels=1), Fourier(1, (8, 8), channels=2)):
        with pytest.raises(
            ImageError, match="alpha for 1 images of 8 x 8 px is an image of as many rows, that size and"
        ):
            Alpha(Fourier(1, (8, 8)), alpha)
