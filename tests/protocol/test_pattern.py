"""The one matcher for patterns from outside: bounded, and refused in words."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.pattern import PATTERN_CHARACTERS_MAX, compile_pattern

# Each of these takes Python's `re` longer than anybody lives.
EXPLOSIVE = ("(a+)+$", "(.+)+#", "(a|aa)+$", "(.|.|.|.|.|.)*X$", "(a*)*b", "^(([a-z])+.)+[A-Z]([a-z])+$")


@pytest.mark.parametrize("text", EXPLOSIVE)
def test_a_pattern_that_explodes_elsewhere_is_searched_for_in_no_time(text: str) -> None:
    began = time.process_time()
    assert compile_pattern(text).search("a" * 50_000 + "!") is None
    assert time.process_time() - began < 5  # linear is milliseconds; backtracking never ends


def test_groups_have_names() -> None:
    pattern = compile_pattern(r"a=(?P<a>\d+)(?: b=(?P<b>\d+))?")
    assert pattern.names == ("a", "b")
    assert (pattern.groups("x a=1 b=2"), pattern.groups("a=1"), pattern.groups("c")) == (
        {"a": "1", "b": "2"},
        {"a": "1"},
        {},
    )
    assert compile_pattern("(?P<a>.*)").groups("\udcff") == {"a": "?"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("(", "is not a regular expression: missing"),
        ("(?=x)", "looks ahead or behind"),
        ("(?<!x)y", "looks ahead or behind"),
        (r"(x)\1", "refers back to a group"),
        ("((((a{99}){99}){99}){99})", "too large|is not a regular expression"),
        ("x" * (PATTERN_CHARACTERS_MAX + 1), "at most 1000 characters"),
    ],
)
def test_what_is_no_pattern_here_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as caught:
        compile_pattern(text)
    assert "\n" not in str(caught.value)


def test_places_are_characters_whatever_stands_before() -> None:
    assert compile_pattern("é.").search("xé😀") == (1, 3)
    assert compile_pattern("o").search("foo", 2) == (2, 3)
    assert compile_pattern("ERR", ignore_case=True).matches("an err")
    assert compile_pattern("b").search("\udcffb") == (1, 2)


@given(st.text(max_size=40), st.text(max_size=200))
def test_any_text_is_a_pattern_or_refused(text: str, line: str) -> None:
    try:
        pattern = compile_pattern(text)
    except InvalidRequest:
        return
    found = pattern.search(line)
    assert found is None or 0 <= found[0] <= found[1] <= len(line)


@given(st.text(alphabet="ab.*", max_size=8), st.text(alphabet="abc", max_size=30))
def test_it_finds_what_python_finds(text: str, line: str) -> None:
    try:
        expected = re.search(text, line)
        pattern = compile_pattern(text)
    except (re.error, InvalidRequest):
        return
    assert (pattern.search(line) is not None) == (expected is not None)
