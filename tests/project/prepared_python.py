"""Programs one after another, each in a process of its own that begins with torch imported, which takes seconds.

Reads lines of JSON, `{"program": …, "words": […], "out": FILE, "err": FILE}`; the program is `pellucid`, with its
words, or Python's own text. Answers each with a line, its exit code.
"""

from __future__ import annotations

import json
import os
import signal
import sys

import torchvision  # noqa: F401  and torch

from pellucid.app.cli.main import run

LONGEST = 600  # seconds


def become(job: dict[str, object]) -> None:
    """Be the program, in a process that was made for it."""
    signal.alarm(LONGEST)
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
    for file, stream in ((job["out"], sys.stdout), (job["err"], sys.stderr)):
        os.dup2(os.open(str(file), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream.fileno())
    if job["program"] == "pellucid":
        words = job["words"]
        assert isinstance(words, list)
        sys.exit(run(words))
    exec(compile(str(job["program"]), "<string>", "exec"), {"__name__": "__main__"})
    sys.exit(0)


for line in sys.stdin:
    if not (child := os.fork()):
        become(json.loads(line))
    sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
    sys.stdout.flush()
