"""Laws of targets made objectives: the mathematics that the text says, and errors before the first step."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pellucid.errors import ImageError, TargetError
from pellucid.images.files import read, write
from pellucid.models.model import Model
from pellucid.models.targets import Target
from pellucid.objectives.from_target import expand_targets, objective_of


class Tokens(nn.Module):
    """Hand-weighted: token (row, col) holds the colours of its patch; two prefix tokens hold 10 and 20."""

    def __init__(self, prefix: int = 2) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 3, 4, stride=4, bias=False)
        self.prefix = nn.Parameter(torch.arange(1, prefix + 1).float().view(1, -1, 1).expand(1, -1, 3) * 10)
        self.block = nn.ReLU()
        self.head = nn.Linear(3, 2, bias=False)
        with torch.no_grad():
            self.patches.weight.copy_(torch.eye(3)[:, :, None, None].expand(3, 3, 4, 4) / 16)
            self.head.weight.copy_(torch.tensor([[2.0, -1.0, -1.0], [-2.0, 1.0, 1.0]]))

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = self.block(torch.cat([self.prefix.expand(len(x), -1, -1), tokens], 1))
        return self.head(tokens.mean(1))


class ChannelsLast(nn.Module):
    """Hand-weighted: 2 red - green - blue and its opposite, with the channels behind the positions."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(3, 2, bias=False)
        self.act = nn.ReLU()
        with torch.no_grad():
            self.mix.weight.copy_(torch.tensor([[2.0, -1.0, -1.0], [-2.0, 1.0, 1.0]]))

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.mix(x.permute(0, 2, 3, 1))).mean((1, 2))


TOKENS = Model(Tokens(), size=(8, 12), name="tokens", classes=("red", "not red"))
LAST = Model(ChannelsLast(), size=(6, 5), name="last")


def scores(text: str, model: Model, images: Tensor) -> Tensor:
    objective = objective_of(Target.parse(text), model, (images.shape[2], images.shape[3]))
    return objective(model.tap(images, objective.taps))


def of_patches(images: Tensor) -> Tensor:
    return images.unfold(2, 4, 4).unfold(3, 4, 4).mean((4, 5))


@pytest.mark.parametrize(
    ("text", "by_hand"),
    [
        ("block:0", lambda p: p[:, 0].mean((1, 2))),
        ("block:1@patch", lambda p: p[:, 1].mean((1, 2))),
        ("block:0@cls", lambda p: torch.full((2,), 10.0)),
        ("block:2@1,2", lambda p: p[:, 2, 1, 2]),
        ("block:2@0,:", lambda p: p[:, 2, 0].mean(1)),
        ("block:2@c", lambda p: p[:, 2, 1, 1]),
        ("block", lambda p: p.square().mean((1, 2, 3))),
        ("block@0,0", lambda p: p[:, :, 0, 0].square().mean(1)),
        ("-block:0", lambda p: -p[:, 0].mean((1, 2))),
        ("0.5*block:0 - 2*block:1@0,0", lambda p: 0.5 * p[:, 0].mean((1, 2)) - 2 * p[:, 1, 0, 0]),
    ],
)
def test_a_hand_weighted_token_network(text: str, by_hand: object) -> None:
    images = torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(scores(text, TOKENS, images), by_hand(of_patches(images)), atol=1e-6)  # type: ignore[operator]


def test_the_token_networks_red_unit_is_best_on_red_and_its_gradient_says_so() -> None:
    images = torch.full((1, 3, 8, 12), 0.5, requires_grad=True)
    (gradient,) = torch.autograd.grad(scores("logit:red", TOKENS, images).sum(), images)
    # logits are means over 2 + 6 tokens; each patch token is a mean over 16 pixels
    by_hand = torch.tensor([2.0, -1.0, -1.0]) / 8 / 16
    assert torch.allclose(gradient[0], by_hand[:, None, None].expand(3, 8, 12), atol=1e-7)
    (at_place,) = torch.autograd.grad(scores("block:0@1,2", TOKENS, images).sum(), images)
    inside = torch.zeros(3, 8, 12)
    inside[0, 4:8, 8:12] = 1 / 16
    assert torch.allclose(at_place[0], inside)


def test_a_hand_weighted_channels_last_network() -> None:
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 6, 5)
    images = torch.cat([red, 1 - red]).requires_grad_()
    assert LAST.layer("act").axes == "bhwc"
    assert LAST.layer("act").shape == (2, 6, 5)
    assert scores("act:0", LAST, images).tolist() == [2.0, 0.0]  # the optimum, and off
    assert scores("act:1@5,4", LAST, images).tolist() == [0.0, 2.0]
    assert scores("-act:0", LAST, images).tolist() == [-2.0, 2.0]
    (gradient,) = torch.autograd.grad(scores("act:0", LAST, images).sum(), images)
    by_hand = torch.tensor([2.0, -1.0, -1.0])[:, None, None].expand(3, 6, 5) / 30
    assert torch.allclose(gradient, torch.stack([by_hand, torch.zeros(3, 6, 5)]))
    (gradient,) = torch.autograd.grad(scores("-act:0", LAST, images).sum(), images)
    assert torch.allclose(gradient, -by_hand.expand(2, 3, 6, 5))
    one_place = torch.zeros(3, 6, 5)
    one_place[:, 2, 3] = by_hand[:, 2, 3] * 30
    (gradient,) = torch.autograd.grad(scores("act:0@2,3", LAST, images)[0], images)
    assert torch.allclose(gradient[0], one_place)


