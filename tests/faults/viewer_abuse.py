"""The viewer abused, counted: `python tests/faults/viewer_abuse.py [--quick]`.

A real `pellucid view` in a process of its own, asked over plain sockets: paths that try to leave the atlas, bodies that
are too large, endless, nested too deeply or of wrong types, pictures that unpack to gigabytes, 32 clients at once,
clients that vanish in the middle, names that are not its own, a second viewer on its port, and an atlas that names a
Python file. Each must get a small, clear answer or none; nothing outside the atlas may be told, nothing changed,
nothing run, and the viewer has to be as it was before: it answers, and holds no more files and connections.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import psutil

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))

import pellucid as pl
from pellucid.atlas.place import Place
from pellucid.atlas.shards import Picture
from pellucid.atlas.writer import write_shard
from viewing import Wanted, fuzzed_paths, make_atlas, put_table

SECRET = "the secret of the house"
CHANGE = "X-Pellucid: 1\r\nContent-Type: application/json\r\n"
COMMAND = [sys.executable, "-c", "from pellucid.app.cli.main import main; main()", "view"]
POLICY = "default-src 'none'; script-src 'self'"
CLIENTS = 32
MOST_BYTES = 32 * 2**20  # of an answer: far above any, far below what a bomb unpacks to
HUNG_UP, SILENT = 0, -1  # in place of a status
SPARE = 8  # files and connections that a viewer may hold more than before: its threads' wake-up pipes


class Visitor:
    """Whoever asks a viewer, over plain sockets: no library tidies up what is sent."""

    def __init__(self, port: int, process: psutil.Process) -> None:
        self.port, self.process = port, process

    def send(self, data: bytes) -> tuple[int, str, bytes]:
        """Status, head and body of the answer to some bytes."""
        with socket.create_connection(("127.0.0.1", self.port), 30) as connection:
            got = b""
            try:
                connection.sendall(data)
                while len(got) < MOST_BYTES and (part := connection.recv(65536)):
                    got += part
            except ConnectionError:  # it hung up on us, which it may
                pass
            except TimeoutError:
                return SILENT, "", b""
        head, _, body = got.partition(b"\r\n\r\n")
        status = re.match(rb"HTTP/1\.1 (\d{3})", head)
        return int(status[1]) if status else HUNG_UP, head.decode("latin-1"), body

    def ask(self, path: str, headers: str = "", body: bytes = b"", method: str = "GET") -> tuple[int, str, bytes]:
        """The same for a request in order, but for what is asked."""
        host = "" if "Host:" in headers else f"Host: 127.0.0.1:{self.port}\r\n"
        length = f"Content-Length: {len(body)}\r\n" if body and "Content-Length" not in headers else ""
        head = f"{method} {path} HTTP/1.1\r\n{host}{headers}{length}Connection: close\r\n\r\n"
        return self.send(head.encode("latin-1", "replace") + body)

    def is_well(self) -> bool:
        """Whether it still answers, and quickly."""
        began = time.monotonic()
        return self.ask("/-/data/book")[0] == 200 and time.monotonic() - began < 20

    def held(self) -> int:
        """Files and connections that the viewer holds."""
        return int(self.process.num_fds())


@contextmanager
def viewer(folder: Path, *options: str) -> Iterator[Visitor]:
    """A real `pellucid view` of an atlas."""
    with subprocess.Popen([*COMMAND, str(folder), *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        match = re.search(r":(\d+)/", process.stdout.readline())
        assert match, "the viewer did not start"
        try:
            yield Visitor(int(match[1]), psutil.Process(process.pid))
        finally:
            process.terminate()


def paths(visitor: Visitor, count: int) -> tuple[int, int]:
    """Fuzzed paths, and those whose answer tells nothing that is not the atlas's to show."""
    good = 0
    for path in fuzzed_paths(count):
        status, head, body = visitor.ask(path)
        told = SECRET.encode() in body or b"root:" in body or b'"pellucid": "atlas"' in body
        good += status in (200, 400, 404, 405, 422) and not told and POLICY in (head or POLICY)
    return count, good


