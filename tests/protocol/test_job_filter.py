"""Filtering jobs: every field is known by name, times are ages or dates, and what isn't known is said (hard use 27, 53)."""

from types import NoneType
from typing import get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from opsconsole_protocol.api import job_filter
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.requirement import CONDITIONS_MAX, LINE_CHARACTERS_MAX
from tests.protocol import sample
from tests.protocol.refusal import may_refuse

JOB_ROW = replace(sample.JOB_ROW, command="python train.py --lr 1", task_counts={"running": 4})
HOUR_MS = 3_600_000
NOW_MS = JOB_ROW.created_at_ms + 30 * HOUR_MS


def meets(text: str) -> bool:
    keeps = job_filter.parse(text).predicate(job_filter.properties_by(lambda: NOW_MS), job_filter.haystack)
    return keeps is None or keeps(JOB_ROW)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("created>1d", True), ("created<1d", False), ("created>30h", False), ("created>=30h", True), ("created<31h", True),
        ("started>1h", True), ("finished<1h", False), ("created>2020-01-01", True), ("created>2030-01-01", False),
        ("created<2030-01-01T12:00", True), ("created_at_ms>0", True),
        (f"user={JOB_ROW.submitted_by}", True), ("user=nobody", False), (f"submitted_by~^{JOB_ROW.submitted_by[0]}", True),
        (f"worker={JOB_ROW.worker}", True), ("reason~.", True), ("priority>=5", True), ("num_tasks>1", True),
        ("tasks.running>=1", True), ("task_counts.running>=1", True), ("command~train", True), ("command~nothing", False),
        ("state in running,pending", True), ("state!=failed", True), ("priority!=5", False), ('"priority>"', False),
        ("train.py", True), ("!train.py", False), ("project=vision lr", True),
    ],
)  # fmt: skip
def test_fields_and_times(text: str, expected: bool) -> None:
    assert meets(text) is expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bogus=1", "a job has no field bogus: the fields are"),
        ("stat=running", "did you mean state"),
        ("usr=ana", "did you mean user"),
        ("created=1d", "created is a time: write for example created>1d"),
        ("created>soon", "'soon' is none: write for example created>1d"),
        ("created>99999-01-01", "is none"),
        ("finished~x", "finished is a time"),
        ("name~(a", "not a regular expression"),
        ("state=faild", "no job is 'faild': did you mean failed?"),
        ("state!=x", "no job is 'x': states are pending, held"),
        ("state=pending,held", "a job has one state: write state in pending,held"),
        ("state in pending,hled", "no job is 'hled': did you mean held?"),
        ("priority>high", "priority is a number, and 'high' is none"),
        ("priority in 1,high", "priority is a number, and 'high' is none"),
        ("output_bytes>=1G", "output_bytes is a number, and '1G' is none"),
        ("finished_at_ms>today", "finished_at_ms is a number, and 'today' is none"),
        ("tasks.failed>some", "tasks.failed is a number, and 'some' is none"),
        ("tasks.fialed>0", "no task is 'fialed': did you mean failed?"),
        ("lr priority>", "priority> what? Write a value after it, such as priority=x"),
        ("name=", "name= what?"),
        ("tasks>3", "tasks has parts: write tasks.failed>0"),
        ("x" * (LINE_CHARACTERS_MAX + 1), "at most 4000 characters"),
        ("a=1 " * 200, "no field a"),
        ("id=1 " * (CONDITIONS_MAX + 1), "more than the 100"),
    ],
)
def test_what_cannot_be_a_filter_is_refused_in_one_line(text: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        job_filter.parse(text)
    assert words in error.value.message
    assert "\n" not in error.value.message


def test_every_field_that_is_a_number_takes_numbers_only() -> None:
    for name, hint in get_type_hints(type(JOB_ROW)).items():
        kinds = set(get_args(hint)) - {NoneType, Ellipsis} or {hint}
        if kinds <= {int, float}:
            with pytest.raises(InvalidRequest, match=f"{name} is a number, and 'x' is none"):
                job_filter.parse(f"{name}>=x")


KEYS = st.sampled_from([*job_filter.FIELDS, "tasks.running", "bogus"])
OPS = st.sampled_from(["=", "!=", ">", ">=", "<", "<=", "~", " in "])
VALUES = st.sampled_from(["1d", "2026-01-31", "9" * 3_000, "(a+)+$", "nan", '""', "a,b"]) | st.text(max_size=10)


@given(KEYS, OPS, VALUES)
def test_every_condition_on_every_field_is_answered_or_refused(key: str, op: str, value: str) -> None:
    with may_refuse(InvalidRequest):
        meets(f"{key}{op}{value}")
