"""Patterns of paths."""

import pytest

from opsconsole_protocol.content.glob import GLOB_CHARACTERS_MAX, check_glob, matches
from opsconsole_protocol.error import InvalidRequest


@pytest.mark.parametrize(
    ("pattern", "path", "is_match"),
    [
        ("a.csv", b"a.csv", True), ("a.csv", b"axcsv", False), ("*.csv", b"a.csv", True), ("*.csv", b"d/a.csv", False),
        ("**/*.csv", b"a.csv", True), ("**/*.csv", b"d/e/a.csv", True), ("**/*.csv", b"d/a.csv.gz", False),
        ("models", b"models", True), ("models", b"models/a/b", True), ("models", b"models2", False),
        ("models/", b"models/a", True), ("models/*", b"models/a", True), ("models/*", b"models/a/b", True),
        ("models/**", b"models", False), ("models/**", b"models/a/b", True), ("**", b"a/b", True), ("**", b"a", True),
        ("a/**/b", b"a/b", True), ("a/**/b", b"a/x/y/b", True), ("a/**/b", b"a/xb", False),
        ("?.pt", b"1.pt", True), ("?.pt", b"12.pt", False), ("?", b"/", False), ("a?b", b"a/b", False),
        ("[ab].pt", b"a.pt", True), ("[ab].pt", b"c.pt", False), ("[a-c]x", b"bx", True), ("[!a-c]x", b"bx", False),
        ("[!a-c]x", b"dx", True), ("[]]x", b"]x", True), ("[!]]x", b"ax", True), ("[", b"[", True), ("a[", b"a[", True),
        ("[^a]x", b"bx", True), ("a[!b]c", b"a/c", False), ("(a|b)+", b"(a|b)+", True), ("(a|b)+", b"a", False),
        ("a\\d", b"a\\d", True), ("*", b"new\nline", True), ("\u00e4*", "äx".encode(), True), ("?", "ä".encode(), True),
        ("./a", b"a", True), ("*", b"\xff", True),
    ],
)  # fmt: skip
def test_what_matches(pattern: str, path: bytes, is_match: bool) -> None:
    assert matches(pattern, path) is is_match


@pytest.mark.parametrize(
    "pattern", ["", "/", ".", "/etc/*", "../x", "a/../../b", "a\0b", "*" * (GLOB_CHARACTERS_MAX + 1), "[z-a]"]
)
def test_what_is_no_pattern_is_refused_in_one_line(pattern: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_glob(pattern)
    assert refused.value.message.isprintable()


def test_a_pattern_that_would_keep_a_backtracking_matcher_busy_is_answered_at_once() -> None:
    assert not matches("a*" * 100 + "b", b"a" * 250)
