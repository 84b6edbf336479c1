"""The store: what is written is read again, anywhere, by anyone; and damage is seen."""

from __future__ import annotations

import io
import uuid
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from pellucid.ascent.recipe import Recipe
from pellucid.atlas.card import CARD, Card, LayerCard, ModelCard, spans, unspan
from pellucid.atlas.place import Place
from pellucid.atlas.shards import Picture, View, intact
from pellucid.atlas.stock import settle, take_stock
from pellucid.atlas.store import Atlas
from pellucid.atlas.writer import Writer, encoded
from pellucid.errors import AtlasError
from pellucid.survey.unit_table import UnitTable


def card(units: int = 20, **changes: object) -> Card:
    layers = {name: LayerCard(name, "Conv2d", "bchw", (units, 4, 4), units) for name in ("one", "two", "three")}
    model = ModelCard("tiny", "0123456789abcdef", {"spec": "default"}, (8, 8), 3, (0.0, 1.0))
    return Card(model, layers, {"one": tuple(range(units)), "three": (0, 2)}, Recipe(steps=4), **changes)  # type: ignore[arg-type]


def picture(layer: str, unit: int, view: View = "picture", member: int = 0) -> Picture:
    image = encoded(Image.new("RGB", (8, 6), (unit, member, len(view))))
    return Picture(f"{layer}:{unit}", layer, unit, view, member, image, 6, 8, unit / 2, "done", 4, None, 0)


@pytest.fixture(params=["folder", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place.of(tmp_path / "ä atlas # 1" if request.param == "folder" else f"memory://{uuid.uuid4().hex}")


def test_what_is_written_is_read_again(place: Place) -> None:
    place.write(CARD, card(diverse=2).to_bytes())
    writer = Writer(place, most_rows=7)
    for unit in reversed(range(20)):
        writer.put([picture("one", unit)])
    for unit in (0, 2):
        writer.put([picture("three", unit)])
    writer.put([picture("three", 2, "negative")])
    for member in (0, 1):
        writer.put([picture("three", 2, "diverse", member)])
    writer.flush()
    atlas = Atlas.open(place)
    assert atlas.card == card(diverse=2)
    assert atlas.layers == ("one", "three")
    assert len(atlas) == 25
    assert [one.unit for one in atlas.pictures("one")] == list(range(20))
    assert [(one.view, one.member) for one in atlas.unit("three:2")] == [
        ("picture", 0),
        ("negative", 0),
        ("diverse", 0),
        ("diverse", 1),
    ]
    for unit in range(20):
        expected = picture("one", unit)
        assert atlas.image(f"one:{unit}") == expected.image
        found = atlas.picture(f"one:{unit}")
        assert found is not None
        assert (found.score, found.height, found.width, found.image) == (unit / 2, 6, 8, None)
    assert atlas.image("three:2", "diverse", 1) == picture("three", 2, "diverse", 1).image
    assert atlas.image("one:99") is None
    assert atlas.progress() == {"one": (20, 20), "three": (2, 2)}
    assert all(intact(name, place.read(name)) for name in place.names("pictures"))


def test_a_reader_takes_in_what_is_written_after_it_opened(place: Place) -> None:
    place.write(CARD, card().to_bytes())
    atlas = Atlas.open(place)
    writer = Writer(place)
    writer.put([picture("one", 3)])
    assert atlas.refresh() == 0
    writer.flush()
    assert atlas.refresh() == 1
    assert atlas.image("one:3") == picture("one", 3).image


def test_a_reader_finds_what_was_settled_into_other_shards_since(place: Place) -> None:
    place.write(CARD, card().to_bytes())
    writer = Writer(place, most_rows=5)
    for unit in (*range(12), 3):  # 3 twice, as killed sweeps can leave it
        writer.put([picture("one", unit)])
    writer.flush()
    atlas = Atlas.open(place)
    shards = place.names("pictures")
    settle(place, shards)
    assert len(place.names("pictures")) == 1
    assert not set(place.names("pictures")) & set(shards)
    assert [atlas.image(f"one:{unit}") for unit in range(12)] == [picture("one", unit).image for unit in range(12)]
    assert not take_stock(place).doubled


def test_tables_lie_beside_the_pictures(place: Place) -> None:
    place.write(CARD, card().to_bytes())
    atlas = Atlas.open(place)
    about = pa.field("score", pa.float64(), metadata={b"about": b'{"meaning": "how much", "provenance": {}}'})
    schema = pa.schema([pa.field("target", pa.string()), about])
    rows = pa.table([pa.array(["one:3", "one:4"]), pa.array([0.5, 1.5])], schema=schema)
    table = UnitTable(rows, "tiny", card().model.hash)
    atlas.put_table("dataset", table)
    assert atlas.tables == ("dataset",)
    assert Atlas.open(place).table("dataset").row("one:4") == {"score": 1.5}
    with pytest.raises(AtlasError, match=r"no table 'datset' .* Did you mean 'dataset'"):
        atlas.table("datset")
    with pytest.raises(AtlasError, match=r"a table's name has letters, digits, - and _, and is not '\.\./x'"):
        atlas.put_table("../x", table)
    with pytest.raises(AtlasError, match="the table is of other with weights 77"):
        atlas.put_table("other", UnitTable(rows, "other", "77"))


def test_a_damaged_shard_is_named_and_the_others_are_read(place: Place) -> None:
    place.write(CARD, card().to_bytes())
    writer = Writer(place, most_rows=10)
    for unit in range(20):
        writer.put([picture("one", unit)])
    broken, _ = place.names("pictures")
    place.write(broken, place.read(broken)[:-100])
    atlas = Atlas.open(place)
    assert atlas.damaged == (broken,)
    assert len(atlas) == 10


def test_an_atlas_of_a_newer_version_is_refused(place: Place) -> None:
    place.write(CARD, card().to_bytes().replace(b'"format": 1', b'"format": 2'))
    with pytest.raises(AtlasError, match=r"format 2, made by a newer Pellucid .* pip install --upgrade pellucid"):
        Atlas.open(place)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"pellucid": "atlas", "format": 1}', b"[" * 10**5])
def test_a_damaged_card_is_one_line(place: Place, data: bytes) -> None:
    place.write(CARD, data)
    with pytest.raises(AtlasError, match=r"atlas\.json in .*damaged") as caught:
        Atlas.open(place)
    assert "\n" not in str(caught.value)


def test_no_atlas_is_said_so(place: Place) -> None:
    with pytest.raises(AtlasError, match=r"no atlas at .*: there is no atlas\.json"):
        Atlas.open(place)


def test_kinds_of_places_that_there_are_not() -> None:
    with pytest.raises(AtlasError, match=r"no kind of place 'memry'.* Did you mean 'memory'"):
        Place.of("memry://atlas")


def test_spans_round_trip() -> None:
    numbers = (0, 1, 2, 5, 7, 8)
    assert spans(numbers) == "0-2,5,7-8"
    assert unspan(spans(numbers)) == numbers
    assert unspan(spans(())) == ()


def test_a_picture_is_stored_without_loss() -> None:
    noise = Image.effect_noise((32, 32), 80).convert("RGB")
    assert Image.open(io.BytesIO(encoded(noise))).convert("RGB").tobytes() == noise.tobytes()
