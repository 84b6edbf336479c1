"""The sweep: each unit once, whatever happens on the way, and the pictures of a sweep that nothing happened to."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import pellucid as pl
from atlas_networks import QUICK, SIZE, Bad, Tiny, tiny
from pellucid.ascent.slots import Slots
from pellucid.atlas.outcome import SweepProgress
from pellucid.atlas.place import Place
from pellucid.atlas.shards import Key, unpacked
from pellucid.atlas.store import Atlas
from pellucid.atlas.sweeping import sweep
from pellucid.atlas.writer import write_shard
from pellucid.errors import AtlasError, RecipeError, TargetError


def images(url: object) -> Mapping[Key, bytes | None]:
    atlas = Atlas.open(str(url))
    assert not atlas.damaged
    return {key: atlas.image(*key) for key in atlas.keys}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An atlas that nobody disturbed: two layers, negatives, and diverse sets of two."""
    url = tmp_path_factory.mktemp("whole")
    report = sweep(tiny(), url, images=2, negative=True, **QUICK)
    assert report.left == 0
    return url


def test_every_unit_has_its_pictures(whole: Path) -> None:
    atlas = Atlas.open(whole)
    assert atlas.layers == ("one", "two")
    assert [one.unit for one in atlas.pictures("one")] == list(range(8))
    assert [one.unit for one in atlas.pictures("two")] == list(range(6))
    assert [(one.view, one.member, one.status, one.height, one.width) for one in atlas.unit("two:5")] == [
        ("picture", 0, "done", SIZE, SIZE),
        ("negative", 0, "done", SIZE, SIZE),
        ("diverse", 0, "done", SIZE, SIZE),
        ("diverse", 1, "done", SIZE, SIZE),
    ]
    assert len(atlas) == 14 * 4
    assert len(atlas.place.names("pictures")) == 6  # settled: one for each layer and view
    assert not list(whole.glob("lease*"))


def test_a_picture_of_an_atlas_is_that_of_render(whole: Path) -> None:
    alone = pl.render(tiny(), [f"one:{unit}" for unit in range(8)], **QUICK)
    found = Atlas.open(whole).pictures("one")
    assert [one.score for one in found] == [float(score) for score in alone.scores]


def test_a_sweep_that_is_stopped_goes_on_to_the_same_pictures(tmp_path: Path) -> None:
    for stop_at in (3, 9, 14):
        calls = itertools.count(1)

        def stop(progress: SweepProgress, calls: Iterator[int] = calls, stop_at: int = stop_at) -> bool:
            return next(calls) == stop_at

        assert sweep(tiny(), tmp_path / "a", images=2, negative=True, callback=stop, batch=3, **QUICK).interrupted
    sweep(tiny(), tmp_path / "a", images=2, negative=True, batch=3, **QUICK)
    undisturbed = sweep(tiny(), tmp_path / "b", images=2, negative=True, batch=3, **QUICK)
    assert undisturbed.rendered["done"] == 56
    assert images(tmp_path / "a") == images(tmp_path / "b")


