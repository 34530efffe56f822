"""Patterns from outside in log searches: what they find, and how wrong ones are refused (hard use 3, 53, 64)."""

import pytest

from opsconsole_coordinator.log import LogQueryError
from opsconsole_coordinator.log.grep import Matcher

LINES = ["all is well", "an error: 42", "größer", ""]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("error", [False, True, False, False]),
        ("^an|^all", [True, True, False, False]),
        ("[0-9]", [False, True, False, False]),
        (r"err.*\d+", [False, True, False, False]),
        ("(ö|w)", [True, False, True, False]),
        ("(?i)ERROR", [False, True, False, False]),
        ("", [True, True, True, True]),
        ("^$", [False, False, False, True]),
        ("[[a]", [True, True, False, False]),
    ],
)
def test_matches(pattern: str, expected: list[bool]) -> None:
    matcher = Matcher(pattern)
    assert matcher.matches(LINES) == expected
    assert matcher.matches([]) == []
    assert matcher.matches(LINES[::-1]) == expected[::-1]
    inverted = Matcher(pattern, inverted=True)
    assert inverted.matches(LINES) == [not found for found in expected]
    assert inverted.needle == b""


@pytest.mark.parametrize(
    ("pattern", "needle"),
    [
        ("error", b"error"),
        ("^step 12.*loss=$", b"step 12"),
        ("ab*", b"a"),
        ("a?bc+d", b"bc"),
        ("x*", b""),
        ("a|b", b""),
        (r"\d+ errors", b""),
        ("größe", b""),
        ("", b""),
    ],
)
def test_what_each_match_must_hold(pattern: str, needle: bytes) -> None:
    assert Matcher(pattern).needle == needle


def test_zeros_and_lone_surrogates_are_characters_like_others() -> None:
    assert Matcher("a\0+").matches(["a\0b", "ab", "\ud800"]) == [True, False, False]


@pytest.mark.parametrize("pattern", ["(", "a{2,1}", "*", "[a", "(?P<x", "\\", "(?<=a+)b", r"(a)\1"])
def test_a_wrong_pattern_is_one_line(pattern: str) -> None:
    with pytest.raises(LogQueryError, match="grep: ") as caught:
        Matcher(pattern)
    assert "\n" not in caught.value.message


def test_a_huge_pattern_is_refused() -> None:
    with pytest.raises(LogQueryError, match="grep: a pattern has at most 1000 characters, this one 1001"):
        Matcher("a" * 1001)


def test_a_pattern_that_never_ends_elsewhere_is_answered() -> None:
    assert Matcher("(a+)+$").matches(["a" * 50_000 + "b", "aaa"]) == [False, True]