def test_a_direction_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "d.npy"
    np.save(file, np.array([1.0, 0.0, -2.0]))
    images = torch.rand(2, 3, 8, 12)
    p = of_patches(images)
    by_hand = (p[:, 0] - 2 * p[:, 2]).mean((1, 2))
    assert torch.allclose(scores(f"dir:block@{file}", TOKENS, images), by_hand, atol=1e-6)
    at = (p[:, 0] - 2 * p[:, 2])[:, 1, 0]
    assert torch.allclose(scores(f"dir:block@{file}@1,0", TOKENS, images), at, atol=1e-6)


def test_bad_direction_files_are_errors(tmp_path: Path) -> None:
    np.save(tmp_path / "short.npy", np.ones(2))
    np.save(tmp_path / "text.npy", np.array(["a", "b", "c"]))
    np.save(tmp_path / "pickle.npy", np.array([{}, {}, {}]), allow_pickle=True)
    np.save(tmp_path / "zero.npy", np.zeros(3))
    np.savez(tmp_path / "many.npz", np.ones(3))
    (tmp_path / "empty.npy").touch()
    for name, message in (
        ("short.npy", r"short.npy has shape \(2,\), but block has 3 channels"),
        ("text.npy", "text.npy holds <U1, not numbers"),
        ("pickle.npy", "cannot read the direction .*pickle.npy"),
        ("zero.npy", "a direction is one finite number per channel, not all zero"),
        ("many.npz", "cannot read the direction .*many.npz"),
        ("empty.npy", "cannot read the direction .*empty.npy"),
        ("gone.npy", "cannot read the direction .*gone.npy.*No such file"),
        (".", "cannot read the direction"),
    ):
        with pytest.raises(TargetError, match=message):
            objective_of(Target.parse(f'dir:block@"{tmp_path / name}"'), TOKENS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("blokc:0", r"no layer 'blokc' in tokens\. Did you mean 'block'\? \(pellucid layers tokens\)"),
        ("block:3", "channel 3 is out of range: block of tokens has 3 channels, 0 to 2"),
        ("block:0@2,0", "@2,0 lies outside the 2x3 map: rows 0 to 1, columns 0 to 2"),
        ("block@0,3", "@0,3 lies outside the 2x3 map"),
        ("block:0 + patches:1@cls", "@cls names tokens, and this layer is a 2x3 map"),
        ("head:0@0,0", "layer head of tokens has no positions; leave @0,0 out"),
        ("output:0@c", "layer output of tokens has no positions; leave @c out"),
        ("logit:5", "class 5 is out of range: tokens has 2 classes, 0 to 1"),
        ("logit:rde", r"no class 'rde' in tokens\. Did you mean 'red'\?"),
        ("prob:green", "no class 'green' in tokens"),
        ("probe:eyes", "no probe 'eyes' is registered"),
        ("block:0-1", "block:0-1 stands for several units; expand it first"),
    ],
)
def test_a_bad_address_is_an_error_before_the_first_step(text: str, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        objective_of(Target.parse(text), TOKENS)


def test_a_layer_without_class_token_says_so() -> None:
    model = Model(Tokens(prefix=0), size=8, name="bare")
    with pytest.raises(TargetError, match="layer block of bare has no class token"):
        objective_of(Target.parse("block:0@cls"), model)
    assert objective_of(Target.parse("block:0@patch"), model).taps


def test_positions_are_checked_at_the_size_of_the_picture() -> None:
    objective_of(Target.parse("block:0@3,0"), TOKENS, (16, 12))
    with pytest.raises(TargetError, match="@3,0 lies outside the 2x3 map"):
        objective_of(Target.parse("block:0@3,0"), TOKENS)


def test_ranges_expand_in_order() -> None:
    targets = expand_targets([Target.parse("block:1-2"), Target.parse("logit:0"), Target.parse("head:*")], TOKENS)
    assert [str(target) for target in targets] == ["block:1", "block:2", "logit:0", "head:0", "head:1"]
    with pytest.raises(TargetError, match="channel 3 is out of range"):
        expand_targets([Target.parse("block:1-3")], TOKENS)


def test_a_negative_target_and_a_negated_objective_are_the_same_mathematics() -> None:
    plain = objective_of(Target.parse("block:0"), TOKENS)
    assert objective_of(Target.parse("-block:0"), TOKENS).hash == (-plain).hash
    assert objective_of(Target.parse("neg:block:0"), TOKENS) == -plain
    assert objective_of(Target.parse("2*block:0 - block:0"), TOKENS) == plain


def test_layers_called_twice_are_two_layers() -> None:
    relu = nn.ReLU()
    net = nn.Sequential(OrderedDict(relu=relu, conv=nn.Conv2d(3, 3, 1), again=relu, flat=nn.Flatten()))
    model = Model(net, size=4)
    images = torch.rand(2, 3, 4, 4)
    assert torch.allclose(scores("relu#2:1", model, images), net.conv(images)[:, 1].relu().mean((1, 2)), atol=1e-6)


def test_a_unit_is_scored_as_its_target_says() -> None:
    images = torch.rand(2, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    maps = (images[:, 0] * 2 - images[:, 1] - images[:, 2]).relu()
    by_hand = {
        "mix": maps.mean((1, 2)),
        "sum": maps.sum((1, 2)),
        "max": maps.amax((1, 2)),
        "norm": maps.flatten(1).norm(dim=1),
        "l1": -(200 - maps).sum((1, 2)),
        "l2": -5 * (200 - maps).flatten(1).norm(dim=1),
        "linf": -(200 - maps).abs().sum(2).amax(1),
    }
    for score, wanted in by_hand.items():
        text = "act:0" if score == "mix" else f"act:0~{score}"
        torch.testing.assert_close(scores(text, LAST, images), wanted, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(scores("act:0~max@1:3,:", LAST, images), maps[:, 1:3].amax((1, 2)))
    with pytest.raises(TargetError, match="a unit's score is one of sum, norm"):
        Target.parse("act:0~mean")


def test_a_unit_is_driven_to_a_level() -> None:
    images = torch.rand(2, 3, 6, 5, generator=torch.Generator().manual_seed(1))
    maps = LAST.tap(images, ["act"])["act"][:, 0]
    torch.testing.assert_close(scores("act:0~level=0.5", LAST, images), -(maps.mean((1, 2)) - 0.5).square())
    torch.testing.assert_close(scores("act:0~level=-2@1,2", LAST, images), -(maps[:, 1, 2] + 2).square())
    assert Target.parse("act:0~level=0.50") == Target.parse("act:0~level=.5")
    for wrong in ("act:0~level=", "act:0~level=much", "act:0~level=nan", "act~level=1"):
        with pytest.raises(TargetError, match=r"cannot read the target"):
            Target.parse(wrong)


def test_photos_in_a_folder_are_what_the_distribution_is_matched_to(tmp_path: Path) -> None:
    photos = torch.rand(3, 3, 6, 5, generator=torch.Generator().manual_seed(1))
    for number, photo in enumerate(photos):
        write(tmp_path / f"{number}.png", photo)
    (tmp_path / "notes.txt").write_text("no picture")
    seen = torch.stack([read(tmp_path / f"{number}.png") for number in range(3)])
    images = torch.rand(2, 3, 6, 5, generator=torch.Generator().manual_seed(2))
    ranks, wanted = (LAST.tap(x, ["act"])["act"].flatten(2).sort(2).values for x in (images, seen))
    by_hand = -(ranks - wanted.mean(0)).square().mean(2).sum(1)
    torch.testing.assert_close(scores(f"match:act@{tmp_path}", LAST, images), by_hand)
    by_hand = -(ranks - wanted[1]).square().mean(2).sum(1)
    torch.testing.assert_close(scores(f"match:act@{tmp_path / '1.png'}", LAST, images), by_hand)
    (tmp_path / "empty").mkdir()
    with pytest.raises(TargetError, match=r"no pictures .* in the folder"):
        objective_of(Target.parse(f"match:act@{tmp_path / 'empty'}"), LAST)
    with pytest.raises(ImageError, match="no file"):
        objective_of(Target.parse("match:act@nowhere"), LAST)


def test_a_photo_is_matched_or_exaggerated(tmp_path: Path) -> None:
    photo = torch.rand(3, 6, 5, generator=torch.Generator().manual_seed(1))
    write(tmp_path / "photo.png", photo)
    seen = read(tmp_path / "photo.png")[None]
    images = torch.cat([seen, torch.rand(1, 3, 6, 5, generator=torch.Generator().manual_seed(2))])
    there, other = LAST.tap(images, ["act"])["act"].flatten(1)
    inverted = scores(f"inversion:act@{tmp_path / 'photo.png'}", LAST, images)
    torch.testing.assert_close(inverted, torch.stack([torch.tensor(0.0), -(other - there).square().sum()]))
    exaggerated = scores(f"caricature:act@{tmp_path / 'photo.png'}", LAST, images)
    torch.testing.assert_close(exaggerated, torch.stack([there @ there, other @ there]))
    with pytest.raises(ImageError, match="no file"):
        objective_of(Target.parse("caricature:act@no.png"), LAST)


def test_a_log_probability_is_the_logarithm_of_the_probability() -> None:
    images = torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(scores("logprob:red", TOKENS, images), scores("prob:red", TOKENS, images).log())
