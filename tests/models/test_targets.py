"""Laws of targets: text and value round-trip, slugs are unique, errors say where."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.errors import TargetError
from pellucid.models.targets import SCORES, Position, Target, Term

# The shape checker that the tests install picks random items of tuples to check, and hypothesis notices the draw.
no_random_check = pytest.mark.filterwarnings("ignore:Do not use the `random` module")

SPAN = st.one_of(
    st.just((0, None)),
    st.integers(0, 99).map(lambda i: (i, i + 1)),
    st.tuples(st.integers(0, 9), st.one_of(st.none(), st.integers(10, 99))),
)
POSITION = st.one_of(
    st.builds(Position, st.sampled_from(["cls", "patch", "centre"])),
    st.builds(Position, st.just("rectangle"), SPAN, SPAN),
    st.integers(1, 999).map(lambda count: Position("raster", count=count)),
    st.one_of(st.sampled_from(["m.npy", "a b.npy", "x@c", '"q', "@4,7"]), st.text(min_size=1, max_size=6)).map(
        lambda file: Position("mask", file=file)
    ),
)
LAYER = st.one_of(
    st.sampled_from(["mixed4a", "Mixed4a", "relu#2", "a/layer4", "prob", "neg", "dir", "conv-1", "x-at-c", "1", "aux"]),
    st.from_regex(r"[a-zA-Z0-9_]{1,4}(\.[a-zA-Z0-9_]{1,4}){0,2}", fullmatch=True),
    st.text(min_size=1, max_size=6),
)
NAME = st.one_of(
    st.sampled_from(["tabby", "tabby cat", "a + b", "a - b", '"q', "C:\\x.npy", "x@c", "x@4,7", "281", "-", "x +"]),
    st.text(min_size=1, max_size=8),
)
CHANNELS = st.one_of(st.integers(0, 10**6), st.just("*"), st.tuples(st.integers(0, 50), st.integers(50, 99)))
SIGNED = {"negative": st.booleans(), "weight": st.one_of(st.just(1.0), st.floats(-1e30, 1e30))}
SCORE = st.one_of(st.sampled_from(["", *SCORES]), st.floats(-1e30, 1e30).map(lambda level: f"level={level}"))
PLACE = st.one_of(st.none(), POSITION)
TERM = st.one_of(
    st.builds(Term, st.just("unit"), LAYER, CHANNELS, PLACE, score=SCORE, **SIGNED),
    st.builds(Term, st.just("layer"), LAYER, st.none(), PLACE, **SIGNED),
    st.builds(Term, st.sampled_from(["logit", "prob", "logprob", "probe"]), name=NAME, **SIGNED),
    st.builds(Term, st.just("dir"), LAYER, st.none(), PLACE, name=NAME, **SIGNED),
    st.builds(Term, st.sampled_from(["caricature", "inversion", "match"]), LAYER, name=NAME, **SIGNED),
)
TARGET = (
    st.lists(TERM, min_size=1, max_size=3)
    .filter(lambda terms: sum(term.is_several for term in terms) < 2)
    .map(lambda terms: Target(tuple(terms)))
)


@no_random_check
@settings(max_examples=300, deadline=None)
@given(TARGET)
def test_text_and_value_round_trip(target: Target) -> None:
    assert Target.parse(str(target)) == target
    assert hash(Target.parse(str(target))) == hash(target)


@no_random_check
@settings(max_examples=300, deadline=None)
@given(TARGET)
def test_slugs_are_safe_in_files_and_urls(target: Target) -> None:
    slug = target.slug
    assert re.fullmatch(r"[a-z0-9_~.-]{1,120}", slug)
    assert slug[0] not in "-.~"
    assert slug[-1] != "."
    assert slug.split(".")[0] not in {"con", "aux", "nul", "prn", "com1"}


@no_random_check
@settings(max_examples=300, deadline=None)
@given(TARGET, TARGET)
def test_different_targets_have_different_slugs(one: Target, other: Target) -> None:
    assert (one.slug.lower() == other.slug.lower()) == (one == other)


def test_slugs_stay_apart_over_a_dense_set_of_similar_targets() -> None:
    layers = ["a", "A", "b", "a.b", "a-b", "a_b", "a/b", "a#2", "neg", "logit", "1", "at", "a-1", "all", "a-at-c"]
    texts = {f'"{layer}"{channel}{at}' for layer in layers for channel in ("", ":1", ":12", ":1-2", ":*")
             for at in ("", "@c", "@1,2", "@1,:", "@1:3,2:4", "@cls")}  # fmt: skip
    texts |= {f"{kind}:{name}" for kind in ("logit", "prob", "probe") for name in ("1", "a", "A", "a b", "a-b", "at-c")}
    texts |= {f"dir:a@{name}" for name in ("x.npy", "X.npy", "y/x.npy", "x.npy@c")}
    texts |= {f"{sign}{text}" for text in texts for sign in ("-", "2*", "-0.5*")}
    texts |= {f"{one} + {other}" for one in ("a:1", "b:2", "2*a:1") for other in ("a:1", "b:2", "neg:a:1")}
    targets = {Target.parse(text) for text in texts}
    assert len({target.slug.casefold() for target in targets}) == len(targets) > 1000


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("mixed4a:12", Term("unit", "mixed4a", 12)),
        ("mixed4a:12@4,7", Term("unit", "mixed4a", 12, Position.cell(4, 7))),
        ("mixed4a:12@c", Term("unit", "mixed4a", 12, Position("centre"))),
        ("mixed4a:12@4,:", Term("unit", "mixed4a", 12, Position("rectangle", (4, 5), (0, None)))),
        ("mixed4a:12@2:5,3:9", Term("unit", "mixed4a", 12, Position("rectangle", (2, 5), (3, 9)))),
        ("blocks.3:12@cls", Term("unit", "blocks.3", 12, Position("cls"))),
        ("blocks.3:12@patch", Term("unit", "blocks.3", 12, Position("patch"))),
        ("mixed4a:12@raster:40", Term("unit", "mixed4a", 12, Position("raster", count=40))),
        ("mixed4a:12@mask:my/m.npy", Term("unit", "mixed4a", 12, Position("mask", file="my/m.npy"))),
        ('mixed4a:12@mask:"a b@c.npy"', Term("unit", "mixed4a", 12, Position("mask", file="a b@c.npy"))),
        ("dir:mixed4a@x.npy@mask:m.npy", Term("dir", "mixed4a", None, Position("mask", file="m.npy"), name="x.npy")),
        ("mixed4a:3-17", Term("unit", "mixed4a", (3, 17))),
        ("mixed4a:*", Term("unit", "mixed4a", "*")),
        ("mixed4a", Term("layer", "mixed4a")),
        ("-mixed4a:12", Term("unit", "mixed4a", 12, negative=True)),
        ("neg:mixed4a:12", Term("unit", "mixed4a", 12, negative=True)),
        ("logit:tabby", Term("logit", name="tabby")),
        ("logit:tabby, tabby cat", Term("logit", name="tabby, tabby cat")),
        ("logit:281", Term("logit", name="281")),
        ("prob:281", Term("prob", name="281")),
        ("dir:mixed4a@my dir/x.npy", Term("dir", "mixed4a", name="my dir/x.npy")),
        ("dir:mixed4a@x.npy@c", Term("dir", "mixed4a", position=Position("centre"), name="x.npy")),
        ("probe:curves", Term("probe", name="curves")),
        ("0.7*mixed4a:3", Term("unit", "mixed4a", 3, weight=0.7)),
        ("-0.7 * mixed4a:3", Term("unit", "mixed4a", 3, weight=0.7, negative=True)),
        ("0.7*neg:mixed4a:3", Term("unit", "mixed4a", 3, weight=-0.7)),
        ("relu#2:5", Term("unit", "relu#2", 5)),
        ("a/layer4:3", Term("unit", "a/layer4", 3)),
        ("features.9:17", Term("unit", "features.9", 17)),
        ('"prob":3', Term("unit", "prob", 3)),
    ],
)
def test_every_form_of_the_grammar_is_read(text: str, term: Term) -> None:
    assert Target.parse(text) == Target((term,))
    assert Target.parse(f"  {text} ") == Target((term,))


def test_sums_take_signs_between_their_terms() -> None:
    target = Target.parse("0.7*a/layer4:3 + b/layer4:9 - 2*conv1:1@c + -logit:tabby")
    assert [(term.weight, term.negative) for term in target.terms] == [(0.7, False), (1, False), (2, True), (1, True)]
    assert str(target) == "0.7*a/layer4:3 + b/layer4:9 - 2*conv1:1@c - logit:tabby"
    assert target.layers == ("a/layer4", "b/layer4", "conv1")


def test_negating_twice_is_the_same_target() -> None:
    target = Target.parse("layer:3 - layer2:5")
    assert str(-target) == "-layer:3 + layer2:5"
    negated = -target
    assert -negated == target


def test_plain_targets_have_plain_slugs() -> None:
    slugs = {"mixed4a:12": "mixed4a-12", "-mixed4a:12@c": "neg-mixed4a-12-at-c", "logit:281": "logit-281",
             "features.9:17@4,7": "features.9-17-at-4-7", "mixed4a": "mixed4a", "mixed4a:*": "mixed4a-all"}  # fmt: skip
    assert {text: Target.parse(text).slug for text in slugs} == slugs
    assert Target.parse("Mixed_5b:12").slug.startswith("mixed_5b-12~")


def test_ranges_expand_to_one_target_per_channel() -> None:
    def units_of(layer: str) -> int:
        return {"layer": 20, "layer2": 4}[layer]

    expanded = Target.parse("layer:3-17@c").expand(units_of)
    assert [str(target) for target in expanded] == [f"layer:{i}@c" for i in range(3, 18)]
    assert [str(target) for target in Target.parse("-layer:0 + 2*layer2:*").expand(units_of)] == [
        f"-layer:0 + 2*layer2:{i}" for i in range(4)
    ]
    assert Target.parse("logit:tabby").expand(units_of) == [Target.parse("logit:tabby")]
    for text in ("layer2:4", "layer2:0-4", "layer:3 + layer2:9"):
        with pytest.raises(TargetError, match=r"out of range in .*layer2 has 4 units \(0 to 3\)"):
            Target.parse(text).expand(units_of)


def test_windows_lie_inside_the_map() -> None:
    assert Position("centre").window(7, 4) == (slice(3, 4), slice(2, 3))
    assert Position.cell(4, 7).window(8, 8) == (slice(4, 5), slice(7, 8))
    assert Position("rectangle", (2, 5), (0, None)).window(8, 8) == (slice(2, 5), slice(0, None))
    for position in (Position.cell(4, 8), Position("rectangle", (0, 9), (0, None))):
        with pytest.raises(TargetError, match="outside the 8x8 map: rows 0 to 7"):
            position.window(8, 8)
    with pytest.raises(TargetError, match="names tokens"):
        Position("cls").window(8, 8)


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("", "at its end", "the name of a layer"),
        ("mixed4a:", "at its end", "a channel"),
        ("mixed4a:x1", r"at 'x1' \(character 9\)", r"a number \(12\), a range \(3-17\)"),
        ("mixed4a:-3", r"at '-3' \(character 9\)", "a channel"),
        ("mixed4a:9-3", r"\(character 1\)", r"channels=\(9, 3\)"),
        ("mixed4a:3@", "at its end", "a position"),
        ("mixed4a:3@4", r"at '4' \(character 11\)", "a position"),
        ("mixed4a:3@5:2,1", r"\(character 1\)", "holds no rows"),
        ("a:3+b:4", r"at '\+b:4' \(character 4\)", "with spaces around it"),
        ("a:3 + ", r"at ' \+' \(character 4\)|at its end", "."),
        ("a:3 b:4", r"at ' b:4' \(character 4\)", "with spaces around it"),
        ("dir:layer", "at its end", "the file of the direction"),
        ("logit:", "at its end", "a class name or number"),
        ('"a:3', r"at '\"a:3' \(character 1\)", "a closing quote"),
        ("1e999*a:3", r"\(character 7\)", "finite"),
        ("mixed 4a:3", r"\(character 6\)", "with spaces around it"),
    ],
)
def test_errors_name_the_text_the_place_and_the_forms(text: str, place: str, expected: str) -> None:
    with pytest.raises(TargetError, match=place) as caught:
        Target.parse(text)
    message = str(caught.value)
    assert message.startswith(f"cannot read the target {text!r}")
    assert re.search(expected, message)
    assert "Forms: layer:12, " in message
    assert "\n" not in message


def test_two_ranges_in_a_sum_are_refused() -> None:
    with pytest.raises(TargetError, match="more than one range"):
        Target.parse("a:* + b:1-3")


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (lambda: Term("unit", "layer"), "channels=None does not fit"),
        (lambda: Term("unit", "", 3), "needs a layer"),
        (lambda: Term("logit"), "needs a name"),
        (lambda: Term("logit", "layer", name="x"), "has no layer"),
        (lambda: Term("logit", name="x", position=Position("centre")), "has no position"),
        (lambda: Term("unit", "layer", -3), "channels=-3"),
        (lambda: Term("unit", "layer", 3, weight=float("nan")), "finite"),
        (lambda: Target(()), "at least one term"),
    ],
)  # fmt: skip
def test_values_that_are_no_target_are_refused(term: object, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        term()  # type: ignore[operator]


def test_reading_a_target_imports_no_torch() -> None:
    code = (
        "import sys; from pellucid.models.targets import Target; Target.parse('a:1'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
