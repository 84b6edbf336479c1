"""Transforms by name and as text: `pad:12 jitter:8 scale:0.9..1.1 rotate:-10..10 jitter:4`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from pellucid.errors import RecipeError, did_you_mean
from pellucid.transforms.affine import GREY, Flip, Jitter, Rotate, Scale, Shear
from pellucid.transforms.boxes import CENTRE_SD, Box
from pellucid.transforms.colors import Brightness, Contrast, Hue, Saturation
from pellucid.transforms.compose import Pipeline, compose
from pellucid.transforms.conditioning import NormalizeGradient, SmoothGradient
from pellucid.transforms.crops import Pad, RandomCrop
from pellucid.transforms.pixelwise import Blur, Noise, UniformNoise
from pellucid.transforms.transform import MAX_CHOICES, Choice, Length, Range, Spread, Transform, stepped

__all__ = ["PRESETS", "describe", "parse", "preset"]

PRESETS = {
    # Lucid, `transform.standard_transforms`, which it applies to pictures of 128 px unless told otherwise; hence
    # "@128": smaller pictures, for smaller networks with smaller strides, move proportionally less.
    "lucid": "pad:12@128 jitter:8@128 scale:0.9..1.1/0.02 rotate:-10..10/1,5*0 jitter:4@128",
    # Olah's slides: "Jitter: 1px, Rotate: 5°, Scale: 1.1x".
    "slides": "jitter:1 rotate:5 scale:1.1",
    # Fel et al. 2023: a box of N(0.25, 0.1) of the sides, and noise between -0.1 and 0.1; where its centre lies the
    # paper does not say, and Xplique and Horama draw it with 0.15.
    "maco": "box:0.25,0.1,0.15 uniform:0.1",
    "none": "",
}


def preset(name: str, *, fill: float | int | Sequence[float | int] = GREY) -> Pipeline:
    """The transforms that go by a name: "lucid" (the default of a recipe), "slides", "maco" or "none".

    Raises:
        RecipeError: no preset of this name.
    """
    if name not in PRESETS:
        raise RecipeError(
            f"no preset of transforms {name!r}.{did_you_mean(name, PRESETS)} Possible: {', '.join(PRESETS)}"
        )
    return parse(PRESETS[name], fill=fill)


def parse(text: str, *, fill: float | int | Sequence[float | int] = GREY) -> Pipeline:
    """Read transforms from text: words separated by spaces, done from left to right.

    A word is a preset's name or one of

        pad:12  pad:12,reflect    a frame of 12 px, mid-grey or reflected
        jitter:8                  shift by whole pixels, over a range of 8 px; `8@128`: at 128 px and more, smaller
                                  pictures proportionally less
        rotate:5  scale:1.1       up to 5 degrees either way; from 1/1.1 to 1.1
        shear:5                   up to 5 degrees either way
        rotate:-10..20            any angle in the range (scale and shear likewise)
        rotate:-10..10/1,5*0      one of a list: steps of 1, and 0 five times more
        flip  flip:0.3            left to right, with probability 0.5 or 0.3
        blur:0.5                  Gaussian, standard deviation in px
        noise:0.05                normal, standard deviation in the picture's units
        uniform:0.1               noise between -0.1 and 0.1
        brightness:1.2            by 1/1.2 to 1.2 (contrast and saturation likewise; ranges and lists as above)
        hue:20                    colours turned by up to 20 degrees either way
        box:0.25,0.1              a box of N(0.25, 0.1) of the sides, enlarged again; `box:0.25,0.1,0.15` its centre
                                  spread by 0.15; `box:0.25,0.1,0.15,224` enlarged to 224 px
        gradnorm  gradblur:1      the picture as it is; its gradient of length 1, or blurred by 1 px
        crop:48  crop:48x64       a random piece: height x width, in px

    `fill` is what lies outside a picture: one value, or one per channel.

    Raises:
        RecipeError: an unknown name or an impossible value, with the word that holds it.
    """
    words = [part for word in text.split() for part in PRESETS.get(word, word).split()]
    return compose([_read(word) for word in words], fill=fill)


def describe(transform: Transform) -> str:
    """The text that `parse` reads back as the same transform; "none" for no change.

    Raises:
        RecipeError: a transform of your own has no text.
    """
    parts = transform.transforms if isinstance(transform, Pipeline) else (transform,)
    return " ".join(map(_written, parts)) or "none"


def _read(word: str) -> Transform:
    name, colon, value = word.partition(":")
    if name not in _READERS:
        raise RecipeError(
            f"no transform {name!r}.{did_you_mean(name, [*_READERS, *PRESETS])} "
            f"Possible: {', '.join(_READERS)}; presets: {', '.join(PRESETS)}"
        )
    if name == "gradnorm" and colon:
        raise RecipeError("transform 'gradnorm' has no value")
    if not value and (colon or name not in ("flip", "gradnorm")):
        raise RecipeError(f"transform {name!r} needs a value, as in {_EXAMPLES[name]}")
    try:
        return _READERS[name](value)
    except RecipeError as error:
        raise RecipeError(f"transform {word!r}: {error}") from None
    except (ValueError, OverflowError):
        raise RecipeError(f"transform {word!r} cannot be read. Write it as in {_EXAMPLES[name]}") from None


def _written(transform: Transform) -> str:
    match transform:
        case Pad(px=px, mode=mode):
            return f"pad:{px}" if mode == "grey" else f"pad:{px},{mode}"
        case Jitter(px=px):
            return f"jitter:{px}"
        case Rotate(deg=spread):
            return f"rotate:{spread}"
        case Scale(factor=spread):
            return f"scale:{spread}"
        case Shear(deg=spread):
            return f"shear:{spread}"
        case Flip(probability=number):
            return f"flip:{number!r}"
        case Blur(sigma=number):
            return f"blur:{number!r}"
        case Noise(sd=number):
            return f"noise:{number!r}"
        case RandomCrop(size=(height, width)):
            return f"crop:{height}" if height == width else f"crop:{height}x{width}"
    return _written_rarer(transform)


def _written_rarer(transform: Transform) -> str:
    match transform:
        case UniformNoise(reach=number):
            return f"uniform:{number!r}"
        case Brightness(factor=spread) | Contrast(factor=spread) | Saturation(factor=spread):
            return f"{type(transform).__name__.lower()}:{spread}"
        case Hue(deg=spread):
            return f"hue:{spread}"
        case Box(mean=mean, sd=sd, centre_sd=centre_sd, px=px):
            return f"box:{mean!r},{sd!r},{centre_sd!r}" + ("" if px is None else f",{px}")
        case NormalizeGradient():
            return "gradnorm"
        case SmoothGradient(sigma=number):
            return f"gradblur:{number!r}"
    raise RecipeError(f"{transform!r} cannot be written as text. Possible: {', '.join(_READERS)}")


def _length(text: str) -> Length:
    px, at, side = text.partition("@")
    return Length(int(px), int(side) if at else None)


def _pad(text: str) -> Pad:
    px, comma, mode = text.partition(",")
    if comma and mode not in ("grey", "reflect"):
        raise RecipeError(f"no way to pad {mode!r}.{did_you_mean(mode, ['grey', 'reflect'])} Possible: grey, reflect")
    return Pad(_length(px), "reflect" if mode == "reflect" else "grey")


def _crop(text: str) -> RandomCrop:
    height, by, width = text.partition("x")
    return RandomCrop((int(height), int(width if by else height)))


def _box(text: str) -> Box:
    mean, *more = text.split(",")
    if len(more) > 3:
        raise ValueError(text)
    sd, centre_sd, px = (*more, *("0.1", str(CENTRE_SD), "")[len(more) :])
    return Box(float(mean), float(sd), float(centre_sd), int(px) if px else None)


def _amount(text: str) -> float | Spread:
    """A plain number, `low..high`, or a list of `number`, `times*number` and `low..high/step`."""
    if not any(mark in text for mark in (",", "*", "..")):
        return float(text)
    if not any(mark in text for mark in (",", "*", "/")):
        low, _, high = text.partition("..")
        return Range(float(low), float(high))
    return Choice(tuple(value for item in text.split(",") for value in _values(item)))


def _values(item: str) -> list[float]:
    if "*" in item:
        times, _, number = item.partition("*")
        return [float(number)] * _count(int(times))
    if ".." not in item:
        return [float(item)]
    limits, _, by = item.partition("/")
    low, high, step = (float(number) for number in (*limits.split(".."), by))
    if not (math.isfinite(low) and math.isfinite(high) and low <= high and 0 < step < math.inf):
        raise RecipeError(f"{item} has no steps. Write the smaller number first and a step above 0, as 0.9..1.1/0.02")
    # The last number belongs to the list although (1.1 - 0.9) / 0.02 is a hair under 10.
    return [stepped(low, step, index) for index in range(_count(int((high - low) / step + 1e-6) + 1))]


def _count(wanted: int) -> int:
    if not 1 <= wanted <= MAX_CHOICES:
        raise RecipeError(f"{wanted} numbers to choose from. Give 1 to {MAX_CHOICES}, or a range without steps")
    return wanted


_READERS: dict[str, Callable[[str], Transform]] = {
    "pad": _pad,
    "jitter": lambda text: Jitter(_length(text)),
    "rotate": lambda text: Rotate(_amount(text)),
    "scale": lambda text: Scale(_amount(text)),
    "shear": lambda text: Shear(_amount(text)),
    "flip": lambda text: Flip(float(text) if text else 0.5),
    "blur": lambda text: Blur(float(text)),
    "noise": lambda text: Noise(float(text)),
    "uniform": lambda text: UniformNoise(float(text)),
    "brightness": lambda text: Brightness(_amount(text)),
    "contrast": lambda text: Contrast(_amount(text)),
    "saturation": lambda text: Saturation(_amount(text)),
    "hue": lambda text: Hue(_amount(text)),
    "box": _box,
    "gradnorm": lambda text: NormalizeGradient(),
    "gradblur": lambda text: SmoothGradient(float(text)),
    "crop": _crop,
}
_EXAMPLES = {
    "pad": "pad:12 or pad:12,reflect (whole pixels)",
    "jitter": "jitter:8 (whole pixels)",
    "rotate": "rotate:5, rotate:-10..10 or rotate:-10..10/1,5*0 (degrees)",
    "scale": "scale:1.1, scale:0.9..1.1 or scale:0.9,1,1.1 (factors)",
    "shear": "shear:5 or shear:-5..10 (degrees)",
    "flip": "flip or flip:0.3 (a probability)",
    "blur": "blur:0.5 (pixels)",
    "noise": "noise:0.05 (standard deviation)",
    "uniform": "uniform:0.1 (the largest value)",
    "brightness": "brightness:1.2 or brightness:0.8..1.2 (factors)",
    "contrast": "contrast:1.2 or contrast:0.8..1.2 (factors)",
    "saturation": "saturation:1.2 or saturation:0..1 (factors)",
    "hue": "hue:20 or hue:-10..30 (degrees)",
    "box": "box:0.25, box:0.25,0.1,0.15 or box:0.25,0.1,0.15,224 (shares of the sides, pixels)",
    "gradnorm": "gradnorm",
    "gradblur": "gradblur:1 (pixels)",
    "crop": "crop:48 or crop:48x64 (whole pixels)",
}
