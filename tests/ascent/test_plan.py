"""The plan of a run: what is named is taken, what is not is chosen by trial, and why is said."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import pellucid as pl
from pellucid.ascent import plan as planning
from pellucid.ascent.plan import known_plans
from pellucid.ascent.trial import bytes_between, deviation, images_for, tried
from pellucid.ascent.working import Candidate, prepared
from pellucid.models.taps import Tap

LONG = {"steps": 4096, "size": 16}  # image-steps of one picture: a long run, which is tried first


class Cancels(nn.Module):
    """Sees the picture's mean times 256.5 - 256 = 0.5: bfloat16, with 8 bits, keeps 256.5 as 256 and sees nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Conv2d(3, 2, 1, bias=False)
        self.sum = nn.Conv2d(2, 1, 1, bias=False)
        with torch.no_grad():
            self.both.weight.copy_(torch.tensor([256.5, 256.0])[:, None, None, None].expand(2, 3, 1, 1))
            self.sum.weight.copy_(torch.tensor([1.0, -1.0])[None, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        return self.sum(self.both(x))


class OnlyFloat32(nn.Module):
    """Refuses to run under autocast, as code with fixed types does; the batch norm can be folded."""

    def __init__(self, says: str = "expected a float32 picture") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.says = says

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError(self.says)
        return self.norm(self.conv(x))


def small() -> pl.Model:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 3, padding=1))
    return pl.Model(net, size=16)


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    """Each test begins as a new process does."""
    known_plans.clear()
    yield
    known_plans.clear()


@pytest.fixture(autouse=True)
def bfloat16_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' processor computes in bfloat16, whichever it is: one without is slow at it, and as exact."""
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True, raising=False)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_fp16_supported", lambda: False, raising=False)


@pytest.mark.parametrize("steps", [2, 4096], ids=["short", "long"])
@pytest.mark.parametrize(
    "asked",
    [
        {"precision": "float32", "layout": "contiguous", "fold": False, "batch": 3},
        {"precision": "bfloat16", "layout": "channels_last", "fold": True, "batch": 2},
        {"precision": "float64", "layout": "channels_last", "batch": 1, "fold": False},
    ],
    ids=lambda asked: asked["precision"],
)
def test_what_the_recipe_names_is_taken_as_it_is(asked: dict[str, object], steps: int) -> None:
    got = pl.plan(small(), "3:*", steps=steps, device="cpu", **asked).resolved
    assert (got.device, got.size, got.threads) == ("cpu", (16, 16), torch.get_num_threads())
    assert {"precision": got.precision, "layout": got.layout, "fold": got.folded, "batch": got.batch} == asked


def test_a_precision_asked_for_is_taken_however_far_it_is_off() -> None:
    for steps in (2, 4096):
        assert pl.plan(pl.Model(Cancels()), "sum:0", size=16, steps=steps, precision="bfloat16").resolved.precision == (
            "bfloat16"
        )


def test_a_precision_that_cannot_run_is_not_replaced_when_asked_for() -> None:
    plan = pl.plan(pl.Model(OnlyFloat32()), "norm:0", **LONG, precision="bfloat16")
    assert plan.resolved.precision == "bfloat16"
    assert "expected a float32 picture" in plan.reasons[0]
    with pytest.raises(pl.PellucidError, match="expected a float32 picture"):
        pl.render(pl.Model(OnlyFloat32()), "norm:0", size=16, steps=2, precision="bfloat16")


def test_a_precision_the_device_lacks_is_an_error_that_names_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    for precision in ("bfloat16", "float16"):
        with pytest.raises(pl.PellucidError) as caught:
            pl.plan(small(), "3:0", precision=precision, device="cpu")
        assert str(caught.value) == f"no precision '{precision}' on cpu here. There are: float32, float64."


@pytest.mark.parametrize("steps", [2, 4096], ids=["short", "long"])
def test_bfloat16_that_is_far_off_gives_way_to_float32(steps: int) -> None:
    plan = pl.plan(pl.Model(Cancels()), ["both:0", "sum:0"], size=16, steps=steps, device="cpu")
    assert plan.resolved.precision == "float32"
    # Of the sum, 0.5 times the mean, nothing is left: 100%. `both` alone would pass: 256 of 256.5 is 0.2% off.
    assert any("bfloat16" in reason and "100.0% off float32" in reason for reason in plan.reasons)
    near = pl.plan(pl.Model(Cancels()), "both:0", size=16, steps=2, device="cpu")
    assert near.resolved.precision == "bfloat16"


