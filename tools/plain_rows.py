"""Replace each row of the catalogue by the plain channel objective or by the identity, and see its test fail.

    python tools/plain_rows.py              # every row of docs/catalogue.md, some minutes
    python tools/plain_rows.py metric       # those whose name holds the word

A row counts when its law test fails so: a row that no test tells from nothing is not there. The tests are those that
the page names; `ROWS` says what takes the row's place. One line a row, and exit 1 when a replacement goes unseen. That
every row of the page stands here is a test (`tests/project/test_catalogue.py`).
"""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

TREE = Path(__file__).parents[1]
ROOMS = ("objectives", "transforms", "models", "images", "ascent")
Place = tuple[str, Callable[..., Any]]


# What takes a row's place. Tensors come and go as in the original; torch is there by then.


def channel(cls: Any, activations: Any, rows: Any, leaves: Any) -> Any:
    """The plain channel objective: the mean of a channel of what the row reads."""
    from pellucid.objectives.response import places

    tap = (*leaves[0].taps, *activations)[0]
    maps = places(activations[tap], activations.layers[tap.layer])[rows]
    return maps.float()[range(len(maps)), [getattr(leaf, "channel", 0) for leaf in leaves]].mean((1, 2))


def red(self: Any, images: Any) -> Any:
    """The channel of a picture itself."""
    return images[:, 0].mean((1, 2))


def same(self: Any, images: Any, *_: Any, **__: Any) -> Any:
    """The identity."""
    return images


def still(self: Any, draws: Any, size: Any) -> Any:
    """The move that does not move."""
    import torch

    return torch.eye(3).expand(len(draws), 3, 3).contiguous()


