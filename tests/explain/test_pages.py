"""The pages of an explanation and an audit in a real browser: whole, described, asking nobody, fit for a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import skimage.data
import torch
from PIL import Image
from torch import nn

import pellucid as pl
from pellucid.ascent.source import RenderNow

SIZE = 24


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both pages, of an untrained network on the coffee photo, with a survey of it and others."""
    folder = tmp_path_factory.mktemp("pages")
    coffee = Image.fromarray(skimage.data.coffee()).resize((90, 60))
    for number in range(8):
        place = folder / "photos" / ("cup" if number % 2 else "table")
        place.mkdir(parents=True, exist_ok=True)
        coffee.rotate(9 * number).save(place / f"{number}.png")
    coffee.save(folder / "coffee & <cup>.png")
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 12, 3, 2), nn.ReLU(), nn.Conv2d(12, 24, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(24, 2),
    )  # fmt: skip
    model = pl.Model(net, size=SIZE, name="tiny", classes=("cup", "table"))
    drawn = RenderNow(model, {"steps": 2})
    survey = pl.survey.survey(model, folder / "photos", precision="float32")
    photo = folder / "coffee & <cup>.png"
    explained = pl.explain.explain(model, photo, survey=survey, pictures=drawn, count=3)
    audited = pl.explain.audit(model, folder / "photos", "cup", count=3, pictures=drawn)
    return {"explanation": explained.save(folder / "explained"), "audit": audited.save(folder / "audited")}


@pytest.fixture(params=["explanation", "audit"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["desktop", "phone"])
def page(request: pytest.FixtureRequest, chromium: Any, pages: dict[str, Path], name: str) -> Any:
    width, height, scheme = (1280, 900, "light") if request.param == "desktop" else (390, 844, "dark")
    chromium.set_viewport_size({"width": width, "height": height})
    chromium.emulate_media(color_scheme=scheme)
    asked: list[str] = []
    chromium.on("request", lambda request: asked.append(request.url))
    chromium.goto(pages[name].as_uri())
    chromium.wait_for_function("[...document.images].every(image => image.complete)")
    assert [url for url in asked if not url.startswith("data:")] == [pages[name].as_uri()]
    return chromium


def test_every_picture_is_there_and_described(page: Any) -> None:
    images = page.evaluate("[...document.images].map(i => [i.alt, i.naturalWidth])")
    assert len(images) >= 9
    assert all(alt.strip() and width for alt, width in images)


def test_nothing_scrolls_sideways(page: Any) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_every_unit_has_its_card(page: Any) -> None:
    cards = page.evaluate("[...document.querySelectorAll('article.unit')].map(c => c.innerText)")
    assert len(cards) == 3
    assert all(f"{rank}. 3:" in card for rank, card in enumerate(cards, 1))


def test_the_page_says_what_was_found(page: Any, name: str) -> None:
    words = page.inner_text("body")
    if name == "explanation":
        assert "What tiny sees in coffee & <cup>.png" in words
        assert page.evaluate("document.querySelectorAll('.bars rect').length") == 24
        assert page.evaluate("document.querySelectorAll('.bars rect.marked').length") == 3
        assert "% of 8 pictures" in words
    else:
        assert "What tiny knows cup by" in words
        assert page.evaluate("document.querySelectorAll('tbody tr').length") == 5


def test_it_prints_on_pages(page: Any, tmp_path: Path) -> None:
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert len(page.pdf()) > 5000