def bodies(visitor: Visitor, folder: Path) -> tuple[int, int]:
    """Bodies that no page sends, and those that were refused, with nothing noted and nothing begun."""
    note, jobs = "/-/notes/mixed4a:3", "/-/jobs"
    large, nested = b'{"note": "' + b"x" * 70_000 + b'"}', b'{"a":' * 9000 + b"1" + b"}" * 9000
    wrong = [b"", b"[]", b"{", b"null", b'"note"', b"\xff\xfe", b"\0" * 99, b'{"note": 3}', b'{"note": null}',
             b'{"tags": "a"}', b'{"tags": [1]}', b'{"tags": [["a"]]}', b'{"note": NaN}', nested, b"9" * 5000,
             b'{"note": "' + b"x" * 10_001 + b'"}', json.dumps({"note": "", "tags": ["a"] * 33}).encode(),
             b'{"note": "a", "tags": [' + b'"' + b"t" * 61 + b'"]}']  # fmt: skip
    wishes = [{"way": "eval"}, {"steps": 10**9}, {"steps": "4"}, {"seed": -1}, {"target": "dir:conv1@/etc/passwd"},
              {"target": "conv1:*"}, {"target": ["conv1:1"]}, {"target": "x" * 10_000}, {"unit": 3}]  # fmt: skip
    wish = {"way": "again", "target": "mixed4a:3", "unit": "mixed4a:3", "steps": 4, "seed": 0}
    chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
    bomb = zlib.compress(bytes(50_000_000))
    gzip = CHANGE + "Content-Encoding: gzip\r\n"
    chunked, elsewhere = CHANGE + "Transfer-Encoding: chunked\r\n", CHANGE + "Origin: http://evil.example\r\n"
    form = "X-Pellucid: 1\r\nContent-Type: multipart/form-data; boundary=a\r\n"
    plain = "X-Pellucid: 1\r\nContent-Type: text/plain\r\n"
    asked = [
        (note, CHANGE, large),
        *[(note, f"{CHANGE}Content-Length: {length}\r\n", b"{}") for length in ("99999999999", "-1", "x", "1e3", "+2")],
        (note, chunked, chunk + b"0\r\n\r\n"),
        (note, chunked, chunk * 99 + b"0\r\n\r\n"),
        (note, chunked, b"zz\r\n"),
        (note, gzip, bomb),
        (note, plain, b"{}"),
        (note, form, b"--a--"),
        (note, "Content-Type: application/json\r\n", b"{}"),
        (note, elsewhere, b'{"note": "mine"}'),
        *[(note, CHANGE, body) for body in wrong],
        *[(jobs, CHANGE, body) for body in wrong],
        *[(jobs, CHANGE, json.dumps(wish | one).encode()) for one in wishes],
    ]
    methods = {note: "PUT", jobs: "POST"}
    statuses = [visitor.ask(path, headers, body, methods[path])[0] for path, headers, body in asked]
    refused = sum(status == HUNG_UP or 400 <= status < 500 for status in statuses)
    nothing = not (folder / "notes.json").exists() and json.loads(visitor.ask("/-/jobs?unit=mixed4a:3")[2]) == []
    return len(asked), refused if nothing and visitor.is_well() else 0


def bombs(visitor: Visitor, targets: int) -> tuple[int, int]:
    """Stored pictures that unpack to gigabytes, or are none, and those that cost the viewer nothing."""
    before, good = visitor.process.memory_info().rss, 0
    for unit in range(targets):
        status, _, body = visitor.ask(f"/-/thumb/0/0/{unit}")
        good += status in (200, 404) and len(body) < 10**6
    status, _, _ = visitor.ask("/-/data/0/0/alike/0")
    grown = visitor.process.memory_info().rss - before
    return targets + 1, good + (status == 200) if grown < 300 * 2**20 and visitor.is_well() else 0


