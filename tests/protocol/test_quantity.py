"""Durations and sizes as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.quantity import duration_ms, size_bytes, size_mb, size_words, spell_duration, spell_size
from tests.protocol.refusal import may_refuse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90", 90_000), ("90s", 90_000), ("500ms", 500), ("5m", 300_000), ("2h", 7_200_000), ("1d", 86_400_000),
        ("1h30m", 5_400_000), ("1m30s500ms", 90_500), ("0", 0), ("0.5", 500), ("1.5h", 5_400_000), (" 2H ", 7_200_000),
    ],
)  # fmt: skip
def test_durations(text: str, expected: int) -> None:
    assert duration_ms(text) == expected


@pytest.mark.parametrize(
    "text", ["", " ", "s", "5x", "1h30", "-5s", "5 s", "1,5h", "1e3", "nan", "inf", "5ss", "h5", "9" * 400, "9" * 30 + "d"]
)  # fmt: skip
def test_what_is_no_duration_is_refused_in_one_short_line(text: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        duration_ms(text)
    assert len(error.value.message) < 150


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0), ("512", 512), ("1K", 1024), ("512M", 512 << 20), ("8G", 8 << 30), ("8GiB", 8 << 30), ("8 gb", 8 << 30),
        ("1.5g", 3 << 29), ("2T", 2 << 40), ("7B", 7),
    ],
)  # fmt: skip
def test_sizes(text: str, expected: int) -> None:
    assert size_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "G", "-1G", "1P", "1 G B", "1.G", "1e9", "nan", "9" * 400 + "T", "9" * 30])
def test_what_is_no_size_is_refused_in_one_short_line(text: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        size_bytes(text)
    assert len(error.value.message) < 150


def test_whole_mib_are_rounded_up() -> None:
    assert [size_mb(text) for text in ("0", "1", "1M", "1048577", "1.5G")] == [0, 1, 1, 2, 1536]


@given(st.text(max_size=30))
def test_nothing_else_than_a_number_or_an_error_comes_out(text: str) -> None:
    for parse in (duration_ms, size_bytes):
        with may_refuse(InvalidRequest):
            assert parse(text) >= 0


@given(st.integers(0, 10**6), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_parts_add_up(hours: int, minutes: int, seconds: int, milliseconds: int) -> None:
    expected = ((hours * 60 + minutes) * 60 + seconds) * 1000 + milliseconds
    assert duration_ms(f"{hours}h{minutes}m{seconds}s{milliseconds}ms") == expected


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (0, "0s"), (250, "250ms"), (1_500, "1.5s"), (5_000, "5s"), (60_500, "1m0.5s"), (90_000, "1m30s"),
        (5_400_000, "1h30m"), (7_200_000, "2h"), (86_400_000, "1d"), (90_061_000, "1d1h1m1s"),
    ],
)  # fmt: skip
def test_a_duration_is_spelled_as_it_is_typed(duration: int, text: str) -> None:
    assert spell_duration(duration) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0"), (17, "17"), (300 << 10, "300K"), (512 << 20, "512M"), (3 << 29, "1536M"), (32 << 30, "32G"), (2 << 40, "2T")],
)  # fmt: skip
def test_a_size_is_spelled_as_it_is_typed(size: int, text: str) -> None:
    assert spell_size(size) == text


@given(st.integers(0, 10**12))
def test_what_is_spelled_reads_back(number: int) -> None:
    assert duration_ms(spell_duration(number)) == number
    assert size_bytes(spell_size(number)) == number


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (3_200_000_000, "3.2 GB"), (9_949, "9.9 kB"), (9_950, "10 kB"),
        (41_000_000_000, "41 GB"), (999_499, "999 kB"), (999_500, "1.0 MB"), (5 * 10**18, "5000 PB"), (-1_500, "-1.5 kB"),
    ],
)  # fmt: skip
def test_a_measured_size_is_decimal_with_three_figures(size: int, text: str) -> None:
    assert size_words(size) == text
