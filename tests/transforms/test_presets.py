"""Text becomes transforms and transforms become text; what cannot be read is refused by name."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pellucid.draws import Draws
from pellucid.errors import RecipeError
from pellucid.transforms.affine import Jitter, Rotate, Scale
from pellucid.transforms.boxes import Box
from pellucid.transforms.compose import compose
from pellucid.transforms.crops import Pad
from pellucid.transforms.pixelwise import UniformNoise
from pellucid.transforms.presets import PRESETS, describe, parse, preset
from pellucid.transforms.transform import Choice, Length, Range


def test_lucid_is_lucids() -> None:
    pad, jitter, scale, rotate, last = preset("lucid").transforms
    assert pad == Pad(Length(12, 128))
    assert jitter == Jitter(Length(8, 128))
    assert scale == Scale([round(1 + (i - 5) / 50, 2) for i in range(11)])
    assert rotate == Rotate([*range(-10, 11), *[0] * 5])
    assert last == Jitter(Length(4, 128))


def test_slides_are_the_slides() -> None:
    assert preset("slides").transforms == (Jitter(1), Rotate(Range(-5, 5)), Scale(Range(1 / 1.1, 1.1)))


@pytest.mark.parametrize(
    "text",
    [
        "pad:12 jitter:8 scale:0.9..1.1 rotate:-10..10 jitter:4 blur:0.5 noise:0.05 crop:48",
        "pad:3,reflect jitter:8@128 flip:0.5 shear:-5..10 crop:48x64",
        "rotate:1*5 scale:0.5,1,3*2 rotate:-1..1/0.25,7",
        "brightness:0.5..2 contrast:0.8..1.2 saturation:0..1 hue:-20..20 uniform:0.1 gradnorm gradblur:1.5",
        "box:0.25,0.1,0.15 box:0.3,0.0,0.0,64",
        *PRESETS,
    ],
)
def test_text_round_trips(text: str) -> None:
    pipeline = parse(text)
    assert parse(describe(pipeline)) == pipeline
    assert describe(parse(describe(pipeline))) == describe(pipeline)
    if ":" in text:
        assert describe(pipeline) == text


@pytest.mark.parametrize(
    "values", [(0.1, 0.2, 0.30000000000000004), (3.0, 3.0, 4.0, 5.0, 5.0), (1.0, 1.0 + 1e-12, 2.0)]
)
def test_any_list_round_trips(values: tuple[float, ...]) -> None:
    assert parse(describe(Rotate(values))).transforms == (Rotate(Choice(values)),)


def test_maco_is_the_papers() -> None:
    box, noise = preset("maco").transforms
    assert box == Box(0.25, 0.1, 0.15)
    assert noise == UniformNoise(0.1)
    assert parse("box:0.25").transforms == (Box(0.25, 0.1, 0.15),)


def test_presets_and_words_mix() -> None:
    assert describe(parse("slides noise:0.05")) == describe(preset("slides")) + " noise:0.05"
    assert parse("  ") == preset("none")
    assert describe(preset("none")) == "none"


def test_the_fill_reaches_every_stage() -> None:
    images = torch.full((1, 2, 16, 16), 7.0)
    for text in ("scale:1*0.5", "pad:4 crop:24", "blur:4"):
        corner = parse(text, fill=(7.0, 1.0))(images, Draws.from_keys(["a"]))[0, :, 0, 0]
        assert corner[0] == 7
        assert corner[1] < 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("jiter:8", "no transform 'jiter'. Did you mean 'jitter'"),
        ("lucyd", "no transform 'lucyd'. Did you mean 'lucid'"),
        ("swirl:3", "Possible: pad, jitter, .*; presets: lucid, slides, maco, none"),
        ("jitter", "transform 'jitter' needs a value, as in jitter:8"),
        ("jitter:", "needs a value"),
        ("jitter:0.5", r"transform 'jitter:0.5' cannot be read. Write it as in jitter:8 \(whole pixels\)"),
        ("jitter:-2", "transform 'jitter:-2': -2 px is less than nothing. Give 0 px or more"),
        ("jitter:8@0", "Give 1 px or more"),
        ("rotate:fast", "cannot be read. Write it as in rotate:5"),
        ("rotate:10..-10", "10..-10 is no range. Give two numbers, the smaller first"),
        ("rotate:nan..1", "is no range"),
        ("rotate:0..1/0", "0..1/0 has no steps"),
        ("rotate:0..1/1e-9", "numbers to choose from. Give 1 to 10000"),
        ("rotate:99999999999*0", "numbers to choose from"),
        ("rotate:1,,2", "cannot be read"),
        ("scale:0..1", "scale by 0 leaves nothing"),
        ("scale:inf", "scale by inf is not possible"),
        ("pad:3,mirror", "no way to pad 'mirror'. Possible: grey, reflect"),
        ("crop:0", "a crop of 0 x 0 px is empty"),
        ("noise:-1", "noise of standard deviation -1 is not possible"),
        ("flip:2", "flip with probability 2"),
        ("brightness:0.5", "brightness by 0.5 is not possible. Give 1 or more times"),
        ("contrast:-1..1", "contrast by -1 is not possible. Give factors of 0 or more"),
        ("hue:-5", "hue by -5 is not possible"),
        ("uniform:-1", "noise up to -1 is not possible"),
        ("box:2", "a box of 2 of the picture is not possible. Give 0.05 to 1"),
        ("box:0.2,-1", "a box cannot spread by -1"),
        ("box:0.2,0.1,0.1,0", "a box of 0 px is empty"),
        ("box:1,1,1,1,1", "cannot be read. Write it as in box:0.25"),
        ("box:1,1,1,half", "cannot be read. Write it as in box:0.25"),
        ("gradnorm:2", "transform 'gradnorm' has no value"),
        ("gradblur", "needs a value, as in gradblur:1"),
        ("gradblur:-1", "a gradient blurred by -1 px is not possible"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


def test_unknown_presets_name_their_neighbours() -> None:
    with pytest.raises(RecipeError, match=r"no preset of transforms 'slide'. Did you mean 'slides'.*Possible: lucid, "):
        preset("slide")


def test_transforms_of_ones_own_compose_but_have_no_text() -> None:
    def brighten(images: Tensor, draws: Draws) -> Tensor:
        return images + 1

    pipeline = compose([Jitter(0), brighten])
    assert pipeline(torch.zeros(1, 1, 4, 4), Draws.from_keys(["a"])).eq(1).all()
    with pytest.raises(RecipeError, match=r"cannot be written as text"):
        describe(pipeline)
