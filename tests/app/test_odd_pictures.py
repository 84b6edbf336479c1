"""What people's folders hold: odd pictures are surveyed, explained and audited; broken ones are skipped and named."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pellucid.app.cli import main
from pellucid.survey.result import Survey
from typed import NETWORK, Run

MANY = 600


def noise(number: int, px: int = 16) -> Image.Image:
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, (px, px, 3), dtype=np.uint8))


def huge(path: Path) -> None:
    """A PNG that claims 30,000 x 30,000 px and holds nothing: a reader that decodes first fails in another way."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""))


def cut(path: Path) -> None:
    noise(0, 64).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    noise(1, 24).resize((48, 24)).save(path, exif=exif)


def animated(path: Path) -> None:
    noise(2).save(path, save_all=True, append_images=[noise(3), noise(4)])


ODD: dict[str, Callable[[Path], object]] = {
    "sixteen-bits.png": lambda path: Image.fromarray(np.arange(0, 65536, 64, np.uint16).reshape(32, 32)).save(path),
    "palette.gif": lambda path: noise(5).convert("P", palette=Image.Palette.ADAPTIVE).save(path),
    "printers.jpg": lambda path: noise(6).convert("CMYK").save(path),
    "transparent.png": lambda path: noise(7).convert("RGBA").point(lambda value: value // 2).save(path),
    "turned.jpg": turned,
    "one-pixel.png": lambda path: noise(8, 1).save(path),
    "long.png": lambda path: noise(9).resize((30_000, 2)).save(path),
    "moving.gif": animated,
}
BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "text.jpg": (lambda path: path.write_text("this is no photo"), "is not a picture"),
    "cut.jpg": (cut, "damaged or cut short"),
    "nothing.png": (lambda path: path.touch(), "is not a picture"),
    "huge.png": (huge, "has too many pixels"),
}


@pytest.fixture
def pellucid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Types a command in an empty folder with `nets.py`; gives exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(NETWORK)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main.run(list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two class folders: 12 plain photos each, the odd ones among the cats and the broken ones among the dogs."""
    for kind in ("cat", "dog"):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for number in range(12):
            noise(number).save(tmp_path / "photos" / kind / f"{number:03d}.png")
    for name, make in ODD.items():
        make(tmp_path / "photos/cat" / name)
    for name, (make, _) in BROKEN.items():
        make(tmp_path / "photos/dog" / name)
    return tmp_path / "photos"


def test_a_survey_reads_what_is_odd_and_names_what_is_broken(pellucid: Run, photos: Path) -> None:
    code, out, _ = pellucid("survey", "nets.py:small", str(photos), "-o", "seen", "-k", "40", "--json")
    document = json.loads(out)
    assert (code, document["pictures"], document["is_complete"]) == (0, 24 + len(ODD), True)
    reasons = {Path(one["name"]).name: one["reason"] for one in document["skipped"]}
    assert set(reasons) == set(BROKEN)
    assert all(said in reasons[name] for name, (_, said) in BROKEN.items())
    found = Survey.load("seen")
    row = found.table.row("relu:0")
    assert row is not None
    names = {Path(found.pictures.about(example["picture"])["name"]).name for example in row["highest"]}
    assert set(ODD) <= names


def test_one_broken_picture_among_many_is_counted_and_named(pellucid: Run, tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for number in range(MANY):
        noise(number, 8).save(tmp_path / "many" / f"{number:04d}.png")
    (tmp_path / "many/0317.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    code, _, err = pellucid("survey", "nets.py:small", "many", "-o", "seen")
    assert code == 0
    assert f"{MANY - 1} pictures" in err
    assert "0317.png" in err
    assert Survey.load("seen").num_pictures == MANY - 1


@pytest.mark.parametrize("name", ODD)
def test_an_odd_photo_is_explained(pellucid: Run, photos: Path, name: str) -> None:
    code, out, err = pellucid("explain", "nets.py:small", str(photos / "cat" / name), "-o", "why", "--no-pictures")
    assert (code, "relu:" in out) == (0, True), err
    assert Path("why/explanation.html").stat().st_size > 5000


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_photo_is_refused_in_one_line(pellucid: Run, photos: Path, name: str) -> None:
    code, _, err = pellucid("explain", "nets.py:small", str(photos / "dog" / name), "-o", "why", "--no-pictures")
    assert (code, len(err.strip().splitlines())) == (2, 1)
    assert name in err
    assert BROKEN[name][1] in err


def test_an_audit_goes_on_behind_broken_photos(pellucid: Run, photos: Path) -> None:
    line = ("audit", "nets.py:small", str(photos), "--no-pictures", "--count", "2")
    code, _, err = pellucid(*line, "--class", "cat", "-o", "cats")
    assert code == 0
    assert f"cat on {12 + len(ODD)} photos of its own and 12 others" in err
    assert all(name in err for name in BROKEN)
    code, out, _ = pellucid(*line, "--class", "dog", "-o", "dogs", "--json")
    assert (code, len(json.loads(out)["skipped"])) == (0, len(BROKEN))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("survey nets.py:small empty -o out", "holds no picture"),
        ("audit nets.py:small empty --class cat -o out", "holds no picture"),
        ("survey nets.py:small texts -o out", "none of the 3 pictures"),
        ("audit nets.py:small texts --class cat -o out", "'texts'"),
        ("survey nets.py:small photos -o out --classes one.txt", "1 class names were given, but 'photos' holds 2"),
        ("audit nets.py:small photos --class cat -o out --classes one.txt", "but 'photos' holds 2 class folders"),
        ("audit nets.py:small photos --class cow -o out", "'cow'"),
        ("audit nets.py:small strangers --class cat -o out", "labels do not match classes: small has no class"),
        ("explain nets.py:small empty -o out", "is a folder, not a picture"),
        ("explain nets.py:small nowhere.png -o out", "no file 'nowhere.png'"),
    ],
)
def test_what_cannot_be_done_is_one_line(pellucid: Run, photos: Path, line: str, said: str) -> None:
    Path("empty").mkdir()
    Path("one.txt").write_text("cat\n")
    for name in ("texts/cat/a.jpg", "texts/cat/b.jpg", "texts/dog/c.jpg"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("this is no photo")
    for kind in ("horse", "ship"):
        Path("strangers", kind).mkdir(parents=True)
        noise(0).save(Path("strangers", kind, "a.png"))
    code, _, err = pellucid(*line.split())
    assert (code, len(err.strip().splitlines())) == (2, 1), err
    assert said in err
