"""The filter language: what is read, what is written, what matches, and how a refusal reads."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.requirement import Requirement, parse, parse_all
from tests.protocol.refusal import may_refuse
from tests.protocol.strategy import PLAIN

KEYS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,10}", fullmatch=True)
VALUES = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(['"', "\\", '\\"', "a b", "", "=", '"a"'])
COMPARISONS = st.sampled_from(["=", "!=", ">", ">=", "<", "<=", "in"])
COMPARING = st.builds(Requirement, KEYS, COMPARISONS, VALUES)
REQUIREMENTS = COMPARING | st.builds(Requirement, KEYS, st.sampled_from(["exists", "absent"]))

WORKER: dict[str, Any] = {
    "gpu_memory_mb": 24_000,
    "gpu_model": "NVIDIA A100-SXM4",
    "cuda_version": "12.10",
    "zone": "EU-west",
    "preemptible": True,
    "off": False,
    "empty": None,
    "load": 0.25,
    "tags": ("fast", "lab=3"),
    "models": ["resnet", "vit"],
    "io_paths": {"input": "/in", "filesystem": "vast"},
    "dotted.key": "x",
}


@given(REQUIREMENTS)
def test_what_is_written_is_read_back(one: Requirement) -> None:
    assert parse(str(one)) == (one,)


@given(st.text(max_size=40))
def test_whatever_is_typed_is_read_and_written_alike_or_refused_in_one_line(text: str) -> None:
    with may_refuse(InvalidRequest):
        for one in parse(text):
            assert parse(str(one)) == (one,)
            one.matches(WORKER)
            one.explain(WORKER)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gpu_memory_mb>=20000", True), ("gpu_memory_mb >= 24000", True), ("gpu_memory_mb>24000", False),
        ("gpu_memory_mb<24000.5", True), ("gpu_memory_mb<=24000", True), ("gpu_memory_mb!=24000", False),
        ("gpu_memory_mb=24e3", True), ("gpu_memory_mb==24000", True), ("gpu_memory_mb:24000", True),
        ("load=nan", False), ("load>=lots", False), ("zone>=9", False), ("gpu_memory_mb~^24", True),
        ("gpu_model~a100", True), ("gpu_model~^A100", False), ('gpu_model="nvidia a100-sxm4"', True),
        ("cuda_version>=12.4", True), ("cuda_version<12.9", False), ("cuda_version=12.10", True),
        ("cuda_version=12.1", False), ("cuda_version>12", True), ("cuda_version<13", True),
        ("zone=eu-WEST", True), ("zone in us-east,eu-west", True), ("zone in us-east", False), ("zone!=us", True),
        ("preemptible=true", True), ("preemptible=false", False), ("off=false", True), ("off", True),
        ("zone", True), ("!zone", False), ("nothing", False), ("!nothing", True), ("empty", False), ("!empty", True),
        ("nothing=1", False), ("nothing!=1", True), ("nothing>1", False),
        ("load<0.5", True), ("load>.2", True),
        ("tags=fast", True), ("tags=slow", False), ("tags!=slow", True), ("tags!=fast", False), ("tags~^lab", True),
        ("models in vit,bert", True), ("models in bert", False),
        ("io_paths.filesystem=vast", True), ("io_paths.input", True), ("!io_paths.output", True),
        ("io_paths.input.deeper", False), ("dotted.key=x", True),
        ("zone gpu_memory_mb>1 !nothing", True), ("zone gpu_memory_mb<1", False), ("", True), ("   ", True),
    ],
)  # fmt: skip
def test_matching(text: str, expected: bool) -> None:
    assert all(one.matches(WORKER) for one in parse(text)) is expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gpu >=", "can't read '>='"),
        (">=3", "can't read '>=3'"),
        ("zone=a =b", "can't read '=b'"),
        ("a=1 9b=2", "can't read '9b=2'"),
        ("name~(", "not a regular expression"),
        ("!a=3", "write a!=3 instead"),
        ('a="b', "can't read"),
        ("a&b", "can't read 'a&b'"),
        ("gpu_count>=x", "gpu_count is a number, and 'x' is none"),
        ("zone=a cpus!=many", "cpus is a number, and 'many' is none"),
        ("gpu_count in 4,all", "gpu_count is a number, and 'all' is none"),
        ("memory_mb>nan", "memory_mb is a number, and 'nan' is none"),
        ("gpu_memory_mb>=40G", "gpu_memory_mb is a number, and '40G' is none: write gpu_memory_mb>=40960"),
    ],
)
def test_a_refusal_points_at_the_first_word_not_understood(text: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        parse(text)
    assert words in error.value.message
    assert "\n" not in error.value.message


def test_a_refusal_says_what_is_needed_and_what_there_is() -> None:
    assert (
        parse("gpu_memory_mb>=40000")[0].explain(WORKER) == "doesn't meet gpu_memory_mb>=40000: gpu_memory_mb is 24000"
    )
    assert parse("zone2=a")[0].explain(WORKER) == "doesn't meet zone2=a: zone2 is not set"
    assert parse("tags=slow")[0].explain(WORKER) == "doesn't meet tags=slow: tags is fast,lab=3"


@given(REQUIREMENTS, st.dictionaries(KEYS, PLAIN, max_size=3))
def test_no_property_of_any_worker_breaks_a_comparison(one: Requirement, properties: dict[str, Any]) -> None:
    one.matches({**properties, one.key: next(iter(properties.values()), 1)})
    one.explain(properties)


@given(KEYS, VALUES, PLAIN)
def test_equal_and_unequal_exclude_each_other(key: str, value: str, found: Any) -> None:
    properties = {key: found}
    assert Requirement(key, "=", value).matches(properties) != Requirement(key, "!=", value).matches(properties)


@given(st.lists(COMPARING, max_size=3))
def test_lines_are_one_conjunction(several: list[Requirement]) -> None:
    lines = [str(one) for one in several]
    assert parse_all(lines) == parse(" ".join(lines)) == tuple(several)
