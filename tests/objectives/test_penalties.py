"""Laws of penalties: sums over the untransformed picture, by loops; what they leave alone; what their gradients do."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from pellucid.errors import RecipeError, TargetError
from pellucid.models.model import Model
from pellucid.models.taps import Activations
from pellucid.objectives.objective import Objective
from pellucid.objectives.penalties import (
    blur_penalty,
    boundary_complexity,
    input_difference,
    isotropic_variation,
    l1,
    l2,
    parse_penalties,
    total_variation,
)
from pellucid.objectives.units import channel

IMAGES = torch.rand(2, 3, 7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def penalty(objective: Objective, images: Tensor = IMAGES) -> Tensor:
    return objective(Activations({}, {}, images))


def gradient(objective: Objective, images: Tensor = IMAGES) -> Tensor:
    images = images.clone().requires_grad_()
    return torch.autograd.grad(penalty(objective, images).sum(), images)[0]


def blurred(image: Tensor, channel: int, row: int, col: int, width: int) -> float:
    """Lucid's blur of one pixel: weights 1 inside the kernel and 1/2 at its rim, over what there is of the picture."""
    reach, total, weights = width // 2, 0.0, 0.0
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if 0 <= row + dy < image.shape[1] and 0 <= col + dx < image.shape[2]:
                weight = 0.5 if reach in (abs(dy), abs(dx)) else 1.0
                total += weight * image[channel, row + dy, col + dx].item()
                weights += weight
    return total / weights


def pixels(image: Tensor) -> list[tuple[int, int, int]]:
    return [(c, y, x) for c in range(image.shape[0]) for y in range(image.shape[1]) for x in range(image.shape[2])]


def test_l1_and_l2_by_loops() -> None:
    for image, one, two in zip(IMAGES, penalty(l1()), penalty(l2(constant=0.25)), strict=True):
        assert one.item() == pytest.approx(sum(abs(image[p].item() - 0.5) for p in pixels(image)))
        squares = sum((image[p].item() - 0.25) ** 2 for p in pixels(image))
        assert two.item() == pytest.approx(math.sqrt(1e-6 + squares))
    grey = torch.full((1, 3, 4, 4), 0.5)
    assert penalty(l1(), grey).item() == 0
    assert penalty(l2(), grey).item() == pytest.approx(1e-3)


def test_total_variation_by_loops() -> None:
    for image, plain, round_ in zip(IMAGES, penalty(total_variation()), penalty(isotropic_variation()), strict=True):
        straight = slanted = 0.0
        for c, y, x in pixels(image):
            down = (image[c, y + 1, x] - image[c, y, x]).item() if y + 1 < 7 else 0.0
            right = (image[c, y, x + 1] - image[c, y, x]).item() if x + 1 < 6 else 0.0
            straight += abs(down) + abs(right)
            slanted += math.hypot(down, right)
        assert plain.item() == pytest.approx(straight)
        assert round_.item() == pytest.approx(slanted)


def test_an_isotropic_variation_does_not_prefer_straight_edges() -> None:
    ramp = torch.arange(40.0) / 40
    straight, slanted = ramp.expand(1, 1, 40, 40), ((ramp[:, None] + ramp) / math.sqrt(2))[None, None]
    inner = (slice(None), slice(None), slice(0, 39), slice(0, 39))
    for variation, ratio in ((total_variation(), math.sqrt(2)), (isotropic_variation(), 1.0)):
        got = penalty(variation, slanted[inner]) / penalty(variation, straight[inner])
        assert got.item() == pytest.approx(ratio, rel=0.02)  # the rim has one neighbour


def test_the_blur_penalty_by_loops_and_its_step_blurs_the_picture() -> None:
    step = IMAGES - 0.3 * gradient(blur_penalty())
    for image, score, moved in zip(IMAGES, penalty(blur_penalty()), step, strict=True):
        total = 0.0
        for c, y, x in pixels(image):
            smooth, own = blurred(image, c, y, x, 3), image[c, y, x].item()
            total += 0.5 * (own - smooth) ** 2
            assert moved[c, y, x].item() == pytest.approx(0.7 * own + 0.3 * smooth)
        assert score.item() == pytest.approx(total)