def test_a_response_that_is_no_number_is_infinitely_far_off() -> None:
    exact = [torch.ones(2, 3), torch.ones(2, 3)]
    assert deviation([torch.ones(2, 3), torch.full((2, 3), float("nan"))], exact) == float("inf")
    assert deviation([torch.ones(2, 3), torch.ones(2, 3) * 1.01], exact) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("steps", [2, 4096], ids=["short", "long"])
def test_a_candidate_that_cannot_run_is_named_and_another_is_taken(steps: int) -> None:
    plan = pl.plan(pl.Model(OnlyFloat32()), "norm:0", size=16, steps=steps, device="cpu")
    assert plan.resolved.precision == "float32"
    assert any("cannot run here" in reason and "expected a float32 picture" in reason for reason in plan.reasons)
    failed = {str(trial.candidate) for trial in plan.trials if trial.failure}
    both = {f"bfloat16, {layout}, batch norms folded" for layout in ("channels_last", "contiguous")}
    assert failed == (both if steps > 2 else set())
    known_plans.clear()
    out = pl.plan(pl.Model(OnlyFloat32("DefaultCPUAllocator: can't allocate memory")), "norm:0", size=16, steps=steps)
    assert any("cannot run here: out of memory" in reason for reason in out.reasons)


def test_the_fastest_candidate_is_taken_and_the_usual_one_where_it_is_as_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    def plan_when(seconds: dict[tuple[str, int], float]) -> planning.Resolved:
        def tried_by_hand(model: pl.Model, candidate: Candidate, taps: object, images: Tensor, exact: object) -> object:
            trial = tried(model, candidate, taps, images, exact)  # type: ignore[arg-type]
            by_layout = seconds.get((candidate.layout, 0), 1.0) if candidate.precision == "float32" else 2.0
            return replace(trial, seconds=by_layout * seconds.get(("batch", len(images)), 1.0))

        monkeypatch.setattr(planning, "tried", tried_by_hand)
        known_plans.clear()
        return pl.plan(small(), ["3:0"] * 32, steps=128, size=32, device="cpu", lanes=1).resolved

    as_fast = plan_when({("contiguous", 0): 1.95, ("channels_last", 0): 2.0})
    assert (as_fast.precision, as_fast.layout) == ("bfloat16", "channels_last")
    faster = plan_when({("contiguous", 0): 0.5, ("channels_last", 0): 1.0})
    assert (faster.precision, faster.layout) == ("float32", "contiguous")
    usual = faster.batch
    assert usual == 32
    assert plan_when({("batch", usual // 2): 0.5}).batch == usual // 2
    assert plan_when({("batch", usual // 2): 0.95}).batch == usual


def test_short_runs_try_nothing_and_are_planned_alike() -> None:
    plans = [pl.plan(small(), "3:*", steps=8, size=16) for _ in range(3)]
    assert plans[0].trials == ()
    assert plans[0] == plans[1] == plans[2]
    assert known_plans == {}
    assert pl.plan(small(), "3:0", **LONG, trial=False).trials == ()


def test_a_second_long_run_takes_the_choice_of_the_first() -> None:
    first = pl.plan(small(), "3:0", **LONG)
    second = pl.plan(small(), "3:1", **LONG)
    assert first.trials
    assert second.trials == ()
    assert second.resolved == first.resolved
    assert second.reasons == ("chosen by an earlier trial on this machine",)
    assert len(known_plans) == 1


def test_what_decides_a_trial_is_part_of_its_memory() -> None:
    pl.plan(small(), "3:0", **LONG)
    others = [
        pl.plan(small(), "0:0", **LONG),
        pl.plan(small(), "3:0", steps=4096, size=24),
        pl.plan(small(), "3:0", **LONG, fold=False),
        pl.plan(pl.Model(nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(4))), size=16), "3:0", **LONG),
    ]
    assert all(plan.trials for plan in others)
    assert len(known_plans) == 1 + len(others)


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"precision": "float8"},
        {"layout": ["channels_last"]},
        {"folded": "maybe"},
        {"batch": 0},
        {"batch": "many"},
        {"bytes_per_image": None},
    ],
    ids=str,
)
def test_a_choice_that_makes_no_sense_is_measured_anew(entry: dict[str, object]) -> None:
    made = pl.plan(small(), "3:0", **LONG)
    (key,) = known_plans
    sound = dict(known_plans[key])
    known_plans[key] = {**sound, **entry} if entry else {}
    again = pl.plan(small(), "3:0", **LONG)
    assert again.trials
    assert again.resolved.batch == made.resolved.batch
    assert set(known_plans[key]) == set(sound)


@pytest.mark.parametrize("batch", [0, 8], ids=["chosen", "asked for"])
def test_memory_caps_the_batch_for_as_long_as_it_is_short(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    usual = pl.plan(small(), ["3:0"] * 16, steps=256, size=16, batch=batch, precision="float32")
    known_plans.clear()
    one = max(trial.bytes_per_image for trial in usual.trials)
    asked = {"steps": 256, "size": 16, "batch": batch, "precision": "float32"}

    def plan_with_room_for(images: float) -> pl.Plan:
        # 0.6 of what is free are for the tensors between forward and backward
        monkeypatch.setattr(planning, "free_bytes", lambda device: int(images * one / 0.6))
        return pl.plan(small(), ["3:0"] * 16, **asked)

    capped = plan_with_room_for(3.5)
    assert capped.resolved.batch == 3 if batch else capped.resolved.batch in (1, 3)
    assert capped.reasons[0].startswith("memory holds 3 images at once")
    assert plan_with_room_for(3.5).trials == ()
    enough = plan_with_room_for(1000)
    assert enough.trials  # there is room again: what was chosen in a narrow place is measured anew
    assert "memory" not in enough.reasons[0]
    least = plan_with_room_for(0.5)
    assert (least.trials, least.resolved.batch) == ((), 1)
    assert least.reasons[0].startswith("memory holds 1 image at once")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_bytes_of_an_image_are_counted_by_hand_and_without_weights(precision: str) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 256, 500))
    model, tap = pl.Model(net, size=16), Tap("3")
    worker = prepared(model, Candidate(precision, "contiguous", False), [tap], torch.device("cpu"))  # type: ignore[arg-type]
    # Kept are the picture [3, 16, 16], normalised, and the ReLU's result [8, 16, 16]; the 4 MB of weights are not.
    by_hand = (3 + 8) * 256 * (4 if precision == "float32" else 2)
    for batch in (1, 4):
        _, size = bytes_between(worker, [tap], images_for(model, batch, (16, 16), torch.device("cpu")))
        assert size / batch == pytest.approx(by_hand, rel=0.01)


