import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_console.visible import clean
from opsconsole_console.widget.cell import Cell, Span, cell, crop, fit, joined, shorten, split, width


@pytest.mark.parametrize(
    ("text", "cells", "cropped"),
    [
        ("train", 5, "train"),
        ("train", 4, "tra…"),
        ("train", 1, "…"),
        ("train", 0, ""),
        ("数据集", 4, "数…"),
        ("数据", 4, "数据"),
    ],
)
def test_crop(text: str, cells: int, cropped: str) -> None:
    assert crop(text, cells) == cropped


def test_split_never_halves_a_wide_character() -> None:
    assert split("数据", 3) == ("数", "据")
    assert split("abc", 2) == ("ab", "c")
    assert split("é", 9) == ("é", "")


spans = st.lists(st.tuples(st.text(alphabet="ab …数\t\x1b", max_size=6), st.sampled_from(["", "x"])), max_size=4)


@given(spans, st.integers(0, 12), st.sampled_from(["left", "right"]))
def test_fit_is_exactly_as_wide_as_asked(parts: list[Span], cells: int, align: str) -> None:
    fitted = fit(parts, cells, "right" if align == "right" else "left")
    assert sum(width(text) for text, _ in fitted) == cells


def test_fit_pads_on_the_side_it_is_told() -> None:
    assert fit([("ab", "x")], 4) == [("ab", "x"), ("  ", "")]
    assert fit([("ab", "x")], 4, "right") == [("  ", ""), ("ab", "x")]


def test_fit_shows_that_something_is_missing() -> None:
    assert "".join(text for text, _ in fit([("abcd", "x"), ("e", "y")], 4)) == "abc…"
    assert fit([("ab", "x"), ("cdef", "y")], 4) == [("ab", "x"), ("c…", "y")]


@given(spans, st.integers(0, 12))
def test_shorten_takes_the_middle_and_no_more_than_it_must(parts: list[Span], cells: int) -> None:
    whole = "".join(clean(text) for text, _ in parts)
    left = "".join(text for text, _ in shorten(parts, cells))
    assert width(left) <= cells
    if width(whole) <= cells:
        assert left == whole
    elif cells:
        assert width(left) >= cells - 2, "at most one wide character has no room at each end"


@pytest.mark.parametrize(
    ("text", "cells", "left"),
    [("abcdefgh", 5, "ab…gh"), ("abcdefgh", 4, "ab…h"), ("abcdefgh", 1, "…"), ("数据训练集", 7, "数…集"), ("abcde\u0301", 3, "a…e\u0301"), ("a\nb\nc.pt", 6, "a b…pt")],
)  # fmt: skip
def test_shorten(text: str, cells: int, left: str) -> None:
    assert "".join(part for part, _ in shorten([(text[:2], "x"), (text[2:], "")], cells)) == left


def test_cells_join() -> None:
    assert (cell("a", "x") + cell("b")).text == "ab"
    assert joined([cell("a"), cell("b")], "  ") == Cell((("a", ""), ("  ", ""), ("b", "")))
