import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_console.widget.cell import width
from opsconsole_console.widget.log_ring import LogRing
from opsconsole_console.widget.shown_lines import (
    CELLS_MAX,
    PatternError,
    ShownLines,
    compile_pattern,
    cut,
    shown_text,
    wrapped,
)
from opsconsole_protocol.log import Source
from tests.console.widget.fleet import log_line, log_lines


def seen(shown: ShownLines) -> list[str]:
    return [shown_text(line) for line in shown.seen_lines()]


def rows(shown: ShownLines) -> list[tuple[int, int]]:
    """Each row's (line number, part), looked up one by one."""
    found = []
    for row in range(shown.rows):
        place, part = shown.at(row)
        found.append((shown.ring.get(shown.index_at(place)).line_number, part))
    return found


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [("loss", "LOSS", True), ("Loss", "loss", False), ("l.ss", "loss", True), ("(?:nan|inf)", "grad inf", True)],
)
def test_case_matters_only_with_a_capital(pattern: str, text: str, matches: bool) -> None:
    assert bool(compile_pattern(pattern).search(text)) is matches


def test_plain_text_is_taken_as_it_is() -> None:
    assert compile_pattern("a.b(", regex=False).search("A.B(") is not None


def test_a_bad_pattern_is_one_line() -> None:
    with pytest.raises(PatternError, match="not a regular expression") as caught:
        compile_pattern("a(b")
    assert "\n" not in str(caught.value)


def test_long_lines_are_cut_with_a_sign_of_how_much() -> None:
    text = shown_text(log_line(0, "x" * 5_000))
    assert width(text) == CELLS_MAX
    kept, missing = re.fullmatch(r"(x+)…\(\+([\d,]+)\)", text).groups()  # type: ignore[union-attr]
    assert len(kept) + int(missing.replace(",", "")) == 5_000


def test_wide_lines_are_cut_by_cells() -> None:
    assert width(shown_text(log_line(0, "数" * 3_000))) in {CELLS_MAX, CELLS_MAX - 1}
    assert shown_text(log_line(0, "数" * 2_048)) == "数" * 2_048
    assert width(cut("数" * 3_000, 6_000, 10)) <= CELLS_MAX


@pytest.mark.parametrize(
    ("text", "cells", "pieces"),
    [
        ("", 4, [""]),
        ("abcd", 4, ["abcd"]),
        ("abcde", 4, ["abcd", "e"]),
        ("数据集", 4, ["数据", "集"]),
        ("a数据", 4, ["a数", "据"]),
        ("数据", 1, ["数", "据"]),
    ],
)
def test_wrapped(text: str, cells: int, pieces: list[str]) -> None:
    assert wrapped(text, cells) == pieces


def sight_of(count: int, lines_max: int = 1_000) -> ShownLines:
    ring = LogRing(lines_max, 10**9)
    ring.feed(log_lines(count))
    shown = ShownLines(ring)
    shown.rebuild()
    return shown


def test_unfiltered_every_line_is_a_row() -> None:
    shown = sight_of(5)
    assert rows(shown) == [(n, 0) for n in range(5)]
    with pytest.raises(IndexError):
        shown.at(5)


def test_filter_invert_and_source() -> None:
    ring = LogRing(100, 10**9)
    ring.feed(
        [
            log_line(0, "loss"),
            log_line(1, "\x1b[31mLOSS\x1b[0m"),
            log_line(2, "epoch"),
            log_line(3, "loss", Source.STDERR),
        ]
    )
    shown = ShownLines(ring)
    shown.pattern = compile_pattern("^loss$")
    shown.rebuild()
    assert shown.is_filtered
    assert [number for number, _ in rows(shown)] == [0, 1, 3]
    shown.invert = True
    shown.rebuild()
    assert seen(shown) == ["epoch"]
    shown.pattern, shown.invert, shown.sources = None, False, {"stderr"}
    shown.rebuild()
    assert [number for number, _ in rows(shown)] == [3]


def test_a_line_that_changes_may_come_into_sight() -> None:
    ring = LogRing(100, 10**9)
    shown = ShownLines(ring)
    shown.pattern = compile_pattern("done")
    shown.rebuild()
    shown.apply(ring.feed([log_line(0, "10 %", partial=True), log_line(1, "done too")]))
    assert seen(shown) == ["done too"]
    shown.apply(ring.feed([log_line(0, "\rdone", start=4)]))
    assert seen(shown) == ["done", "done too"]


def test_search_both_ways() -> None:
    shown = sight_of(30)
    pattern = compile_pattern("step (?:5|20) ")
    assert shown.search(pattern, 0, 1) == 5
    assert shown.search(pattern, 6, 1) == 20
    assert shown.search(pattern, 21, 1) is None
    assert shown.search(pattern, 19, -1) == 5
    assert shown.search(pattern, 4, -1) is None


line_data = st.text(alphabet="ab数\x1b[1m\r", max_size=20)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("feed"), st.lists(line_data, max_size=12)),
        st.tuples(st.just("rest"), st.tuples(st.integers(0, 5), line_data)),
        st.tuples(st.just("prepend"), st.integers(1, 5)),
        st.tuples(st.just("trim"), st.none()),
    ),
    max_size=20,
)


@given(steps, st.sampled_from([0, 1, 3, 7]), st.sampled_from([None, "a", "b$"]), st.booleans())
def test_followed_step_by_step_is_the_same_as_looked_at_anew(
    history: list[tuple[str, object]], wrap_cells: int, pattern: str | None, invert: bool
) -> None:
    ring = LogRing(15, 10**9)
    shown = ShownLines(ring)
    shown.wrap_cells = wrap_cells
    shown.pattern = None if pattern is None else compile_pattern(pattern)
    shown.invert = invert and pattern is not None
    shown.rebuild()
    number = 100
    for step, what in history:
        if step == "feed":
            assert isinstance(what, list)
            shown.apply(ring.feed([log_line(number + place, data) for place, data in enumerate(what)]))
            number += len(what)
        elif step == "rest" and ring.lines:
            assert isinstance(what, tuple)
            back, data = what
            line = ring.lines[max(0, len(ring.lines) - 1 - back)]
            shown.apply(ring.feed([log_line(line.line_number, data, start=1)]))
        elif step == "prepend" and ring.lines:
            assert isinstance(what, int)
            ring.prepend(log_lines(what, start=ring.lines[0].line_number - what))
            shown.rebuild()
        elif step == "trim":
            before = rows(shown)
            ring.trim()
            gone = shown.trimmed()
            assert rows(shown) == before[gone:]
        fresh = ShownLines(ring)
        fresh.wrap_cells, fresh.pattern, fresh.invert = shown.wrap_cells, shown.pattern, shown.invert
        fresh.rebuild()
        assert rows(shown) == rows(fresh)
        assert shown.count == fresh.count
        firsts = [shown.row_of(place) for place in range(shown.count)]
        assert [shown.at(row) for row in firsts] == [(place, 0) for place in range(shown.count)]
        assert shown.row_of(shown.count) == shown.rows