def test_the_boundary_by_loops() -> None:
    weights = torch.rand(7, 6, dtype=torch.float64)
    for objective, share in (
        (boundary_complexity(2, constant=0.25), lambda y, x: float(y < 2 or y >= 5 or x < 2 or x >= 4)),
        (boundary_complexity(constant=0.25), lambda y, x: 1.0),  # 20 px cover all of it
        (boundary_complexity(constant=0.25, mask=weights), lambda y, x: weights[y, x].item()),
    ):
        for image, score in zip(IMAGES, penalty(objective), strict=True):
            total = 0.0
            for c, y, x in pixels(image):
                own = image[c, y, x].item()
                total += share(y, x) * ((blurred(image, c, y, x, 5) - own) ** 2 + 0.8 * (own - 0.25) ** 2)
            assert score.item() == pytest.approx(total)
    middle = gradient(boundary_complexity(1), torch.rand(1, 3, 9, 9))[:, :, 3:6, 3:6]
    assert middle.eq(0).all()  # the blur of the rim reaches two pixels in
    assert penalty(boundary_complexity(3), torch.full((1, 3, 9, 9), 0.5)).abs().max() < 1e-9


def test_input_difference_is_a_root_mean_square() -> None:
    photo = IMAGES[1]
    by_hand = math.sqrt(sum((IMAGES[0][p] - photo[p]).item() ** 2 for p in pixels(photo)) / photo.numel())
    assert penalty(input_difference(photo)).tolist() == pytest.approx([by_hand, 0.0])
    assert gradient(input_difference(photo))[1].eq(0).all()
    assert gradient(input_difference(photo)).isfinite().all()


@pytest.mark.parametrize("objective", [l1(), l2(), total_variation(), isotropic_variation(), blur_penalty()])
def test_sums_carry_published_weights_over_and_flat_grey_is_free_of_nan(objective: Objective) -> None:
    picture = torch.rand(1, 3, 16, 16)
    doubled = picture.repeat(1, 1, 2, 2)
    ratio = (penalty(objective, doubled) / penalty(objective, picture)).item()
    assert ratio == pytest.approx(2 if objective == l2() else 4, rel=0.1)  # the seams add to the variation
    assert gradient(objective, torch.full((1, 3, 4, 4), 0.5)).eq(0).all()


def test_penalties_see_the_untransformed_picture_and_need_no_layer() -> None:
    mean = nn.Conv2d(3, 1, 1, bias=False)
    with torch.no_grad():
        mean.weight.fill_(1.0)
    model = Model(nn.Sequential(mean), size=4)
    images, shown = torch.rand(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    objective = channel("0", 0) - 0.05 * l1()
    acts = model.tap(shown, objective.taps).with_image(images)
    assert torch.allclose(objective(acts), -0.05 * (images - 0.5).abs().sum((1, 2, 3)))
    assert (-l1()).taps == ()
    assert (-l1())(model.tap(images, ())).tolist() == pytest.approx((-penalty(l1(), images)).tolist())


def test_penalties_as_text() -> None:
    by_hand = -0.05 * l1() - 0.25 * total_variation() - 0.1 * blur_penalty()
    assert parse_penalties("l1:0.05 tv:0.25 blur:0.1") == by_hand
    assert parse_penalties(" isotropic-tv:2 l2:1 boundary:3") == (
        -2 * isotropic_variation() - l2() - 3 * boundary_complexity()
    )
    assert parse_penalties("") == Objective(())
    for text, message in (
        ("bler:1", r"no penalty 'bler'\. Did you mean 'blur'\? Possible: l1, l2, tv, isotropic-tv, blur, boundary"),
        ("l1", "penalty 'l1' needs a weight of 0 or more, as in l1:0.05"),
        ("l1:-1", "penalty 'l1:-1' needs a weight of 0 or more"),
        ("tv:nan", "penalty 'tv:nan' needs a weight"),
    ):
        with pytest.raises(RecipeError, match=message):
            parse_penalties(text)


def test_what_does_not_fit_is_an_error() -> None:
    with pytest.raises(TargetError, match=r"a photo of \[3, 2, 2\] cannot be compared with pictures \[2, 3, 7, 6\]"):
        penalty(input_difference(torch.rand(3, 2, 2)))
    with pytest.raises(TargetError, match=r"a mask of \[2, 2\] px does not fit pictures of \[7, 6\] px"):
        penalty(boundary_complexity(mask=torch.ones(2, 2)))
    with pytest.raises(TargetError, match=r"a frame of 0 px holds nothing\. Give 1 px or more"):
        boundary_complexity(0)
