"""What pages show is what the rooms found: surveys, neighbours, likeness; and a site's files are those it needs."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import pellucid as pl
from pellucid.app.cli import main
from pellucid.app.site.addresses import Routes
from pellucid.app.site.examples import example_bytes
from pellucid.app.site.export import export
from pellucid.app.site.likeness import Likeness, describe
from pellucid.app.site.opening import opened
from pellucid.app.site.shelf import Shelf
from pellucid.app.site.thumbs import SMALL_PX, Thumbs, nothing, smaller
from pellucid.app.site.unit_contents import unit_contents
from pellucid.atlas.store import Atlas
from pellucid.errors import AtlasError
from pellucid.survey.pictures import Pictures
from pellucid.survey.unit_table import About, UnitTable
from viewing import Wanted, make_atlas, put_table, webp


def test_a_survey_beside_the_atlas_gives_examples_histograms_and_names(tmp_path: Path) -> None:
    model = pl.load("default")
    for at, name in enumerate(("apple", "apple", "pear", "pear")):
        (tmp_path / "photos" / name).mkdir(parents=True, exist_ok=True)
        Image.open(io.BytesIO(webp(at, 64))).convert("RGB").save(tmp_path / "photos" / name / f"{at}.png")
    wanted = Wanted(layers={"conv1": 32}, name="default", weights_hash=model.weights_hash)
    atlas = make_atlas(tmp_path / "atlas", wanted)
    pl.survey.survey(model, tmp_path / "photos", atlas / "survey", layers="conv1", k=2)
    nearest = About("alike"), About("how much")
    table = UnitTable.of(
        model,
        ["conv1:3"],
        {"nearest_units": ([["conv1:9", "conv1:8"]], nearest[0]), "nearest_similarity": ([[0.9, 0.8]], nearest[1])},
    )
    Atlas.open(atlas).put_table("similar", table)
    shelf = Shelf.open(atlas)
    unit = unit_contents(shelf, 0, 0, 3, Routes())
    assert unit is not None
    by_title = {group["title"]: group["items"] for group in unit["examples"]}
    assert len(by_title["Dataset examples"]) == 2
    assert by_title["Dataset examples"][0]["caption"] in ("apple", "pear")
    assert unit["label"] in ("apple", "pear")
    assert unit["histograms"][0]["edges"][-1] > unit["histograms"][0]["edges"][0]
    assert len(unit["histograms"][0]["edges"]) == len(unit["histograms"][0]["counts"]) + 1
    (links,) = unit["links"]
    assert [(one["unit"], one["value"]) for one in links["items"]] == [(9, 0.9), (8, 0.8)]
    written = export(shelf, tmp_path / "site")
    text = (tmp_path / "site/data/0/0/units-0.js").read_text()
    for source in set(re.findall(r'"src":"(examples/[^"]+)"', text)):
        with Image.open(tmp_path / "site" / source) as shown:
            assert max(shown.size) <= 64
    assert written.num_units == 32


def test_pages_are_shown_without_torch(tmp_path: Path) -> None:
    put_table(make_atlas(tmp_path / "atlas"))
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]; from pathlib import Path; from viewing import make_viewer; "
        "from pellucid.app.site.addresses import Routes; from pellucid.app.site.unit_contents import unit_contents; "
        "viewer = make_viewer(Path(sys.argv[1])); assert unit_contents(viewer.shelf, 0, 0, 7, Routes())['links']; "
        "assert 'torch' not in sys.modules"
    )
    tests = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", code, str(tmp_path / "atlas"), tests]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_a_table_of_another_network_is_not_shown(tmp_path: Path) -> None:
    atlas = make_atlas(tmp_path / "atlas")
    model = pl.load("default")
    (atlas / "tables").mkdir()
    UnitTable.of(model, ["mixed4a:3"], {"wrong": ([1.0], About("of another"))}).save(atlas / "tables/wrong.parquet")
    (atlas / "tables/broken.parquet").write_bytes(b"PAR1")
    known = Shelf.open(atlas).volumes[0].known
    assert known.columns == ()
    assert sorted(known.unread) == ["broken", "wrong"]


def test_pictures_that_are_shifted_look_alike() -> None:
    rng = np.random.default_rng(0)
    pictures = np.stack([np.asarray(Image.open(io.BytesIO(webp(seed, 64))).convert("RGB")) for seed in range(8)])
    stripes = np.zeros((2, 64, 64, 3), np.uint8)
    stripes[0, :, ::4] = 255
    stripes[1, ::4] = 255
    all_of_them = np.concatenate([pictures, stripes, rng.integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)])
    plain, shifted = describe(all_of_them), describe(np.roll(all_of_them, (7, 21), (1, 2)))
    np.testing.assert_allclose(plain, shifted, atol=2e-3)
    distances = np.linalg.norm(plain[:, None] - plain, axis=2)
    assert distances[8, 9] > 1  # across is not along


def test_the_same_picture_is_most_alike(tmp_path: Path) -> None:
    atlas = Atlas.open(make_atlas(tmp_path / "atlas", Wanted(layers={"wide": 70})))
    first, *_ = Likeness(atlas).of("wide:3")
    assert (first.unit, round(first.likeness, 4)) == (67, 1.0)  # pictures repeat after 64
    assert Likeness(atlas).of("wide:6") == []  # which failed


def test_large_pictures_are_made_smaller_for_grids(tmp_path: Path) -> None:
    shelf = Shelf.open(make_atlas(tmp_path / "atlas", Wanted(layers={"wide": 3}, px=300)))
    volume = shelf.volumes[0]
    with Image.open(io.BytesIO(Thumbs(volume).of(volume.units("wide")[0]))) as small:
        assert small.size == (SMALL_PX, SMALL_PX)
    assert smaller(b"no picture") == nothing()
    export(shelf, tmp_path / "site")
    with (
        Image.open(tmp_path / "site/thumbs/0/0/0/2.webp") as small,
        Image.open(tmp_path / "site/pictures/0/0/0/2.webp") as whole,
    ):
        assert (small.width, whole.width) == (SMALL_PX, 300)


def test_a_layer_of_any_length_is_exported_in_shards(tmp_path: Path) -> None:
    atlas = make_atlas(tmp_path / "atlas", Wanted(layers={"wide": 250}, negative=False))
    export(Shelf.open(atlas), tmp_path / "site")
    shards = sorted((tmp_path / "site/data/0/0").glob("units-*.js"))
    assert [shard.stem for shard in shards] == ["units-0", "units-1", "units-2"]
    call = re.fullmatch(r'P\.receive\("0/0/units-2",(.*)\);\n', shards[2].read_text(), re.DOTALL)
    assert call
    assert list(json.loads(call[1])) == [str(unit) for unit in range(200, 250)]


def test_an_export_replaces_a_site_and_nothing_else(tmp_path: Path, capsys: Any) -> None:
    atlas = make_atlas(tmp_path / "atlas", Wanted(layers={"wide": 3}))
    site = tmp_path / "site"
    assert main.run(["export", str(atlas), str(site)]) == 0
    (site / "mine.txt").write_text("kept")
    (site / "data/old.js").write_text("gone")
    assert main.run(["export", str(atlas), str(site)]) == 0
    assert (site / "mine.txt").read_text() == "kept"
    assert not (site / "data/old.js").exists()
    assert "3 units" in capsys.readouterr().out
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    assert main.run(["export", str(atlas), str(other)]) == 2
    assert "holds something that is no exported atlas" in capsys.readouterr().err
    assert [path.name for path in other.iterdir()] == ["thesis.txt"]


def test_what_cannot_be_opened_is_said_in_a_line(tmp_path: Path, capsys: Any) -> None:
    assert main.run(["view", str(tmp_path / "nowhere")]) == 2
    assert "no atlas at" in capsys.readouterr().err
    one = make_atlas(tmp_path / "one", Wanted(layers={"wide": 3}))
    two = make_atlas(tmp_path / "two", Wanted(layers={"other": 3}))
    with pytest.raises(AtlasError, match="have no layer in common to compare: other and wide"):
        Shelf.open(one, compare=two)


def test_a_picture_that_unpacks_to_gigabytes_is_not_unpacked(tmp_path: Path) -> None:
    for side in (5_000, 10_000, 60_000):  # below Pillow's own limits, between its warning and its error, above both
        buffer = io.BytesIO()
        Image.new("1", (side, 8)).save(buffer, "PNG")
        bomb = bytearray(buffer.getvalue())
        bomb[20:24] = side.to_bytes(4, "big")  # its height, as its header says
        bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
        assert smaller(bytes(bomb)) == nothing()
        with pytest.raises(OSError, match=r"px is none of an atlas's|decompression bomb"):
            opened(bytes(bomb))


def test_an_example_is_cut_from_its_picture_and_no_larger() -> None:
    table = pa.table({"picture": [0], "name": ["a"], "label": [-1], "class": [""], "image": [webp(1, 16)]})
    far = {"picture": 0, "left": -(10**6), "top": 4, "right": 10**6, "bottom": 10**6}
    data = example_bytes(far, Pictures(table))
    assert data is not None
    with Image.open(io.BytesIO(data)) as cut:
        assert cut.size == (16, 12)
