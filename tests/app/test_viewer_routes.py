"""The viewer's routes give what is in the atlas, to those who may have it, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from pellucid.app.site.thumbs import nothing
from pellucid.app.studio.server import make_app
from viewing import Wanted, fuzzed_paths, make_atlas, make_viewer, put_table, webp

HOSTS = ("localhost", "127.0.0.1", "::1")
CHANGE = {"X-Pellucid": "1", "Content-Type": "application/json"}
SECRET = "the secret of the house"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an atlas in it, and a secret beside the atlas."""
    folder = tmp_path_factory.mktemp("house")
    (folder / "secret.txt").write_text(SECRET)
    put_table(make_atlas(folder / "atlas"))
    return folder


@pytest.fixture
def client(house: Path) -> Iterator[TestClient]:
    app = make_app(make_viewer(house / "atlas"), HOSTS)
    with TestClient(app, base_url="http://127.0.0.1:7810", raise_server_exceptions=False) as client:
        yield client


def test_a_unit_has_all_that_the_tables_know(client: TestClient) -> None:
    unit = client.get("/-/data/0/0/unit/7").json()
    assert (unit["target"], unit["label"]) == ("mixed4a:7", "tabby")
    assert [one["view"] for one in unit["pictures"]] == ["picture", "negative"]
    assert {one["title"]: one["value"] for one in unit["measures"]} == {
        "score": 0.7, "score of the negative": 0.7, "sparsity": pytest.approx(7 / 44)
    }  # fmt: skip
    assert unit["histograms"][0]["edges"] == [0.0, 1.0, 2.0, 3.0]
    assert unit["examples"][0]["items"][0]["caption"] == "tabby"
    assert [one["unit"] for one in unit["links"][0]["items"]] == [0]  # the other is of a layer that is not there
    assert client.get(f"/-/{unit['examples'][0]['items'][0]['src']}").content == webp(7)
    assert client.get(f"/-/{unit['pictures'][1]['src']}").content == webp(8)


def test_a_failed_unit_says_why(client: TestClient) -> None:
    (first, _) = client.get("/-/data/0/0/unit/6").json()["pictures"]
    assert (first["src"], first["error"], first["score"]) == (None, "it broke", None)
    assert client.get("/-/thumb/0/0/6").content == nothing()


def test_classes_name_the_units_of_the_output(client: TestClient) -> None:
    names = client.get("/-/data/names").json()
    assert [1, 1, "king penguin"] in names
    assert [0, 7, "tabby"] in names


def test_pages_have_stable_addresses(client: TestClient) -> None:
    for path in ("/", "/mixed4a", "/mixed4a/12", "/-/search?q=tabby", "/-/like/mixed4a/3"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8"), path
    for path in ("/mixed4a/40", "/mixed9", "/mixed4a/12/3", "/mixed4a/-1", "/-/nothing", "/mixed4a/¹"):
        assert client.get(path).status_code == 404, path


def test_every_answer_keeps_browsers_from_more_than_is_meant(client: TestClient) -> None:
    for path in ("/", "/-/data/book", "/-/thumb/0/0/1", "/-/static/main.js", "/nowhere"):
        headers = client.get(path).headers
        assert "default-src 'none'; script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers
    page = client.get("/").text
    assert "<style" not in page
    assert "style=" not in page
    assert page.count("<script") == page.count("<script src=")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:7810", "192.168.0.7", "", "localhost@evil"])
def test_other_host_names_are_refused(client: TestClient, host: str) -> None:
    assert client.get("/-/data/book", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:7810", "localhost:1", "LOCALHOST", "[::1]:7810"])
def test_own_names_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/-/data/book", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json"}, 403),  # a form of another page could send this
        (CHANGE | {"Origin": "http://evil.example"}, 403),
        (CHANGE | {"Content-Type": "text/plain"}, 415),
        (CHANGE | {"Content-Length": "x"}, 413),
    ],
)
def test_only_own_pages_change_anything(client: TestClient, house: Path, headers: dict[str, str], status: int) -> None:
    body = json.dumps({"note": "mine", "tags": []})
    assert client.put("/-/notes/mixed4a:3", content=body, headers=headers).status_code == status
    assert not (house / "atlas/notes.json").exists()