def test_a_trials_choice_changes_a_picture_by_rounding_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is chosen within a precision: layout, folding, batch. In float64 the ascent has nothing to amplify."""
    settings = {"steps": 12, "size": 16, "precision": "float64", "transforms": "jitter:2"}
    plain = pl.render(small(), "3:*", trial=False, **settings)
    monkeypatch.setattr(planning, "_LONG_RUN", 1)
    chosen = pl.render(small(), "3:*", **settings)
    assert known_plans
    others = [pl.render(small(), "3:*", **settings, layout="contiguous", batch=batch) for batch in (1, 4)]
    for other in (chosen, *others):
        torch.testing.assert_close(other.images, plain.images, rtol=0, atol=1e-6)
    assert {other.resolved.batch for other in others} == {1, 4}


def test_working_copies_are_made_once_and_go_with_their_network() -> None:
    own = pl.Model(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), size=8)
    chosen, exact = Candidate("bfloat16", "channels_last", True), Candidate("float32", "channels_last", False)
    cpu = torch.device("cpu")
    first = prepared(own, chosen, [Tap("1")], cpu)
    assert prepared(own, chosen, [Tap("1")], cpu) is first
    assert prepared(own, chosen, [Tap("0")], cpu) is not first  # another layer has to be left to be seen
    assert prepared(own, exact, [Tap("0")], cpu) is prepared(own, exact, [Tap("1")], cpu)
    gone = weakref.ref(first)
    del own, first
    gc.collect()
    assert gone() is None


def test_a_twin_runs_modules_of_its_own_on_the_same_weights() -> None:
    model = pl.Model(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), size=8)
    twin = model.twin()
    images = torch.rand(2, 3, *model.size)
    assert torch.equal(twin(images), model(images))
    assert (twin.weights_hash, twin.layers) == (model.weights_hash, model.layers)
    assert not set(map(id, twin._module.modules())) & set(map(id, model._module.modules()))
    ours, theirs = (dict(one._module.named_parameters()) for one in (model, twin))
    assert all(theirs[name] is parameter for name, parameter in ours.items())
