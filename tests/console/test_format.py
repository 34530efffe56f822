"""Units above all: what goes in is named in the argument, what comes out is what people read."""

from datetime import UTC, timedelta, timezone

import pytest

from opsconsole_console import format as fmt

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000


@pytest.mark.parametrize(
    ("duration_ms", "text"),
    [
        (None, "–"),
        (0, "0s"),
        (49, "0s"),
        (400, "0.4s"),
        (SECOND, "1s"),
        (59_999, "59s"),
        (MINUTE, "1m"),
        (18 * MINUTE + 59_999, "18m"),
        (2 * HOUR, "2h"),
        (47 * HOUR, "47h"),
        (2 * DAY, "2d"),
        (-18 * MINUTE, "-18m"),
    ],
)
def test_duration_is_one_figure(duration_ms: float | None, text: str) -> None:
    assert fmt.duration(duration_ms) == text


@pytest.mark.parametrize(
    ("duration_ms", "text"),
    [
        (None, "–"),
        (41 * SECOND, "41s"),
        (18 * MINUTE + 5 * SECOND, "18m 05s"),
        (2 * HOUR + 5 * MINUTE, "2h 05m"),
        (3 * DAY + 4 * HOUR, "3d 04h"),
        (-MINUTE, "-1m 00s"),
    ],
)
def test_duration_has_two_figures_where_asked_for(duration_ms: float | None, text: str) -> None:
    assert fmt.duration(duration_ms, figures=2) == text


def test_age_never_lies_in_the_future() -> None:
    assert fmt.age(1_000_000, 1_000_000 + 90 * SECOND) == "1m"
    assert fmt.age(2_000_000, 1_000_000) == "0s"
    assert fmt.age(None, 1_000_000) == "–"


def test_size() -> None:
    assert fmt.size(3_200_000_000) == "3.2 GB"
    assert fmt.size(None) == "–"


@pytest.mark.parametrize(
    ("used_mb", "total_mb", "text"),
    [
        (62_464, 81_920, "61/80G"),
        (2_048, 81_920, "2/80G"),
        (300, 46_068, "0.3/45G"),
        (0, 24_576, "0/24G"),
        (None, 24_576, "–/24G"),
        (1, None, "–"),
    ],
)
def test_memory_takes_mebibytes_and_shows_gibibytes(used_mb: float | None, total_mb: float | None, text: str) -> None:
    assert fmt.memory(used_mb, total_mb) == text


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(None, "–"), (0, "0 %"), (0.41, "41 %"), (0.001, "1 %"), (0.9999, "99 %"), (1, "100 %")],
)
def test_percent_says_done_only_when_done(fraction: float | None, text: str) -> None:
    assert fmt.percent(fraction) == text


def test_counts() -> None:
    assert fmt.count(12_034) == "12,034"
    assert fmt.count(None) == "–"
    assert fmt.plural(1, "job") == "1 job"
    assert fmt.plural(12_034, "job") == "12,034 jobs"
    assert fmt.plural(2, "match", "matches") == "2 matches"


def test_clock_has_the_zone_it_is_told() -> None:
    assert fmt.clock(0, UTC) == "00:00:00"
    assert fmt.clock(43_451_999, UTC) == "12:04:11"
    assert fmt.clock(0, timezone(timedelta(hours=2))) == "02:00:00"


def test_a_stamp_has_the_date() -> None:
    assert fmt.stamp(43_451_999, UTC) == "1970-01-01 12:04:11"


@pytest.mark.parametrize(
    ("delta_ms", "text"),
    [(0, "+0.000s"), (12, "+0.012s"), (12_300, "+12.3s"), (18 * MINUTE, "+18m"), (-12, "-0.012s")],
)
def test_delta(delta_ms: float, text: str) -> None:
    assert fmt.delta(delta_ms) == text
    assert len(text) <= 8


@pytest.mark.parametrize(("memory_mb", "text"), [(0, "0M"), (40, "40M"), (600, "0.6G"), (17_408, "17G")])
def test_memory_in_use_in_a_few_cells(memory_mb: int, text: str) -> None:
    assert fmt.used_memory(memory_mb) == text


def test_a_state_is_read_without_its_underscore() -> None:
    assert fmt.state_word("worker_failed") == "worker failed"


def test_metrics_say_which_were_printed() -> None:
    values = {"loss": 0.31267, "lr": 3e-4}
    assert fmt.metrics(values) == "loss 0.3127, lr 0.0003"
    assert fmt.metrics(values, ("lr",)) == "loss 0.3127, lr 0.0003 (printed)"
    assert fmt.metrics(values, ("lr", "loss")) == "loss 0.3127, lr 0.0003 (as printed)"