def test_bodies_have_a_limit_even_when_they_do_not_say_how_long_they_are(client: TestClient, house: Path) -> None:
    assert client.put("/-/notes/mixed4a:3", content=b" " * 70_000, headers=CHANGE).status_code == 413
    pieces = (b" " * 1000 for _ in range(100))
    assert client.put("/-/notes/mixed4a:3", content=pieces, headers=CHANGE).status_code >= 400
    assert not (house / "atlas/notes.json").exists()


@pytest.mark.parametrize(
    "body", ["[]", "{", '"note"', '{"note": 3}', '{"tags": "a"}', '{"tags": [1]}', '{"note": null}']
)
def test_wrong_types_are_refused(client: TestClient, house: Path, body: str) -> None:
    answer = client.put("/-/notes/mixed4a:3", content=body, headers=CHANGE)
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]
    assert not (house / "atlas/notes.json").exists()


@pytest.mark.parametrize("path", ["data/0/x/layer", "data/0/99/layer", "data/9/0/layer", "data/-1/0/layer",
                                  "data/0/0/unit/1e3", "thumb/0/0/-1", "picture/0/0/1/secret/0",
                                  "example/0/0/1/99/0", "example/0/0/1/0/0", "jobs/7/events", "static/server.py",
                                  f"thumb/0/0/{'9' * 400}"])  # fmt: skip
def test_what_is_not_there_is_an_error_and_not_a_fault(client: TestClient, path: str) -> None:
    answer = client.get(f"/-/{path}")
    assert answer.status_code in (404, 422)
    assert answer.json()["error"]


def test_no_path_leaves_the_atlas(client: TestClient) -> None:
    tried = 0
    for path in fuzzed_paths(1000):
        answer = client.get(f"http://127.0.0.1:7810{path}")
        tried += 1
        assert answer.status_code in (200, 404, 405, 422), path
        assert SECRET not in answer.text
        assert "root:" not in answer.text
        assert '"pellucid": "atlas"' not in answer.text  # atlas.json itself
    assert tried == 1000


def test_notes_lie_beside_the_atlas_and_come_back(tmp_path: Path) -> None:
    atlas = make_atlas(tmp_path / "atlas", Wanted(layers={"mixed4a": 8}))
    with TestClient(make_app(make_viewer(atlas), HOSTS), base_url="http://127.0.0.1") as client:
        body = {"note": "a curve <b>", "tags": ["curve", "  check   again ", "curve", ""]}
        assert client.put("/-/notes/mixed4a:3", json=body, headers=CHANGE).json()["tags"] == ["curve", "check again"]
        assert client.put("/-/notes/mixed4a:99", json=body, headers=CHANGE).status_code == 404
        assert client.put("/-/notes/mixed4a:3", json={"note": "x" * 10_001}, headers=CHANGE).status_code == 400
    with TestClient(make_app(make_viewer(atlas), HOSTS), base_url="http://127.0.0.1") as client:
        assert client.get("/-/data/notes").json()["mixed4a:3"]["note"] == "a curve <b>"
        client.put("/-/notes/mixed4a:3", json={"note": ""}, headers=CHANGE)
        assert client.get("/-/data/notes").json() == {}
        (atlas / "notes.json").write_text("{")
        answer = client.put("/-/notes/mixed4a:3", json=body, headers=CHANGE)
        assert answer.status_code == 400
        assert "damaged" in answer.json()["error"]
        assert (atlas / "notes.json").read_text() == "{"


def test_a_page_shows_what_a_sweep_has_written_since(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pellucid.app.studio.server._REFRESHED", 0.0)
    atlas = make_atlas(tmp_path / "atlas", Wanted(layers={"mixed4a": 8}))
    with TestClient(make_app(make_viewer(atlas), HOSTS), base_url="http://127.0.0.1") as client:
        assert client.get("/-/data/book").json()["atlases"][0]["layers"][0]["have"] == 8
        make_atlas(atlas, Wanted(layers={"mixed4a": 12}))
        assert client.get("/-/data/book").json()["atlases"][0]["layers"][0]["have"] == 12
        assert client.get("/-/thumb/0/0/11").status_code == 200
