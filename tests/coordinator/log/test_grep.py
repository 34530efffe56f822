"""Patterns from outside: wrong ones, and ones that would never come to an end."""

import time

import pytest

from opsconsole_coordinator.log import LogQueryError
from opsconsole_coordinator.log.grep import Matcher, MatcherPool

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
def test_matches_here_or_in_a_child(pattern: str, expected: list[bool]) -> None:
    matcher = Matcher(pattern)
    assert matcher.matches(LINES) == expected
    assert matcher.matches([]) == []
    assert matcher.matches(LINES[::-1]) == expected[::-1]
    matcher.close()


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


def test_lone_surrogates_and_zeros_do_not_break_the_pipe() -> None:
    matcher = Matcher("\ud800?\0+")
    assert matcher.matches(["a\0b", "ab", "\ud800"]) == [True, False, False]
    matcher.close()


@pytest.mark.parametrize("pattern", ["(", "a{2,1}", "*", "[a", "(?P<x>a)(?P<x>b)", "\\", "(?<=a+)b"])
def test_a_wrong_pattern_is_one_line(pattern: str) -> None:
    with pytest.raises(LogQueryError, match="grep: ") as caught:
        Matcher(pattern)
    assert "\n" not in caught.value.message


def test_a_huge_pattern_is_refused() -> None:
    with pytest.raises(LogQueryError, match="1000 characters"):
        Matcher("a" * 1001)


def test_a_pattern_that_never_ends_is_ended() -> None:
    matcher = Matcher("(a+)+$", timeout_s=0.3)
    start = time.monotonic()
    with pytest.raises(LogQueryError, match="too long"):
        matcher.matches(["a" * 40 + "b"])
    # Far from the hours that it would take.
    assert time.monotonic() - start < 60
    # It can still be asked something easier.
    matcher = Matcher("(a+)+$")
    assert matcher.matches(["aaa", "b"]) == [True, False]
    matcher.close()


def test_a_child_that_dies_is_an_error_and_then_replaced() -> None:
    matcher = Matcher("a+")
    assert matcher.matches(["a"]) == [True]
    child = matcher._child
    assert child is not None
    child.kill()
    child.wait()
    with pytest.raises(LogQueryError, match="try again"):
        matcher.matches(["a"])
    assert matcher.matches(["a"]) == [True]
    matcher.close()


def test_the_pool_keeps_few_children_and_ends_them() -> None:
    pool = MatcherPool(size=2)
    matchers = [pool.get(pattern) for pattern in ("a+", "b+")]
    for matcher in matchers:
        matcher.matches(["a"])
    assert pool.get("a+") is matchers[0]
    children = [matcher._child for matcher in matchers]
    third = pool.get("c+")
    assert matchers[1]._child is None
    assert matchers[0]._child is children[0]
    third.matches(["c"])
    pool.close()
    assert all(child is not None and child.returncode is not None for child in children)
