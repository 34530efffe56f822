"""Ids: their alphabet, their forms, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.ids import (
    ALPHABET,
    JOB_ID_LENGTH,
    JobId,
    attempt_id,
    check_job_id,
    job_id,
    spell,
    split_attempt_id,
    split_task_id,
    task_id,
)


def test_the_alphabet_has_no_look_alikes() -> None:
    assert len(set(ALPHABET)) == 32
    assert not set("ilou") & set(ALPHABET)
    assert "".join(sorted(ALPHABET)) == ALPHABET, "ids sort as their numbers do"


@given(st.integers(0, 2**50 - 1), st.integers(0, 2**50 - 1))
def test_job_ids_are_unique_and_sort_as_their_numbers(one: int, two: int) -> None:
    first, second = job_id(one), job_id(two)
    assert len(first) == JOB_ID_LENGTH
    assert check_job_id(first) == first
    assert (first < second) == (one < two)


def test_spell_takes_the_lowest_bits() -> None:
    assert spell(0, 3) == "000"
    assert spell(31, 2) == "0z"
    assert spell(2**10 + 1, 2) == "01"


@pytest.mark.parametrize("text", ["", "abc", "a" * 11, "ABCDEFGHJK", "abcdefghi0", "abcdefgh\n0", "../../etc0"])
def test_what_is_no_job_id_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        check_job_id(text)
    assert "\n" not in error.value.message


@given(st.integers(0, 2**50 - 1), st.integers(0, 999_999_999))
def test_task_ids_split_into_what_they_were_made_of(bits: int, index: int) -> None:
    job = job_id(bits)
    assert task_id(job, index) == f"{job}/task-{index}"
    assert split_task_id(task_id(job, index)) == (job, index)
    assert split_task_id(job) == (job, None)


@pytest.mark.parametrize(
    "text", ["/", "/task-0", "ab/", "ab/task-", "ab/task-01", "ab/task--1", "ab/task-0/x", "ab/0-1"]
)
def test_what_is_no_task_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="JOB/task-N"):
        split_task_id(text)


def test_a_prefix_of_a_job_names_a_task_too() -> None:
    assert split_task_id("7k3/task-12") == split_task_id("7k3/12") == ("7k3", 12)


def test_an_attempt_id_is_a_file_name_and_differs_after_a_restored_backup() -> None:
    job = JobId("7k3m9q2w4t")
    assert attempt_id(job, 3, 1, 0b00001_00010_00011_00100) == "7k3m9q2w4t.3.1.1234"
    assert attempt_id(job, 3, 1, 5) != attempt_id(job, 3, 1, 6)


@given(st.integers(0, 2**50 - 1), st.integers(0, 999_999_999), st.integers(0, 999_999_999), st.integers(0, 2**20 - 1))
def test_attempt_ids_split_into_what_they_were_made_of(bits: int, index: int, number: int, random_bits: int) -> None:
    job = job_id(bits)
    assert split_attempt_id(attempt_id(job, index, number, random_bits)) == (job, index, number)


@pytest.mark.parametrize(
    "text", ["", "ab", "ab.0.1", "ab.0.1.", "ab..1.abcd", "ab.x.1.abcd", "ab.0.1.ab/d", "../b.0.1.abcd", "ab.٣.1.abcd"]
)
def test_what_is_no_attempt_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is not the id of an attempt"):
        split_attempt_id(text)