def no_rule(self: Any, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
    """No rule: what is called is called."""
    return func(*args, **(kwargs or {}))


def as_pixels(self: Any, parameter: Any) -> Any:
    """Parameters as pixels, as many as there are."""
    count = self.channels * self.size[0] * self.size[1]
    return parameter.flatten(1).repeat(1, 4)[:, :count].unflatten(1, (self.channels, *self.size))


def phases_as_pixels(self: Any) -> Any:
    return as_pixels(self, self.phase)


def weights_as_pixels(self: Any) -> Any:
    """What is optimised, laid out once."""
    return as_pixels(
        self, self.flat().repeat(1, 1 + self.channels * self.size[0] * self.size[1] // self.flat().shape[1])
    )


def apart(self: Any, maps: Any, present: Any) -> Any:
    """A group term that sees each picture alone: its plain channel."""
    return maps[:, :, 0].mean((2, 3))


def plain_step(self: Any, rows: Any, gradients: Any, rate: float) -> Any:
    """x - rate times the gradient, which is the gradient of minus the score."""
    for parameter, gradient in zip(self._picked(self._parameters, rows), gradients, strict=True):
        parameter.sub_(gradient, alpha=rate)


def sign_step(self: Any, rows: Any, gradients: Any, rate: float) -> Any:
    for parameter, gradient in zip(self._picked(self._parameters, rows), gradients, strict=True):
        parameter.sub_(gradient.sign(), alpha=rate)


def nothing(*_: Any, **__: Any) -> None:
    return None


def first(value: Any, *_: Any, **__: Any) -> Any:
    """A function that hands back what it was given."""
    return value


def without_level(self: Any, name: str) -> Any:
    """A recipe that has no level to stop at."""
    return None if name == "level" else object.__getattribute__(self, name)


def of(class_: str, method: str, new: Callable[..., Any], *, as_class: bool = False) -> Place:
    """`new` for a method of a class: `objectives.metrics.Level`."""
    return f"{class_}.{method}", classmethod(new) if as_class else new  # type: ignore[return-value]


plain = partial(of, method="score", new=channel, as_class=True)
penalty = partial(of, method="of", new=red)
move = partial(of, method="sources", new=still)
call = partial(of, method="__call__", new=same)
UNIT = plain("objectives.units.Unit")


def whole_map(value: Any, layer: Any, position: Any = None) -> Any:
    """All positions, whichever were asked for."""
    return value if value.ndim == 4 else value[:, :, None, None]


def one_hot_only(layer: Any, vector: Any, **_: Any) -> Any:
    """A direction is the channel it leans to most."""
    import torch

    from pellucid.objectives.units import channel as plain_channel

    return plain_channel(layer, int(torch.as_tensor(vector).argmax()))


ROWS: dict[str, tuple[Place, ...]] = {
    # objectives: the channel's mean in their place; for the channel itself, the mean over all channels
    "channel": (("objectives.units.reduced", lambda value, reduction: value.float().amin((-2, -1))),),
    "neuron": (UNIT,),
    "region": (("objectives.response.places", whole_map),),
    "mask": (UNIT,),
    "raster": (UNIT,),
    "layer (DeepDream)": (plain("objectives.units.WholeLayer"),),
    **dict.fromkeys(("logit", "probability", "log-probability"), (plain("objectives.classes.ClassScore"),)),
    **dict.fromkeys(
        ("metric, L1", "metric, L2", "metric, L∞", "metric, largest"), (plain("objectives.metrics.Distance"),)
    ),
    "direction": (plain("objectives.units.Direction"),),
    "interpolation": (("objectives.units.direction", one_hot_only),),
    "joint": (of("objectives.objective.Objective", "__add__", lambda self, other: self),),
    "negative": (of("objectives.units.Unit", "before_rectifier", lambda self: self),),
    "caricature": (plain("objectives.photos.Caricature"),),
    "inversion": (plain("objectives.photos.Inversion"),),
    "accentuation": (of("ascent.accentuate.Accent", "unit", lambda self: 1.0),),
    "guided": (plain("objectives.guides.Guide"),),
    "level": (plain("objectives.metrics.Level"),),
    **dict.fromkeys(("probe", "latent"), (plain("objectives.probes.Readout"),)),
    "distribution match": (plain("objectives.distributions.DistributionMatch"),),
    "diversity": (of("objectives.groups.Diversity", "of_groups", apart),),
    "alignment": (of("objectives.groups.Alignment", "of_groups", apart),),
    "from diverse examples": (
        ("ascent.facets.diverse_starts", lambda model, target, pictures, count, **_: pictures[:count]),
    ),
    "towards centroids": (("ascent.facets.direction", lambda layer, vector: one_hot_only(layer, [1.0])),),
    "from a generator's samples": (
        of("images.generator.Generator", "_start", lambda self, draws: self.latent[:1].repeat(len(draws), 1) * 0),
    ),
    # penalties: the picture's own channel
    "L1": (penalty("objectives.penalties.L1"),),
    "L2": (penalty("objectives.penalties.L2"),),
    "total variation": (penalty("objectives.penalties.TotalVariation"),),
    "isotropic": (penalty("objectives.penalties.IsotropicVariation"),),
    "blur (of self)": (penalty("objectives.penalties.BlurPenalty"),),
    "boundary": (penalty("objectives.penalties.BoundaryComplexity"),),
    "opacity": (of("objectives.penalties.Opacity", "of", lambda self, images: images.mean((1, 2, 3)) * 0),),
    "input difference": (penalty("objectives.penalties.InputDifference"),),
    # transforms: the identity
    "jitter, rotate, scale, shear, flip": tuple(
        move(f"transforms.affine.{kind}") for kind in ("Jitter", "Rotate", "Scale", "Shear", "Flip")
    ),
    "box": (move("transforms.boxes.Box"),),
    "pad, crop": (call("transforms.crops.Pad"), call("transforms.crops.RandomCrop")),
    "blur, noise, uniform": tuple(call(f"transforms.pixelwise.{kind}") for kind in ("Blur", "Noise", "UniformNoise")),
    "brightness, contrast": (call("transforms.colors.Brightness"), call("transforms.colors.Contrast")),
    "saturation, hue": (call("transforms.colors.Saturation"), call("transforms.colors.Hue")),
    "gradient normalisation": (("transforms.conditioning.normalized", first),),
    "gradient smoothing": (("transforms.conditioning.smoothed", first),),
    "blur the image each step": (("transforms.conditioning.blur_images", first),),
    # gradient rules: none
    **dict.fromkeys(
        ("redirected ReLU", "redirected ReLU6", "identity"),
        (of("models.gradients._RectifierRule", "__torch_function__", no_rule),),
    ),
    "smoothed max-pooling": (of("models.max_pooling.SmoothedMaxPool", "__torch_function__", no_rule),),
    # images: what is optimised, as pixels
    "pixels": (of("images.pixels.Pixels", "_encoded", lambda self, latents: latents * 0),),
    "fourier": (of("images.fourier.Fourier", "_decoded", as_pixels),),
    "pyramid": (of("images.pyramid.Pyramid", "_decoded", as_pixels),),
    "maco": (of("images.maco.Maco", "latents", phases_as_pixels),),
    "cppn": (of("images.cppn.Cppn", "latents", weights_as_pixels),),
    "alpha": (("images.alpha.over", lambda images, background: images[:, :-1]),),
    "SharedLowRes": (of("images.shared.SharedLowRes", "component", lambda self: self.own() * 0),),
    "Generator": (of("images.generator.Generator", "forward", weights_as_pixels),),
    "Field": (of("images.field.Between", "decoded", same),),
    "geometry": (of("images.field.Normals", "decoded", lambda self, latents: latents[:, [0, 1, 0]]),),
    # the loop: without
    "Adam, NAdam, AdamW": tuple(
        of(f"ascent.optimizers.{kind}", "_move", plain_step) for kind in ("Adam", "NAdam", "AdamW")
    ),
    "SGD, the plain step": (of("ascent.optimizers.Sgd", "_move", sign_step),),
    "schedules": (("ascent.schedule.rate_at", lambda recipe, done: recipe.rate),),
    "octaves": (of("ascent.growing.Grower", "job", lambda self, job, so_far, resolved: job),),
    "L-BFGS": (("ascent.lbfgs._two_loops", lambda g, steps, changes: -g),),
    "best of n": (("ascent.growing._best", lambda attempts: attempts[0]),),
    "plateau, level": (of("ascent.recipe.Recipe", "__getattribute__", without_level),),
    "start from a photo": (of("images.image.LinearImage", "set_rows", nothing),),
    "snapshots": (of("ascent.slots.Slots", "_keep_snapshots", nothing),),
    "video": (("ascent.rendering.film", lambda reels, targets: []),),
    "generator's prior": (("ascent.image_for.with_prior", lambda image, weight, gradients: gradients),),
    "photos beside": (of("ascent.companions.Companions", "beside", lambda self, activations, *_: activations),),
    "dream": (of("ascent.dream._Run", "_gradient", lambda self, image, tiles, shift: (0.0, image * 0)),),
    "covariance": (("images.color.color_factor", lambda covariance: covariance),),
    "natural spectrum": (("images.spectrum._slope", lambda power: power[:, 0, 0] * 0),),
    "woken": (of("ascent.rescue.Rescue", "saw_none", nothing),),
    "a start with contrast": (("ascent.rescue.rests", lambda history, steps: False),),
}


def rows_of(page: str) -> dict[str, list[str]]:
    """Each row of the catalogue's tables, by its name, with the tests it names: `test_units.py::test_…`."""
    found: dict[str, list[str]] = {}
    for line in page.splitlines():
        tests = re.findall(r"`(test_\w+\.py(?:::test_\w+)?)`", line)
        if line.startswith("| ") and tests:
            name = re.split(r"[`;]", line.split("|")[1].strip().strip("`"))[0]
            found["alpha" if name.startswith("any kind with") else name] = tests
    return found


def test_file(test: str) -> str:
    """Where in the tree a test of the page lies."""
    name, _, function = test.partition("::")
    homes = [path for room in ROOMS if (path := TREE / "tests" / room / name).exists()]
    file = next(path for path in homes if not function or f"def {function}(" in path.read_text())
    return f"{file}::{function}" if function else str(file)


@contextlib.contextmanager
def replaced(places: tuple[Place, ...]) -> Iterator[None]:
    """The package with other mathematics: methods on their class, functions wherever they were imported to."""
    undo: list[Callable[[], None]] = []
    for path, new in places:
        room, module, *names = path.split(".")
        owner: Any = importlib.import_module(f"pellucid.{room}.{module}")
        for name in names[:-1]:
            owner = getattr(owner, name)
        old, name = vars(owner).get(names[-1]), names[-1]
        holders = [owner]
        if len(names) == 1:
            holders = [m for m in list(sys.modules.values()) if getattr(m, "__dict__", {}).get(name) is old]
        for holder in holders:
            undo.append(partial(delattr, holder, name) if old is None else partial(setattr, holder, name, old))
            setattr(holder, name, new)
    try:
        yield
    finally:
        for back in undo:
            back()


class Replacing:
    """A plugin of pytest: the tests are collected with the package as it is, and run with a row replaced."""

    def __init__(self, places: tuple[Place, ...]) -> None:
        self._places, self._stack = places, contextlib.ExitStack()
        self.failed_by = ""

    def pytest_collection_finish(self) -> None:
        self._stack.enter_context(replaced(self._places))

    def pytest_exception_interact(self, call: Any) -> None:
        self.failed_by = call.excinfo.typename

    def pytest_unconfigure(self) -> None:
        self._stack.close()


def seen_by(tests: list[str], places: tuple[Place, ...]) -> str:
    """What one of a row's tests fails by when it is replaced: an AssertionError, mostly; "" where none does."""
    import pytest

    said, plugin = io.StringIO(), Replacing(places)
    with contextlib.redirect_stdout(said):
        code = pytest.main(["-q", "-x", "-p", "no:cacheprovider", *map(test_file, tests)], [plugin])
    if code not in (0, 1):
        raise SystemExit(f"{tests} did not run\n{said.getvalue()[-2000:]}")
    return plugin.failed_by


def main() -> None:
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    rows = rows_of((TREE / "docs/catalogue.md").read_text())
    unseen = 0
    for name, tests in rows.items():
        if word in name:
            failure = seen_by(tests, ROWS[name])
            unseen += not failure
            print(f"{'seen  ' if failure else 'UNSEEN'}  {name}  {failure}", flush=True)
    raise SystemExit(1 if unseen else 0)


if __name__ == "__main__":
    main()
