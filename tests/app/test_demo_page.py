"""The demo's page in a real browser: nothing missing, nothing fetched, readable on a phone, heard by screen readers."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from pellucid.app.demo.curve import curve
from pellucid.app.demo.exhibition import Made, make_demo
from pellucid.models.embedded import SmallInception
from pellucid.models.model import Model


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The whole demo by a network with random weights, in two steps a picture."""
    torch.manual_seed(0)
    classes = (files("pellucid") / "assets/classes.txt").read_text(encoding="utf-8").splitlines()
    model = Model(SmallInception(len(classes)), name="random", size=64, classes=classes)
    seen: list[float] = []
    made = make_demo(model, tmp_path_factory.mktemp("demo"), steps=2, on_progress=lambda _, share: seen.append(share))
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1)
    return made


@pytest.fixture(params=["desktop", "phone"])
def page(request: pytest.FixtureRequest, chromium: Any, demo: Made) -> Any:
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


def test_links_lead_to_places_on_the_page_or_files_beside_it(page: Any, demo: Made) -> None:
    for link in page.evaluate("[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))"):
        assert page.query_selector(link) if link.startswith("#") else (demo.page.parent / link).is_file()


def test_the_ladder_goes_from_the_first_layer_to_the_last(demo: Made) -> None:
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


def test_the_command_makes_the_demo_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from safetensors.torch import save_file

    from pellucid.app.cli import main

    if not (files("pellucid") / "assets/default.json").is_file():
        pytest.skip("no card of the embedded network yet")
    torch.manual_seed(0)
    save_file(
        {key: value.contiguous() for key, value in SmallInception().state_dict().items()}, tmp_path / "w.safetensors"
    )
    arguments = ["demo", "-o", str(tmp_path / "demo"), "--weights", str(tmp_path / "w.safetensors"), "--steps", "1"]
    assert main.run(arguments) == 0
    assert f"Open {tmp_path / 'demo/index.html'}" in capsys.readouterr().out