def test_what_is_left_is_rendered_in_as_many_slots_as_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are equal bit for bit at an equal shape of the batch: one unit that is left keeps seven slots empty."""
    batches: list[int] = []
    whole = Slots.__init__

    def seen(self: Slots, *given: Any) -> None:
        whole(self, *given)
        batches.append(self.resolved.batch)

    monkeypatch.setattr(Slots, "__init__", seen)
    sweep(tiny(), tmp_path, layers="one", lanes=1, **QUICK)
    shard = next((tmp_path / "pictures").iterdir())
    kept = [one for one in unpacked(shard.read_bytes(), "shard") if one.unit != 5]
    shard.unlink()
    write_shard(Place.of(tmp_path), kept)
    report = sweep(tiny(), tmp_path, layers="one", lanes=1, **QUICK)
    assert sum(report.rendered.values()) == 1
    assert batches == [8, 8]


def test_a_second_sweep_finds_nothing_to_do(whole: Path) -> None:
    report = sweep(tiny(), whole, images=2, negative=True, **QUICK)
    assert (report.before, sum(report.rendered.values()), report.left) == (56, 0, 0)


def test_an_atlas_grows_by_layers_units_and_views(tmp_path: Path) -> None:
    sweep(tiny(), tmp_path, layers="one", units="0-2", **QUICK)
    sweep(tiny(), tmp_path, layers="t*", units=[4], **QUICK)
    report = sweep(tiny(), tmp_path, layers="one", units="2,3", negative=True, **QUICK)
    atlas = Atlas.open(tmp_path)
    assert atlas.card.units == {"one": (0, 1, 2, 3), "two": (4,)}
    assert sum(report.rendered.values()) == 1 + 5  # a unit more, and the negatives of all
    assert len(atlas.pictures(view="negative")) == 5


def test_a_changed_recipe_or_network_does_not_mix(tmp_path: Path) -> None:
    sweep(tiny(), tmp_path, layers="one", units="0", **QUICK)
    with pytest.raises(AtlasError, match=r"was made with seed 0, and not 1: .* choose another folder"):
        sweep(tiny(), tmp_path, layers="one", seed=1, **QUICK)
    with pytest.raises(AtlasError, match=r"is an atlas of tiny with weights \w{16}, and tiny has weights \w{16}"):
        sweep(tiny(units=9), tmp_path, layers="one", **QUICK)
    sweep(tiny(), tmp_path, layers="one", units="1", batch=7, **QUICK)  # the machine's affair
    sweep(tiny(), tmp_path, layers="one", units="2", learning_rate=0.1, schedule="constant", **QUICK)  # as it was
    assert len(Atlas.open(tmp_path)) == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layers": "three"}, r"no layer of tiny fits 'three'\. .*pellucid layers tiny --all"),
        ({"layers": "onee"}, r"Did you mean 'one'"),
        ({"units": "9-12"}, r"no layer that was asked for has units 9-12; the widest has 8, 0 to 7"),
        ({"units": "a"}, r"units are numbers and ranges, such as 0-15,40, not 'a'"),
        ({"units": ""}, r"units are numbers"),
        ({"images": 0}, r"images are 1, or the picture and a diverse set"),
    ],
)
def test_what_makes_no_sense_is_said_and_nothing_is_written(
    tmp_path: Path, given: Mapping[str, object], message: str
) -> None:
    with pytest.raises((TargetError, RecipeError), match=message):
        sweep(tiny(), tmp_path / "no", **given, **QUICK)  # type: ignore[arg-type]
    assert not (tmp_path / "no").exists()


def test_a_bad_unit_spares_the_others(tmp_path: Path) -> None:
    model = pl.Model(Bad(), name="bad", size=SIZE)
    report = sweep(model, tmp_path, layers="relu", **{**QUICK, "steps": 24, "color": "none"})
    states = {one.unit: one.status for one in Atlas.open(tmp_path).pictures("relu")}
    assert states == {0: "done", 1: "dead", 2: "done", 3: "nonfinite", 4: "failed", 5: "done"}
    failed = Atlas.open(tmp_path).picture("relu:4")
    assert failed is not None
    assert "too much blue" in (failed.error or "")
    assert {one.target for one in report.bad} == {"relu:1", "relu:3", "relu:4"}


def test_a_network_that_always_raises_ends_the_sweep(tmp_path: Path) -> None:
    class Broken(Tiny):
        def forward(self, x: Tensor) -> Tensor:
            if x.requires_grad:
                raise ZeroDivisionError("no way")
            return super().forward(x)

    with pytest.raises(AtlasError, match=r"8 units of one in a row could not be rendered: ModelError: .* no way"):
        sweep(pl.Model(Broken(units=20), size=SIZE), tmp_path, layers="one", **QUICK)


def test_progress_counts_what_was_missing(tmp_path: Path) -> None:
    sweep(tiny(), tmp_path, layers="one", units="0-3", **QUICK)
    seen: list[SweepProgress] = []
    sweep(tiny(), tmp_path, callback=seen.append, **QUICK)  # type: ignore[arg-type]
    assert {one.num_images for one in seen} == {10}
    assert [one.image_steps for one in seen] == sorted(one.image_steps for one in seen)
    assert seen[-1].image_steps == 30


def test_two_processes_do_not_share_memory_places_but_one_may_use_them() -> None:
    url = f"memory://{uuid.uuid4().hex}"
    sweep(tiny(), url, layers="one", **QUICK)
    assert len(images(url)) == 8
