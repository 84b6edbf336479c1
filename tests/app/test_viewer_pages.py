"""The viewer in a real browser: every view, at a desk and on a phone, by mouse and by keyboard, light and dark.

Screenshots of all of it are left in build/screenshots, to be looked at.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pellucid as pl
from pellucid.app.site.export import export
from pellucid.app.site.shelf import Shelf
from pellucid.ascent.recipe import Recipe
from viewing import Wanted, make_atlas, make_viewer, put_table, served

SCREENSHOTS = Path(__file__).parents[2] / "build/screenshots"
VIEWS = {
    "overview": "/",
    "layer": "/mixed4a?sort=score&down=1",
    "unit": "/mixed4a/7",
    "failed-unit": "/mixed4a/6",
    "search": "/-/search?q=tabby",
    "like": "/-/like/mixed4a/7",
    "compare": "/-/compare/mixed4a?sort=most",
    "notes": "/-/notes",
    "about": "/-/about",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two atlases of one network, with a table beside the first, and a static site of both."""
    folder = tmp_path_factory.mktemp("atlases")
    put_table(make_atlas(folder / "first"))
    make_atlas(folder / "second", Wanted(layers={"mixed4a": 30, "mixed4b": 8}, shift=1.0))
    export(Shelf.open(folder / "first", compare=folder / "second"), folder / "site")
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with served(make_viewer(folder / "first", compare=folder / "second")) as address:
        yield address


@pytest.fixture(params=["desktop", "phone"])
def window(request: pytest.FixtureRequest, chromium: Any) -> Any:
    """A wide light window, and a narrow dark one."""
    width, height, scheme = (1280, 900, "light") if request.param == "desktop" else (390, 844, "dark")
    chromium.set_viewport_size({"width": width, "height": height})
    chromium.emulate_media(color_scheme=scheme)
    chromium.asked = []
    chromium.on("request", lambda asked: chromium.asked.append(asked.url))
    chromium.kind = request.param
    return chromium


