"""How fast the viewer answers, from an atlas of 10,000 units: unit pages, thumbnails, and blank tiles while scrolling.

    python benchmarks/viewer.py                # writes the atlas into a temporary folder; some two minutes
    python benchmarks/viewer.py --px 224       # of pictures that are made smaller for the grid

Prints wall time, which other work on the machine lengthens, and the server's own CPU time, which it does not. The last
line needs Playwright and a Chromium, and says how long tiles in the window stayed blank after each of 60 jumps.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from pellucid.ascent.recipe import Recipe
from pellucid.atlas.card import CARD, Card, LayerCard, ModelCard
from pellucid.atlas.place import Place
from pellucid.atlas.shards import Picture
from pellucid.atlas.writer import Writer

UNITS, JUMPS = 10_000, 60


def make_atlas(folder: Path, px: int) -> None:
    """Smooth random pictures, which compress about as renderings do."""
    model = ModelCard("wide", "0" * 16, None, (px, px), 3, (0.0, 1.0))
    layer = LayerCard("wide", "Block", "bchw", (UNITS, 8, 8), UNITS)
    place = Place.of(folder)
    place.write(CARD, Card(model, {"wide": layer}, {"wide": tuple(range(UNITS))}, Recipe()).to_bytes())
    rng = np.random.default_rng(0)
    images = []
    for _ in range(256):
        buffer = io.BytesIO()
        small = Image.fromarray(rng.integers(0, 256, (px // 4, px // 4, 3), dtype=np.uint8))
        small.resize((px, px), Image.Resampling.BICUBIC).save(buffer, "WEBP", lossless=True)
        images.append(buffer.getvalue())
    print(f"pictures of {px} px, {statistics.mean(map(len, images)) / 1000:.1f} kB each")
    writer = Writer(place, most_rows=512)
    for unit in range(UNITS):
        image = images[unit % 256]
        writer.put([Picture(f"wide:{unit}", "wide", unit, "picture", 0, image, px, px, unit / 7, "done", 256, None, 0)])
    writer.flush()


@contextmanager
def viewer(folder: Path) -> Iterator[tuple[int, psutil.Process]]:
    """The port and process of `pellucid view`."""
    code = "from pellucid.app.cli.main import main; main()"
    command = [sys.executable, "-c", code, "view", str(folder)]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        match = re.search(r":(\d+)/", process.stdout.readline())
        assert match, "the viewer did not start"
        print(f"answers {time.perf_counter() - began:.1f} s after its start")
        try:
            yield int(match[1]), psutil.Process(process.pid)
        finally:
            process.terminate()


def timed(port: int, process: psutil.Process, what: str, paths: list[str], clients: int) -> None:
    """Ask for all paths by some clients that keep their connections, and print rates and times."""
    times: list[float] = []
    before, began = sum(process.cpu_times()[:2]), time.perf_counter()

    def ask(own: list[str]) -> None:
        connection = HTTPConnection("127.0.0.1", port)
        for path in own:
            first = time.perf_counter()
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, path
            times.append(time.perf_counter() - first)

    threads = [threading.Thread(target=ask, args=(paths[at::clients],)) for at in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall, cpu = time.perf_counter() - began, sum(process.cpu_times()[:2]) - before
    p95 = sorted(times)[int(0.95 * len(times))]
    print(
        f"{what:34} {len(paths) / wall:6.0f} /s wall  {len(paths) / cpu:6.0f} /s of CPU  "
        f"median {1000 * statistics.median(times):5.1f} ms  p95 {1000 * p95:5.1f} ms"
    )


def blank_times(port: int) -> None:
    """How long tiles in the window are blank after jumps through the layer."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        return
    jump = """async share => {
        scrollTo(0, share * (document.documentElement.scrollHeight - innerHeight));
        const began = performance.now();
        const blank = () => {
            const tiles = [...document.querySelectorAll('.grid .tile')].filter(tile => {
                const { top, bottom } = tile.getBoundingClientRect();
                return bottom > 0 && top < innerHeight;
            });
            return !tiles.length || tiles.some(tile => !tile.querySelector('img').naturalWidth);
        };
        do await new Promise(requestAnimationFrame); while (blank());
        return performance.now() - began;
    }"""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"http://127.0.0.1:{port}/wide")
        page.wait_for_selector(".grid img")
        smooth = [page.evaluate(jump, at * 0.002) for at in range(JUMPS)]
        rng = np.random.default_rng(1)
        far = [page.evaluate(jump, float(share)) for share in rng.random(JUMPS)]
        browser.close()
    for what, found in (("scrolled by half a window", smooth), ("jumped anywhere", far)):
        print(f"blank after {what}: median {statistics.median(found):.0f} ms, longest {max(found):.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--px", type=int, default=64)
    px = parser.parse_args().px
    rng = np.random.default_rng(2)
    with tempfile.TemporaryDirectory() as folder:
        make_atlas(Path(folder), px)
        with viewer(Path(folder)) as (port, process):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/data/book") as answer:
                answer.read()
            units = rng.permutation(UNITS)

            def pages(form: str) -> list[str]:
                return [form.format(unit) for unit in units[:1000]]

            timed(port, process, "unit pages, one client", pages("/wide/{}"), 1)
            timed(port, process, "data of units, one client", pages("/-/data/0/0/unit/{}"), 1)
            timed(port, process, "thumbnails in order, six clients", [f"/-/thumb/0/0/{at}" for at in range(3000)], 6)
            timed(port, process, "thumbnails anywhere, six clients", pages("/-/thumb/0/0/{}"), 6)
            timed(port, process, "the whole layer's columns", ["/-/data/0/0/layer"] * 10, 1)
            print(f"memory {process.memory_info().rss / 2**20:.0f} MiB")
            blank_times(port)


if __name__ == "__main__":
    main()
