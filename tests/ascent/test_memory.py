"""Memory: pages stay with the process while a run lasts; when there is none left, a run goes on with fewer images."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import pellucid as pl
from pellucid.ascent.memory import free_bytes, kept_memory
from pellucid.errors import ModelError, is_out_of_memory
from pellucid.models.taps import Tap

GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's way with memory")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the limit on a process's memory is Linux's")

QUICK = {"steps": 3, "precision": "float64", "trial": False, "transforms": "none", "color": "none"}

# 64 maps of 128 px through six sigmoids: 29 MB an image between forward and backward, and little to compute.
WIDE = """
import torch
from torch import nn
import pellucid as pl

def wide():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 64, 1), *(nn.Sigmoid() for _ in range(6)), nn.Conv2d(64, 16, 1))
    return pl.Model(net, size=128)

SETTINGS = {"steps": 2, "precision": "float32", "trial": False, "transforms": "none", "color": "none"}
"""

# Renders once, so that all is loaded, then may take 300 MB more than it has: sixteen images need some 700.
IN_A_NARROW_PLACE = f"""{WIDE}
import resource, sys

torch.set_num_threads(1)
pl.render(wide(), "7:0", **SETTINGS)
pages = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (pages + 300 * 2**20,) * 2)
got = pl.render(wide(), "7:*", batch=16, **SETTINGS)
torch.save((got.images, got.resolved.batch, [str(one) for one in got.status]), sys.argv[1])
"""


def faults_of_a_step(step: Callable[[], object], repeats: int = 60) -> float:
    """Pages that the kernel had to hand out for a step: the median of the last, as the first take what is kept."""
    import resource

    faults = []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        step()
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return statistics.median(faults[-15:])


@GLIBC
def test_a_step_takes_no_new_pages_while_memory_is_kept() -> None:
    def step() -> None:
        leaf = torch.ones(1, 64, 384, 384, requires_grad=True)  # 38 MB: more than glibc ever keeps by itself
        leaf.sigmoid().sum().backward()

    own, page = 64 * 384 * 384 * 4, os.sysconf("SC_PAGE_SIZE")
    before = faults_of_a_step(step)
    with kept_memory():
        inside = faults_of_a_step(step)
    assert inside < 20  # nothing but chance: another thread, a page of Python's own
    # Three tensors a step, each taken from the kernel anew: in small pages, or in huge ones of 512.
    huge = 512
    assert before > 2 * own / page / huge


@GLIBC
def test_what_is_kept_is_given_back() -> None:
    import psutil

    process = psutil.Process()
    with kept_memory():
        block = torch.ones(100 * 2**18)  # 100 MiB
        full = process.memory_info().rss
        del block
        kept = process.memory_info().rss
    assert full - kept < 10 * 2**20
    assert kept - process.memory_info().rss > 90 * 2**20


def test_memory_is_kept_for_a_run_and_not_after_an_error() -> None:
    from pellucid.ascent import memory

    set_to: list[tuple[int, int]] = []

    class Library:
        def mallopt(self, parameter: int, value: int) -> None:
            set_to.append((parameter, value))

        def malloc_trim(self, pad: int) -> None:
            pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "_glibc", Library)
        with pytest.raises(KeyError), kept_memory():
            raise KeyError
    assert set_to == [*memory._KEEP.items(), *memory._DEFAULT.items()]
    with pytest.MonkeyPatch.context() as patch:  # elsewhere nothing happens
        patch.setattr(sys, "platform", "darwin")
        with kept_memory():
            pass


def test_real_errors_are_recognised() -> None:
    with pytest.raises(RuntimeError) as full:
        torch.empty(2**46)  # 256 TiB
    assert is_out_of_memory(full.value)
    with pytest.raises(MemoryError) as of_python:
        bytearray(2**62)
    assert is_out_of_memory(of_python.value)
    assert is_out_of_memory(torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"))
    with pytest.raises(RuntimeError) as shapes:
        torch.zeros(2) @ torch.zeros(3)
    assert not is_out_of_memory(shapes.value)
    assert not is_out_of_memory(ValueError("out of memory"))


def test_free_memory_is_what_new_tensors_can_take() -> None:
    import psutil

    assert 0 < free_bytes(torch.device("cpu")) <= psutil.virtual_memory().total


@LINUX
def test_a_run_that_does_not_fit_goes_on_with_fewer_images_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", IN_A_NARROW_PLACE, str(tmp_path / "got.pt")]
    # one heap: what other threads' heaps reserve counts against the limit as well
    env = {**os.environ, "MALLOC_ARENA_MAX": "1", "PYTHONPATH": str(Path(pl.__file__).parents[1])}
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert ran.returncode == 0, ran.stderr
    images, batch, status = torch.load(tmp_path / "got.pt", weights_only=True)
    assert batch in (1, 2, 4, 8)
    assert set(status) == {"done after 2 steps"}
    namespace: dict[str, object] = {}
    exec(WIDE, namespace)
    wide = namespace["wide"]()  # type: ignore[operator]
    asked = pl.render(wide, "7:*", batch=batch, **namespace["SETTINGS"])  # type: ignore[arg-type]
    assert asked.resolved.batch == batch
    # The same pictures but for rounding, which other thread counts bring.
    torch.testing.assert_close(images, asked.images, rtol=0, atol=1e-5)


class Narrow(nn.Module):
    """Sees the channels; has room for so many images with gradient, and for so many without."""

    def __init__(self, learning: int, looking: int) -> None:
        super().__init__()
        self.see = nn.Conv2d(3, 3, 1, bias=False)
        with torch.no_grad():
            self.see.weight.copy_(torch.eye(3)[:, :, None, None])
        self.learning, self.looking = learning, looking

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > (self.learning if x.requires_grad else self.looking):
            torch.empty(2**46)
        return self.see(x)


@pytest.mark.parametrize(
    ("learning", "looking", "batch"),
    [(3, 100, 3), (2, 100, 1), (100, 3, 3), (1, 2, 1)],
    ids=["steps, half", "steps, a sixth", "scores", "both"],
)
def test_half_as_many_go_on_and_the_pictures_are_the_same(learning: int, looking: int, batch: int) -> None:
    targets = ["see:0", "see:1", "see:2", "-see:0", "-see:1", "-see:2"]
    settings = {**QUICK, "size": 8, "snapshots": (0, 3)}
    roomy = pl.render(pl.Model(Narrow(100, 100), size=8), targets, batch=6, **settings)
    seen: list[pl.Progress] = []
    narrow = pl.render(pl.Model(Narrow(learning, looking), size=8), targets, batch=6, callback=seen.append, **settings)
    torch.testing.assert_close(narrow.images, roomy.images, rtol=0, atol=1e-6)
    torch.testing.assert_close(narrow.history, roomy.history, rtol=0, atol=1e-6)
    torch.testing.assert_close(narrow.snapshots[3], roomy.snapshots[3], rtol=0, atol=1e-6)
    assert narrow.targets == roomy.targets
    # What decides the last bits is recorded as it was done: with 6, then 3, then 1 at once.
    assert (roomy.resolved.batch, narrow.resolved.batch) == (6, batch)
    assert seen[-1].image_steps == seen[-1].total_image_steps == 18


def test_what_is_begun_again_does_not_count_as_done() -> None:
    seen: list[int] = []
    model, targets = pl.Model(Narrow(100, 2), size=8), ["see:0", "see:1", "see:2", "-see:0"]
    pl.render(model, targets, callback=lambda progress: seen.append(progress.image_steps), **QUICK)
    assert seen == [4, 8, 0, 2, 4, 6, 8, 10, 12]  # four at once, until their scoring fails; then two and two


def test_when_not_one_image_fits_the_error_is_the_allocators() -> None:
    with pytest.raises(RuntimeError) as caught:
        pl.render(pl.Model(Narrow(0, 100), size=8), ["see:0", "see:1"], **QUICK)
    assert is_out_of_memory(caught.value)
    assert not isinstance(caught.value, ModelError)


def test_an_allocators_error_inside_a_network_is_not_the_networks_fault() -> None:
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        pl.Model(Narrow(100, 2), size=8).tap(torch.zeros(3, 3, 8, 8), [Tap("see")])