def shoot(page: Any, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def wait_until(page: Any, expression: str, timeout: float = 30_000) -> None:
    """Wait until an expression is true. Playwright's own way runs text as code in the page, which the page forbids."""
    over = time.monotonic() + timeout / 1000
    while not page.evaluate(expression):
        assert time.monotonic() < over, expression
        page.wait_for_timeout(30)


def settled(page: Any) -> None:
    """Wait until the view is drawn and its pictures near the window are there."""
    page.wait_for_selector("#view h1")
    wait_until(page, "!document.getElementById('view').hasAttribute('aria-busy')")
    wait_until(
        page,
        "[...document.images].every(i => i.loading === 'lazy' ? true : i.complete && (!i.src || i.naturalWidth > 0))",
    )


def hold(page: Any, pattern: str) -> list[Any]:
    """Answer no request of a pattern: they gather in the list. Call it before the page is opened, for Chromium tells an
    open page of a new route too late for what it asks next.
    """
    held: list[Any] = []
    page.route(pattern, lambda route: held.append(route))
    return held


def wait_for_one(page: Any, held: list[Any]) -> None:
    """Wait until a request has been held."""
    over = time.monotonic() + 30
    while not held:
        assert time.monotonic() < over, "the browser never asked"
        page.wait_for_timeout(10)


LIGHT = """color => {
    const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
        .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}"""
WEAK = f"""() => {{
    const light = {LIGHT};
    const ground = element => {{
        for (let at = element; at; at = at.parentElement) {{
            const color = getComputedStyle(at).backgroundColor;
            const alpha = color.match(/[\\d.]+/g)[3];
            if (alpha === undefined || Number(alpha) > 0.8) return light(color);
        }}
        return light(getComputedStyle(document.body).backgroundColor);
    }};
    const own = element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    const shown = e => own(e) && e.checkVisibility() && !e.matches('.skip, .hidden, option, script');
    return [...document.querySelectorAll('body *')].filter(shown).map(e => {{
        const [ink, paper] = [light(getComputedStyle(e).color), ground(e)];
        return [(Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05), e.tagName + e.textContent.slice(0, 30)];
    }}).filter(([ratio]) => ratio < 4.5);
}}"""
NAMELESS = """() => [...document.querySelectorAll(
    'a[href], button, input, select, textarea, img, progress, [role=img]')]
    .filter(e => e.checkVisibility() && !e.closest('[aria-hidden=true]')).filter(e => {
        if (e.tagName === 'IMG') return !e.hasAttribute('alt');
        const labels = e.labels ? [...e.labels].map(l => l.textContent).join('') : '';
        const inside = [...e.querySelectorAll('img')].map(i => i.alt).join('');
        return !(e.getAttribute('aria-label') || labels || e.textContent || inside || e.title).trim();
    }).map(e => e.outerHTML.slice(0, 120))"""


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("place", ["server", "disk"])
def test_every_view_opens(window: Any, address: str, folder: Path, name: str, place: str) -> None:
    site = (folder / "site/index.html").as_uri()
    window.goto(f"{address}{VIEWS[name]}" if place == "server" else f"{site}#{VIEWS[name]}")
    settled(window)
    shoot(window, f"{name}-{window.kind}-{place}")
    assert "cannot be shown" not in window.inner_text("#view")
    assert "Nothing here" not in window.inner_text("#view")
    assert window.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert window.evaluate(WEAK) == []  # WCAG 2.1 AA
    assert window.evaluate(NAMELESS) == []
    assert window.evaluate("document.querySelectorAll('h1').length") == 1
    own = (address, "data:") if place == "server" else ((folder / "site").as_uri(), "data:")
    assert [url for url in window.asked if not url.startswith(own)] == []


def test_a_units_page_shows_what_is_known_of_it(window: Any, address: str) -> None:
    window.goto(f"{address}/mixed4a/7")
    settled(window)
    wait_until(window, "document.querySelector('#view').innerText.includes('Look alike')")  # comes after the page
    text = window.inner_text("#view")
    for words in ("mixed4a:7", "tabby", "sparsity", "Examples", "Histogram", "Nearest", "Look alike", "Beside second"):
        assert words in text, words
    window.click("text=least")
    assert "what it is least like" in window.inner_text(".portrait")
    assert window.get_attribute(".large img", "alt") == "mixed4a:7: what it is least like"
    window.goto(f"{address}/mixed4a/6")
    settled(window)
    assert "No picture: failed: it broke" in window.inner_text(".portrait")


def test_a_unit_is_found_by_typing_a_name_a_number_and_a_class(window: Any, address: str) -> None:
    window.goto(address)
    settled(window)
    window.keyboard.press("/")
    window.keyboard.type("king pen")
    wait_until(window, "document.getElementById('hits').innerText === 'logits:1\\nking penguin'")
    shoot(window, f"suggestions-{window.kind}")
    window.keyboard.press("ArrowDown")
    window.keyboard.press("Enter")
    window.wait_for_url("**/logits/1")
    settled(window)
    assert window.inner_text("h1") == "logits:1"
    for words, found in (("mixed4a 12", ["mixed4a:12"]), ("3", ["mixed4a:3", "logits:3"]), ("goldfish", ["logits:0"])):
        window.fill("#words", words)
        window.press("#words", "Enter")
        window.wait_for_url("**/-/search?q=*")
        wait_until(window, f"document.querySelector('#view .lead')?.textContent.includes({words!r})")
        settled(window)
        assert [name.split("\n")[0] for name in window.locator(".tile .name").all_inner_texts()][: len(found)] == found
    window.fill("#words", "nobody <img src=x>")
    window.press("#words", "Enter")
    wait_until(window, "document.querySelector('#view .lead')?.textContent.startsWith('Nothing')")
    assert window.locator("#view .lead img").count() == 0


def test_a_layer_is_sorted_and_filtered_and_its_address_says_so(window: Any, address: str) -> None:
    def units() -> list[int]:
        names = window.locator(".grid .tile .name").all_inner_texts()
        order = window.evaluate("[...document.querySelectorAll('.grid .tile')].map(t => Number(t.dataset.index))")
        return [int(name.split("\n")[0]) for _, name in sorted(zip(order, names, strict=True))]

    window.goto(f"{address}/mixed4a")
    settled(window)
    assert units()[:3] == [0, 1, 2]
    window.select_option("#sort", "score")
    window.click(".toolbar button.round")
    assert units()[:3] == [39, 38, 37]
    window.click("text=Filter")
    window.select_option("#filter-of", "dataset.sparsity")
    window.fill("[aria-label=most]", "0.1")
    assert units() == [4, 3, 2, 1, 0]
    assert "5 of 40 units" in window.inner_text(".count")
    shoot(window, f"filter-{window.kind}")
    window.reload()
    settled(window)
    assert units() == [4, 3, 2, 1, 0]
    window.select_option("#filter-status", "bad")
    assert "No unit of this layer passes" in window.inner_text("#view")
    window.click("text=Show all")
    wait_until(window, "document.querySelector('.count').textContent === '40 units'")
    window.select_option("#sort", "score")  # the failed unit has none: it comes last, whichever way
    assert window.evaluate("P.walk.units.at(-1)") == 6


def test_all_is_reached_by_keyboard(window: Any, address: str) -> None:
    window.goto(f"{address}/mixed4a?sort=score&down=1")
    settled(window)
    window.keyboard.press("f")
    window.keyboard.press("ArrowRight")
    window.keyboard.press("Enter")
    window.wait_for_url("**/mixed4a/38")
    settled(window)
    window.keyboard.press("ArrowRight")  # the next in the order last shown
    window.wait_for_url("**/mixed4a/37")
    settled(window)
    window.keyboard.press("?")
    assert window.is_visible("dialog#keys")
    shoot(window, f"keys-{window.kind}")
    window.keyboard.press("Escape")
    window.keyboard.press("u")
    window.wait_for_url("**/mixed4a")
    window.keyboard.press("g")
    wait_until(window, "location.pathname === '/'")
    before = window.evaluate("getComputedStyle(document.body).backgroundColor")
    for _ in range(2):
        window.keyboard.press("t")
    assert window.evaluate("document.documentElement.dataset.theme") == "dark"
    after = window.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (before == after) == (window.kind == "phone")  # which was dark
    window.evaluate("localStorage.clear()")


def test_a_key_pressed_while_a_page_is_drawn_waits_for_it(chromium: Any, address: str) -> None:
    held = hold(chromium, "**/data/0/0/unit/8")
    chromium.goto(f"{address}/mixed4a/7")
    settled(chromium)
    chromium.keyboard.press("ArrowRight")
    chromium.wait_for_url("**/mixed4a/8")
    chromium.keyboard.press("ArrowRight")  # nothing of unit 8 is known yet
    wait_for_one(chromium, held)
    assert chromium.get_attribute("#view", "aria-busy") == "true"
    assert chromium.url.endswith("/8")
    held[0].continue_()
    chromium.wait_for_url("**/mixed4a/9")
    settled(chromium)
    assert "9" in chromium.inner_text("#view h1")


def test_a_key_pressed_while_a_page_is_drawn_is_forgotten_with_it(chromium: Any, address: str) -> None:
    held = hold(chromium, "**/data/0/0/unit/8")
    chromium.goto(f"{address}/mixed4a/8")
    wait_for_one(chromium, held)
    chromium.keyboard.press("ArrowRight")
    chromium.click("#trail a[href='/mixed4a']")  # meant after all
    chromium.wait_for_selector(".grid .tile")
    settled(chromium)
    assert chromium.url.endswith("/mixed4a")


@pytest.mark.parametrize("name", ["layer", "search", "compare"])
def test_a_page_that_is_said_to_be_drawn_has_its_tiles(chromium: Any, address: str, name: str) -> None:
    chromium.goto(address)
    settled(chromium)
    # In the very moment in which the view stops being busy, before the browser draws anything more.
    number = chromium.evaluate(
        """path => new Promise(done => {
            const view = document.getElementById('view');
            new MutationObserver(() => {
                if (!view.hasAttribute('aria-busy')) done(view.querySelectorAll('.grid .tile').length);
            }).observe(view, { attributeFilter: ['aria-busy'] });
            P.go(path);
        })""",
        VIEWS[name],
    )
    assert number > 0


def test_a_page_that_comes_late_changes_nothing(chromium: Any, address: str) -> None:
    held = hold(chromium, "**/data/0/0/layer")
    chromium.goto(f"{address}/mixed4a")
    wait_for_one(chromium, held)
    chromium.keyboard.press("g")
    chromium.wait_for_selector(".ladder")
    settled(chromium)
    before = (chromium.url, chromium.title(), chromium.inner_text("#view"))
    with chromium.expect_event("requestfinished", lambda request: request.url.endswith("/layer")):
        held[0].continue_()
    chromium.evaluate("P.data.layer(0, 'mixed4a').then(() => new Promise(done => setTimeout(done, 50)))")
    assert (chromium.url, chromium.title(), chromium.inner_text("#view")) == before


def test_going_back_leads_to_the_same_place(window: Any, address: str) -> None:
    window.goto(f"{address}/mixed4a")
    settled(window)
    window.evaluate("scrollTo(0, 300)")
    tile = window.locator(".grid .tile[data-index='20'] a")
    tile.click()
    window.wait_for_url("**/mixed4a/20")
    settled(window)
    assert window.evaluate("scrollY") == 0
    top = window.evaluate("history.back()")
    window.wait_for_url("**/mixed4a")
    wait_until(window, "scrollY > 0")
    assert top is None


def test_notes_and_tags_are_written_shown_and_found(chromium: Any, tmp_path: Path) -> None:
    atlas = make_atlas(tmp_path / "atlas")
    with served(make_viewer(atlas)) as address:
        chromium.goto(f"{address}/mixed4a/3")
        settled(chromium)
        chromium.keyboard.press("n")
        chromium.fill("#note", "strokes, like <b>this</b>")
        chromium.fill("#tags", "stripes, to check")
        chromium.click("text=Save")
        chromium.wait_for_selector(".tags a")
        assert chromium.inner_text(".notebook .note") == "strokes, like <b>this</b>"
        chromium.click("text=#stripes")
        chromium.wait_for_url("**/-/search?q=%23stripes")
        settled(chromium)
        assert chromium.inner_text(".tile .name") == "mixed4a:3"
        chromium.goto(f"{address}/-/notes")
        settled(chromium)
        assert "strokes, like <b>this</b>" in chromium.inner_text("#view")
        chromium.goto(f"{address}/mixed4a?tag=stripes")
        settled(chromium)
        assert "1 of 40" in chromium.inner_text(".count")
        chromium.goto("about:blank")
    assert "stripes" in (atlas / "notes.json").read_text()


def test_two_atlases_are_compared_unit_by_unit(window: Any, address: str) -> None:
    window.goto(f"{address}/-/compare/mixed4a?sort=most")
    settled(window)
    assert "30 units in both" in window.inner_text(".count")
    assert re.search(r"^0\S* → 1\S* \(\+1\)$", window.locator(".pair .note").nth(2).inner_text())
    window.evaluate("P.go('/-/compare/logits')")
    wait_until(window, "document.querySelector('#view').textContent.includes('second has no layer logits')")


def test_a_training_run_has_a_slider_through_its_checkpoints(window: Any, tmp_path: Path) -> None:
    for step in (0, 100, 2000):
        wanted = Wanted(layers={"mixed4a": 8}, about={"step": step}, shift=step / 100)
        make_atlas(tmp_path / f"run/step-{step}", wanted)
    with served(make_viewer(tmp_path / "run")) as address:
        window.goto(f"{address}/mixed4a/3")
        settled(window)
        wait_until(window, "document.querySelector('.scrubber output').textContent === 'step 2,000, score 20.3'")
        window.focus("#moment")
        window.keyboard.press("Home")
        assert window.inner_text(".scrubber output") == "step 0, score 0.3"
        settled(window)
        shoot(window, f"training-{window.kind}")
        window.goto("about:blank")  # which asks for nothing when the server has gone


def test_a_layer_of_5000_scrolls_to_its_end(chromium: Any, tmp_path: Path) -> None:
    atlas = make_atlas(tmp_path / "atlas", Wanted(layers={"wide": 5000}, negative=False))
    visible = """() => [...document.querySelectorAll('.grid .tile')].filter(tile => {
        const { top, bottom } = tile.getBoundingClientRect();
        return bottom > 0 && top < innerHeight;
    })"""
    whole = f"""() => {{ const tiles = ({visible})();
        return tiles.length > 20 && tiles.every(tile => tile.querySelector('img').naturalWidth > 0); }}"""
    with served(make_viewer(atlas)) as address:
        chromium.goto(f"{address}/wide")
        settled(chromium)
        most = 0
        for _ in range(8):
            chromium.mouse.wheel(0, 2500)
            wait_until(chromium, whole)
            most = max(most, chromium.locator(".grid .tile").count())
        for share in (0.7, 0.3, 1.0):  # dragging the bar
            chromium.evaluate(f"scrollTo(0, document.documentElement.scrollHeight * {share})")
            wait_until(chromium, whole)
        assert chromium.locator(".grid .tile").last.get_attribute("data-index") == "4999"
        assert most < 500  # of 5,000: only those near the window exist
        shoot(chromium, "end-of-5000")
        chromium.locator(".grid a").last.focus()
        chromium.keyboard.press("Home")
        wait_until(chromium, whole)
        assert chromium.evaluate("document.activeElement.closest('.tile').dataset.index") == "0"
        chromium.goto("about:blank")


def test_a_picture_is_begun_seen_growing_and_stopped(chromium: Any, tmp_path: Path) -> None:
    wanted = Wanted(
        layers={"mixed5a": 8}, name="default", weights_hash=pl.load("default").weights_hash,
        source={"spec": "default"}, px=64, recipe=Recipe(steps=16, size=(64, 64)),
    )  # fmt: skip
    with served(make_viewer(make_atlas(tmp_path / "atlas", wanted))) as address:
        chromium.goto(f"{address}/mixed5a/3")
        settled(chromium)
        chromium.click("text=Steps, seed, any other target")
        chromium.fill("#steps", "2048")
        chromium.keyboard.press("Escape")
        chromium.keyboard.press("r")
        chromium.wait_for_selector(".job .made img", timeout=120_000)
        shoot(chromium, "rendering")
        chromium.click(".job >> text=Stop")
        chromium.wait_for_selector(".job[data-state=cancelled]", timeout=60_000)
        assert "stopped; this is what there was" in chromium.inner_text(".job")
        chromium.fill("#target", "dir:mixed5a@/etc/passwd")
        with chromium.expect_response("**/-/jobs") as answer:
            chromium.evaluate(
                "P.send('POST', 'jobs', {way: 'target', target: 'mixed5a:4', unit: 'mixed5a:3', steps: 4, seed: 2})"
            )
        assert answer.value.status == 200
        chromium.reload()  # jobs of this unit are there again
        wait_until(chromium, "document.querySelectorAll('.job').length === 2")
        wait_until(chromium, "document.querySelectorAll('.job[data-state=done]').length === 1", timeout=60_000)
        chromium.goto("about:blank")
