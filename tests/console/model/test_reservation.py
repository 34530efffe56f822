"""Times that people type for reservations, and reservations in words."""

import datetime as dt
import re

import pytest
from msgspec.structs import replace

from opsconsole_console.model.reservation import (
    from_and_until,
    holder_words,
    read_reserve,
    reserved_words,
    when,
    worker_words,
)
from opsconsole_protocol.error import InvalidRequest
from tests.protocol.sample import RESERVATION_ROW, WORKER_ROW

NOW_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


def test_times_are_now_or_a_date_or_from_the_beginning_on() -> None:
    assert from_and_until("now", "+8h", NOW_MS) == (NOW_MS, NOW_MS + 8 * HOUR_MS)
    assert from_and_until("+1h", "+8h", NOW_MS) == (NOW_MS + HOUR_MS, NOW_MS + 9 * HOUR_MS)
    there = round(dt.datetime(2026, 12, 1, 9).astimezone().timestamp() * 1000)
    assert from_and_until("2026-12-01T09:00", "+30m", NOW_MS) == (there, there + HOUR_MS // 2)
    assert from_and_until("2026-12-01T09:00Z", "now", NOW_MS) == (1_796_115_600_000, NOW_MS)


@pytest.mark.parametrize("text", ["", "tomorrow", "8h", "+", "+x", "2026-13-01", "9999999-01-01", "\x1b[31m"])
def test_what_is_no_time_is_said_in_one_line(text: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        from_and_until("now", text, NOW_MS)
    assert "\n" not in error.value.message
    assert "\x1b" not in error.value.message


def test_in_words() -> None:
    row = replace(RESERVATION_ROW, maintenance=False)
    assert holder_words(row) == "project vision, 4 GPUs"
    assert holder_words(replace(row, project="", gpus=None)) == "ana"
    assert holder_words(RESERVATION_ROW) == "maintenance"
    assert worker_words(replace(row, workers=("a", "b", "c", "d", "e"))) == "a, b, c and 2 more"
    planned = replace(WORKER_ROW, reservation=replace(row, in_force=False))
    expected = f"for project vision, 4 GPUs from {when(row.from_ms)} until {when(row.until_ms)} (why)"
    assert reserved_words(planned) == expected
    assert reserved_words(WORKER_ROW) == ""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "name a worker first"),
        ("project=vision until=+1h", "name a worker first"),
        ("gpu-a project=vision", "say when it ends"),
        ("gpu-a prject=vision until=+1h", "'prject' is none of project, person, from, until, gpus, reason"),
        ("gpu-a maintenance until=soon", "'soon' is no time"),
        ("gpu-a project=p until=+1h gpus=0", "gpus=0 is no number"),
        ("gpu-a project=p until=+1h gpus=²", "gpus=² is no number"),
        ("gpu-a reason='a", "can't be read"),
    ],
)
def test_a_line_that_can_not_be_taken_says_why(line: str, words: str) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(words)):
        read_reserve(line, NOW_MS)


def test_a_line_is_a_reservation() -> None:
    found = read_reserve("gpu-a gpu-b maintenance from=+1h until=+2h reason='a new driver'", NOW_MS)
    assert (found.workers, found.maintenance, found.reason) == (("gpu-a", "gpu-b"), True, "a new driver")
    assert (found.from_ms - NOW_MS, found.until_ms - found.from_ms) == (3_600_000, 7_200_000)
    assert read_reserve("gpu-a person=ben until=+2h gpus=3", NOW_MS).gpus == 3
