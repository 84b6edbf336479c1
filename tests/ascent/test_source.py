"""Sources of pictures: the first that has one gives it, and rendering gives what `render` gives."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

import pellucid as pl
from pellucid.ascent.source import Portrait, RenderNow, portraits_of


class Album:
    """Has what it was given, and remembers what it was asked for."""

    def __init__(self, *portraits: Portrait) -> None:
        self.has = {one.target: one for one in portraits}
        self.asked: list[str] = []

    def portraits(self, targets: Sequence[str]) -> dict[str, Portrait]:
        self.asked += targets
        return {target: self.has[target] for target in targets if target in self.has}


def test_rendering_now_gives_what_render_gives() -> None:
    model = pl.Model(nn.Sequential(nn.Conv2d(3, 4, 3)), size=8)
    made = RenderNow(model, {"steps": 2}).portraits(["0:1", "0:3", "0:1"])
    assert list(made) == ["0:1", "0:3"]
    rendering = pl.render(model, ["0:1", "0:3"], steps=2)
    for row, one in enumerate(made.values()):
        assert torch.equal(one.image, rendering.images[row])
        assert one.status == rendering.status[row]
    assert RenderNow(model).portraits([]) == {}


def test_the_first_source_that_has_a_picture_gives_it() -> None:
    old, new = (Portrait("a:0", torch.full((3, 2, 2), value), value, pl.Status("done", 1)) for value in (0.0, 1.0))
    other = Portrait("a:1", torch.zeros(3, 2, 2), 0.5, pl.Status("done", 1))
    first, second = Album(old), Album(new, other)
    found = portraits_of(["a:0", "a:1", "a:2"], [first, second])
    assert found == {"a:0": old, "a:1": other}
    assert second.asked == ["a:1", "a:2"]
