"""Real pretrained networks show what is known of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import pellucid as pl

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def squeezenet(shared: Path) -> pl.Model:
    return pl.load(
        "torchvision:squeezenet1_1",
        weights=shared / "models/squeezenet1_1-imagenet.safetensors",
        mean=[value / 255 for value in (123.68, 116.779, 103.939)],
        std=[1 / 255] * 3,
        size=227,
    )


def test_a_unit_of_squeezenet_reaches_its_known_activation(squeezenet: pl.Model) -> None:
    """Unit 17 (eyes): a plain prototype at Lucent's settings came to 1111 after 256 steps and 1316 after 512."""
    got = pl.render(squeezenet, "features.9:17", size=224)
    assert got.recipe.steps <= 350
    assert got.scores[0] >= 1190


def test_hardly_any_unit_of_squeezenet_stays_grey(squeezenet: pl.Model) -> None:
    """Behind its ReLU a unit that is off passes no gradient; unit 33 starts so. At most 0.5 % may end so: one of 384.

    At half size and few steps, for time: whether a unit is woken shows at once.
    """
    got = pl.render(squeezenet, "features.9:*", size=112, steps=24)
    grey = [target for target, score in zip(got.targets, got.scores.tolist(), strict=True) if not score > 0]
    assert len(got) == 384
    assert len(grey) <= 1, grey


def test_a_photo_of_a_cat_is_seen_as_a_cat(squeezenet: pl.Model) -> None:
    data = pytest.importorskip("skimage.data")
    photo = torch.from_numpy(data.cat()).permute(2, 0, 1)[None] / 255
    side = min(photo.shape[-2:])
    square = photo[:, :, :side, (photo.shape[-1] - side) // 2 :][..., :side]
    small = torch.nn.functional.interpolate(square, (227, 227), mode="bilinear", antialias=True)
    with torch.no_grad():
        top = int(squeezenet(small).argmax())
    assert 281 <= top <= 285
    assert (squeezenet.classes is not None and "cat" in squeezenet.classes[top].lower()) or top in (281, 282)


def test_a_residual_network_of_ones_own_renders(shared: Path) -> None:
    weights = shared / "models/resnet20-cifar10.safetensors"
    model = pl.load(f"{EXAMPLES / 'resnet20.py'}:resnet20", weights=weights)
    got = pl.render(model, ["layer3:5", "logit:cat", "-layer3:5"], steps=64)
    assert all(status.state == "done" for status in got.status)
    noise = pl.render(model, ["layer3:5", "logit:cat", "-layer3:5"], steps=1, learning_rate=1e-9)
    assert got.scores[0] > 5 * noise.scores[0].clamp(min=0.01)
    assert got.scores[1] > noise.scores[1] + 5
    assert got.scores[2] > noise.scores[2]
