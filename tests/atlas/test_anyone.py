"""An atlas is anyone's: pandas, DuckDB and Hugging Face's datasets open it as it is, and a bucket holds it as well."""

from __future__ import annotations

import io
import json
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from atlas_networks import QUICK, SIZE, tiny
from pellucid.atlas.place import Place
from pellucid.atlas.stock import take_stock
from pellucid.atlas.store import Atlas
from pellucid.atlas.sweeping import sweep
from pellucid.errors import AtlasError


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    url = tmp_path_factory.mktemp("mit ü und Leerzeichen")
    sweep(tiny(), url, layers="one", negative=True, **QUICK)
    return Atlas.open(url)


def test_pandas_opens_it(atlas: Atlas) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(Path(atlas.place.root) / "pictures")
    chosen = frame[frame["view"] == "picture"].sort_values("unit")
    assert list(chosen["target"]) == [f"one:{unit}" for unit in range(8)]
    assert list(chosen["score"]) == [one.score for one in atlas.pictures("one")]
    assert chosen["image"].iloc[3]["bytes"] == atlas.image("one:3")


def test_duckdb_opens_it(atlas: Atlas) -> None:
    duckdb = pytest.importorskip("duckdb")
    query = f"select target, score, image.bytes from '{atlas.place.root}/pictures/*.parquet' where view = 'negative'"
    rows = duckdb.sql(query).fetchall()
    assert len(rows) == 8
    for target, score, image in rows:
        found = atlas.picture(target, "negative")
        assert found is not None
        assert (score, image) == (found.score, atlas.image(target, "negative"))


@pytest.mark.filterwarnings("ignore")  # the library's own
def test_hugging_face_opens_it_with_the_pictures_decoded(atlas: Atlas, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = datasets.load_dataset(
        "parquet", data_files=f"{atlas.place.root}/pictures/*.parquet", split="train", cache_dir=str(tmp_path)
    )
    assert len(rows) == 16
    for row in rows:
        stored = atlas.image(row["target"], row["view"])
        assert stored is not None
        assert row["image"].size == (SIZE, SIZE)
        assert row["image"].convert("RGB").tobytes() == Image.open(io.BytesIO(stored)).convert("RGB").tobytes()


@pytest.fixture(scope="module")
def bucket() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """A server that speaks S3's protocol, on this machine; an empty bucket, and how to reach it."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    pytest.importorskip("s3fs")
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/atlases", method="PUT")).close()
    yield f"s3://atlases/{uuid.uuid4().hex} ü", {"key": "k", "secret": "s", "endpoint_url": endpoint}
    server.stop()


@pytest.mark.filterwarnings("ignore")  # botocore's own
def test_a_bucket_holds_an_atlas_as_a_folder_does(atlas: Atlas, bucket: tuple[str, Mapping[str, Any]]) -> None:
    url, storage = bucket
    sweep(tiny(), url, layers="one", units="0-4", storage=storage, **QUICK)
    report = sweep(tiny(), url, layers="one", negative=True, storage=storage, **QUICK)
    assert (report.before, sum(report.rendered.values())) == (5, 11)
    stored = Atlas.open(url, **storage)
    assert set(stored.keys) == set(atlas.keys)
    assert stored.image("one:3", "negative") is not None
    place = Place.of(url, **storage)
    assert len(place.names("pictures")) == 2
    shard = place.names("pictures")[0]
    place.write(shard, place.read(shard)[:-9])
    assert list(take_stock(place).damaged) == [shard]
    report = sweep(tiny(), url, layers="one", negative=True, storage=storage, **QUICK)
    assert list(report.repaired) == [shard]
    assert not take_stock(place).damaged


@pytest.mark.filterwarnings("ignore")
def test_a_lease_on_a_bucket_has_one_owner(bucket: tuple[str, Mapping[str, Any]]) -> None:
    url, storage = bucket
    place = Place.of(url, **storage)
    assert place.create("once", b"mine")
    assert not place.create("once", b"theirs")
    assert json.dumps(place.read("once").decode()) == '"mine"'


@pytest.mark.filterwarnings("ignore")
def test_a_bucket_that_is_not_there_is_one_line(bucket: tuple[str, Mapping[str, Any]]) -> None:
    _, storage = bucket
    with pytest.raises(AtlasError) as caught:
        sweep(tiny(), "s3://nowhere/atlas", storage=storage, **QUICK)
    assert "\n" not in str(caught.value)
