"""The demo's page in a real browser: nothing missing, nothing fetched, readable on a phone, heard by screen readers."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from pellucid.app.cli import main
from pellucid.app.demo.curve import curve
from pellucid.app.demo.units import hang_units
from pellucid.errors import AtlasError
from pellucid.models.embedded import SmallInception
from pellucid.models.zoo import load
from viewing import make_atlas


@dataclass(frozen=True)
class Demo:
    """What `pellucid demo` left behind, and what it said."""

    page: Path
    sheet: Path
    said: str


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The whole demo by the embedded architecture with random weights, in two steps a picture."""
    folder = tmp_path_factory.mktemp("demo")
    torch.manual_seed(0)
    save_file(
        {name: value.contiguous() for name, value in SmallInception().state_dict().items()}, folder / "w.safetensors"
    )
    with redirect_stdout(io.StringIO()) as out:
        code = main.run(
            ["demo", "-o", str(folder / "demo"), "--weights", str(folder / "w.safetensors"), "--steps", "2"]
        )
    assert code == 0
    return Demo(folder / "demo/index.html", folder / "demo/contact-sheet.png", out.getvalue())


@pytest.fixture(params=["desktop", "phone"])
def page(request: pytest.FixtureRequest, chromium: Any, demo: Demo) -> Any:
    """The page as opened from disk; what it asks of anyone else is kept in `page.requests`."""
    width, height, scheme = (1280, 900, "light") if request.param == "desktop" else (390, 844, "dark")
    chromium.set_viewport_size({"width": width, "height": height})
    chromium.emulate_media(color_scheme=scheme)
    requests: list[str] = []
    failed: list[str] = []
    chromium.on("request", lambda request: requests.append(request.url))
    chromium.on("requestfailed", lambda request: failed.append(request.url))
    chromium.goto(demo.page.as_uri())
    chromium.evaluate("document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
    chromium.wait_for_function("[...document.images].every(image => image.complete)")
    assert failed == []
    assert all(url.startswith((demo.page.parent.as_uri(), "data:")) for url in requests)
    return chromium


def test_every_picture_is_there_and_described(page: Any) -> None:
    images = page.evaluate("[...document.images].map(i => [i.alt, i.naturalWidth, i.naturalHeight])")
    assert len(images) >= 60
    assert all(alt.strip() and width and height for alt, width, height in images)


def test_every_picture_has_target_score_and_status(page: Any) -> None:
    captions = page.evaluate("[...document.querySelectorAll('figcaption')].map(c => c.innerText)")
    assert len(captions) >= 60
    assert all("score" in text and "2 steps" in text for text in captions)


def test_nothing_scrolls_sideways(page: Any) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.evaluate(
        "[...document.querySelectorAll('body *')].every(e => e.getBoundingClientRect().right <= innerWidth + 1"
        " || e.matches('.skip'))"
    )


def test_text_stands_out_from_its_ground(page: Any) -> None:
    # WCAG 2.1, level AA: 4.5 to 1 for text of this size.
    ratios = page.evaluate(
        """() => {
        const light = color => {
            const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
                .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const paper = light(getComputedStyle(document.body).backgroundColor);
        return ['p', 'h1', 'figcaption', 'figcaption code', 'footer', 'a', '.status', '.curve span'].map(what => {
            const ink = light(getComputedStyle(document.querySelector(`main ${what}, header ${what}, ${what}`)).color);
            return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
        });
    }"""
    )
    assert min(ratios) >= 4.5


def test_links_lead_to_places_on_the_page_or_files_beside_it(page: Any, demo: Demo) -> None:
    for link in page.evaluate("[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))"):
        assert page.query_selector(link) if link.startswith("#") else (demo.page.parent / link).is_file()


def test_the_ladder_goes_from_the_first_layer_to_the_last(demo: Demo) -> None:
    text = demo.page.read_text(encoding="utf-8")
    places = [text.index(f'id="{layer}"') for layer in ("conv1", "mixed3a", "mixed4c", "mixed5a", "logits")]
    assert places == sorted(places)
    assert "<!--" not in text
    with Image.open(demo.sheet) as sheet:
        assert min(sheet.size) > 600


def test_a_curve_spans_its_drawing_and_leaves_out_what_is_no_number() -> None:
    drawn = curve([1.0, 3.0, float("nan"), 2.0], [0, 2], label="a <b>")
    assert 'points="0.0,200.0 200.0,0.0 600.0,100.0"' in drawn
    assert drawn.count("<line") == 2
    assert "a &lt;b&gt;" in drawn


def test_the_command_says_where_the_page_is(demo: Demo) -> None:
    assert f"Open {demo.page}" in demo.said
    assert str(demo.sheet) in demo.said
    assert f"Open {demo.page.parent / 'atlas/index.html'}" in demo.said


def test_the_demo_ends_in_an_atlas_of_a_whole_layer(chromium: Any, demo: Demo) -> None:
    chromium.goto(demo.page.as_uri())
    chromium.click("text=The atlas")
    chromium.wait_for_selector(".rung")
    assert "304 units" in chromium.inner_text(".rung")
    chromium.click(".rung h2 a")
    chromium.wait_for_selector(".grid .tile img")
    assert chromium.inner_text(".count") == "304 units"


def test_a_demo_over_another_one_replaces_it(demo: Demo) -> None:
    folder = demo.page.parent
    (folder / "other").mkdir()
    make_atlas(folder / "other/units")  # of another network, by someone else: it is not touched
    with pytest.raises(AtlasError, match="choose another folder"):
        hang_units(load("plain"), folder / "other", steps=1)
    assert hang_units(load("plain"), folder, steps=1).num_units == 304