def crowd(visitor: Visitor, each: int) -> tuple[int, int]:
    """Requests of 32 clients at once, and those that were answered in full."""
    wanted = ["/-/data/book", "/-/data/0/0/unit/3", "/-/thumb/0/0/4", "/-/data/0/0/layer", "/mixed4a/3", "/nowhere"]
    answered: list[int] = []

    def visit(number: int) -> None:
        connection = HTTPConnection("127.0.0.1", visitor.port, timeout=120)
        for at in range(each):
            path = wanted[(number + at) % len(wanted)]
            connection.request("GET", path)
            answer = connection.getresponse()
            length = int(answer.headers["content-length"])
            ok = len(answer.read()) == length and answer.status == (404 if path == "/nowhere" else 200)
            answered.append(int(ok))
        connection.close()

    clients = [threading.Thread(target=visit, args=(number,)) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return CLIENTS * each, sum(answered)


def vanishing(visitor: Visitor, count: int) -> tuple[int, int]:
    """Clients that are gone in the middle of a request, an answer or a job's events; all, where none left anything."""
    wish = {"way": "again", "target": "mixed4a:3", "unit": "mixed4a:3", "steps": 2048, "seed": 0}
    job = json.loads(visitor.ask("/-/jobs", CHANGE, json.dumps(wish).encode(), "POST")[2])["id"]
    host = f"Host: 127.0.0.1:{visitor.port}\r\n"
    asked = (
        f"GET /-/jobs/{job}/events HTTP/1.1\r\n{host}\r\n",
        f"GET /-/data/0/0/layer HTTP/1.1\r\n{host}\r\n",
        f"PUT /-/notes/mixed4a:3 HTTP/1.1\r\n{host}{CHANGE}Content-Length: 5000\r\n\r\n{{",
        "GET /-/thumb/0/0/",
    )
    before = visitor.held()
    for number in range(count):
        connection = socket.create_connection(("127.0.0.1", visitor.port), 60)
        # A client that was killed or unplugged: the connection is reset instead of closed in good order.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(asked[number % len(asked)].encode())
        if number % len(asked) < 2:
            connection.recv(64)
        connection.close()
    stopped = visitor.ask(f"/-/jobs/{job}", CHANGE, method="DELETE")[0] == 200
    ended = b'"state": "cancelled"' in visitor.ask(f"/-/jobs/{job}/events")[2]  # which waits for the job's end
    left = True
    for _ in range(100):
        left = visitor.held() > before + SPARE
        if not left:
            break
        time.sleep(0.1)
    return count, count if stopped and ended and not left and visitor.is_well() else 0


def hosts(visitor: Visitor) -> tuple[int, int]:
    """Requests by other names than the viewer's own, and those that were refused; its own have to be answered."""
    port = visitor.port
    others = ["evil.example", f"evil.example:{port}", f"127.0.0.1.evil.example:{port}", "192.168.0.7", "", "0.0.0.0",
              "localhost@evil", "localhost.", "2130706433", "127.1", "[::ffff:127.0.0.1]", "local host", "::1:80:80",
              socket.gethostname() + ".example", "localhost,evil", "LOCALHOST.EVIL", "\xe9vil", "*"]  # fmt: skip
    refused = 0
    for other in others:
        status, _, body = visitor.ask("/-/data/book", f"Host: {other}\r\n")
        refused += status in (400, 421) and b"atlases" not in body
    status, _, _ = visitor.send(b"GET /-/data/book HTTP/1.0\r\n\r\n")  # none at all
    own = [f"127.0.0.1:{port}", f"localhost:{port}", "LOCALHOST", f"[::1]:{port}"]
    answered = all(visitor.ask("/-/data/book", f"Host: {name}\r\n")[0] == 200 for name in own)
    return len(others) + 1, refused + (status == 421) if answered else 0


def policies(visitor: Visitor) -> tuple[int, int]:
    """Kinds of answers, and those that keep browsers from more than is meant."""
    asked = ["/", "/mixed4a", "/mixed4a/3", "/nowhere", "/-/search?q=<script>", "/-/data/book", "/-/data/9/9/layer",
             "/-/thumb/0/0/1", "/-/picture/0/0/1/picture/0", "/-/static/main.js", "/-/static/x"]  # fmt: skip
    heads = [visitor.ask(path)[1] for path in asked]
    heads.append(visitor.ask("/", "Host: evil.example\r\n")[1])
    wanted = (POLICY, "x-content-type-options: nosniff", "referrer-policy: no-referrer")
    good = sum(
        all(one in head for one in wanted) and "unsafe" not in head and "access-control-allow" not in head
        for head in heads
    )
    return len(heads), good


def doors(visitor: Visitor, folder: Path) -> tuple[int, int]:
    """Ways to two viewers on one port, or to one from elsewhere; and those that stay closed."""
    taken = subprocess.run(
        [*COMMAND, str(folder), "--port", str(visitor.port)], capture_output=True, text=True, check=False
    )
    said = taken.returncode == 2 and taken.stderr.count("\n") == 1
    said = said and f"port {visitor.port} is taken" in taken.stderr
    with viewer(folder) as second:
        both = second.port != visitor.port and second.is_well() and visitor.is_well()
    listening = {one.laddr.ip for one in visitor.process.net_connections() if one.status == psutil.CONN_LISTEN}
    return 3, said + both + (listening == {"127.0.0.1"})


def strangers(home: Path, most: int) -> tuple[int, int]:
    """Atlases that name code to run, and those of which none ran, also when a page asks for pictures."""
    code, ran = home / "code.py", home / "ran"
    code.write_text(f"open({str(ran)!r}, 'w')\ndef factory(): ...\n")
    pickled = home / "evil.pth"
    pickled.write_bytes(f"cbuiltins\nopen\n(V{ran}\nVw\ntR.".encode())  # unpickled, it opens the file
    sources = [{"spec": f"{code}:factory"}, {"spec": f"{code}:factory", "weights": str(pickled)},
               {"spec": "default", "weights": str(pickled)}, {"spec": f"hf:{home}"}, {"spec": f"torchvision:../{code}"},
               {"spec": ["default"]}, {"spec": {"default": 1}}][:most]  # fmt: skip
    good = 0
    wish = {"way": "again", "target": "mixed4a:3", "unit": "mixed4a:3", "steps": 4, "seed": 0}
    for number, source in enumerate(sources):
        with viewer(make_atlas(home / f"stranger {number}", Wanted(layers={"mixed4a": 8}, source=source))) as visitor:
            shown = visitor.ask("/mixed4a/3")[0] == visitor.ask("/-/data/0/0/unit/3")[0] == 200
            refused = visitor.ask("/-/jobs", CHANGE, json.dumps(wish).encode(), "POST")[0] == 409
            good += shown and refused and not ran.exists()
    return len(sources), good


def house(home: Path) -> Path:
    """An atlas that pages can render from, with a secret beside it."""
    (home / "secret.txt").write_text(SECRET)
    wanted = Wanted(
        layers={"mixed4a": 40, "logits": 4},
        name="default",
        weights_hash=pl.load("default").weights_hash,
        source={"spec": "default", "weights": None},
    )
    folder = make_atlas(home / "atlas", wanted)
    put_table(folder)
    return folder


def bombed(home: Path, rows_there: int) -> tuple[Path, int]:
    """An atlas whose pictures are a PNG of 60,000 x 60,000 px, one that is cut, other files, and nothing.

    Of its rows the first `rows_there` are there.
    """
    folder = make_atlas(home / "bombed", Wanted(layers={"mixed4a": 8}, negative=False))
    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(bytes(1 + 60_000 // 8)) for _ in range(rows_there)) + rows.flush()

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 1, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    pictures = [bomb, bomb[: len(bomb) // 2], b"<svg onload=alert(1)>", b"GIF8", b"RIFF", b"", SECRET.encode(), None]
    place = Place.of(folder)
    for name in place.names("pictures"):
        place.remove(name)
    told = [(60_000, 60_000), (16, 16)]  # what the atlas says of their size: the truth, and not
    write_shard(
        place,
        [
            Picture(f"mixed4a:{at}", "mixed4a", at, "picture", 0, one, *told[at % 2], 1.0, "done", 16, None, 0)
            for at, one in enumerate(pictures)
        ],
    )
    return folder, len(pictures)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small part of it, for the test suite")
    quick = parser.parse_args().quick
    home = Path(tempfile.mkdtemp(prefix="viewer ü "))
    counts: list[tuple[int, int]] = []

    def tell(words: str, made: int, good: int) -> None:
        counts.append((made, good))
        print(f"{words}: {good} of {made}", flush=True)

    try:
        folder = house(home)
        with viewer(folder) as visitor:
            tell("paths that told nothing but the atlas", *paths(visitor, 100 if quick else 1000))
            tell("bodies refused, nothing changed by any", *bodies(visitor, folder))
            tell("requests of 32 clients at once answered", *crowd(visitor, 6 if quick else 1000))
            tell("clients that vanished, nothing left of them", *vanishing(visitor, 8 if quick else 200))
            tell("names of others refused", *hosts(visitor))
            tell("kinds of answers under the policy", *policies(visitor))
            tell("a taken port, a second viewer, 127.0.0.1 alone", *doors(visitor, folder))
        damaged, units = bombed(home, 600 if quick else 60_000)
        with viewer(damaged) as visitor:
            tell("pictures that are bombs or none, at no cost", *bombs(visitor, units))
        tell("atlases that name code, which did not run", *strangers(home, 2 if quick else 7))
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return int(any(made != good for made, good in counts))


if __name__ == "__main__":
    sys.exit(main())
