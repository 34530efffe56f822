"""Heads of files as tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_console.model import file_table
from opsconsole_console.model.file_table import ShownTable, make_table, read_delimited, read_json_lines


def test_csv() -> None:
    assert read_delimited('name,size\n"a, b",10\nc,2.5\n') == ShownTable(
        ("name", "size"), (("a, b", "10"), ("c", "2.5")), (False, True)
    )


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
def test_the_sign_between_columns_is_found(sign: str) -> None:
    table = read_delimited(f"a{sign}b{sign}c\n1{sign}2{sign}3\n")
    assert table is not None
    assert table.rows == (("1", "2", "3"),)


def test_a_first_line_with_numbers_is_no_heading() -> None:
    assert read_delimited("1,2\n3,4\n") == ShownTable(("1", "2"), (("1", "2"), ("3", "4")), (True, True))


def test_a_value_over_several_lines() -> None:
    table = read_delimited('a,b\n"one\ntwo",x\n')
    assert table is not None
    assert table.rows == (("one\ntwo", "x"),)


def test_rows_of_other_lengths() -> None:
    table = read_delimited("a,b\n1\n1,2,3\n\n")
    assert table is not None
    assert (table.columns, table.rows) == (("a", "b", "3"), (("1", "", ""), ("1", "2", "3")))
    assert table.numeric == (True, True, True)


def test_a_last_line_that_may_be_cut_off_is_left_out() -> None:
    table = read_delimited("a,b\n1,2\n3,", complete=False)
    assert table is not None
    assert (table.rows, table.is_cut) == ((("1", "2"),), True)
    table = read_delimited("a,b\n1,2\n", complete=False)
    assert table is not None
    assert table.rows == (("1", "2"),)


@pytest.mark.parametrize(
    ("text", "complete", "fault"),
    [
        ("a,b,c\n1,2\n1,2,3\n", True, "this table is ragged: line 2 has 2 values where the first has 3"),
        ("a,b\n1\n1,2,3\n", True, "this table is ragged: line 2 has 1 value where the first has 2, and 1 more line differs"),
        ('a,b\n"x\ny",1\n3\n4\n5\n', True, "this table is ragged: line 4 has 1 value where the first has 2, and 2 more lines differ"),
        ('a,b\n"x,1\n', True, "this table is broken: the quotation marks at line 2 don't match"),
        ('a,b\n"x"y,1\n', True, "this table is broken: the quotation marks at line 2 don't match"),
        ('a,b\n1,2\n"x\n', False, ""),
        ('a,b\n5" disk,2\n\n"x ""y""",2\n', True, ""),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_table_is_said(text: str, complete: bool, fault: str) -> None:
    """It was shown without a word."""
    table = read_delimited(text, complete=complete)
    assert table is not None
    assert table.fault == fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"a":1}\n\nnope\n', "line 3 is no JSON"),
        ('{"a":1}\n1 2\n{}\n{', "line 2 is no JSON, nor is 1 more line"),
        ('{"a":1}\n{}\n', ""),
    ],
)
def test_a_line_that_is_no_json_is_named(text: str, fault: str) -> None:
    table = read_json_lines(text)
    assert table is not None
    assert table.fault == fault


@pytest.mark.parametrize("text", ["", "one column\nonly\n", "\n", "x" * 200_000 + ",y\n"])
def test_what_has_no_columns(text: str) -> None:
    assert read_delimited(text) is None


@pytest.mark.parametrize(
    ("value", "numeric"),
    [
        ("1", True), ("-1.5e-3", True), ("nan", True), (" 12 ", True), ("85 %", True), ("1_000", True),
        ("1e999999999", True), ("1.2.3", False), ("0x10", False), ("", False), ("9" * 100, False), ("١", False),
    ],
)  # fmt: skip
def test_numbers(value: str, numeric: bool) -> None:
    assert make_table(["a"], [[value]], is_cut=False).numeric == (numeric,)


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_table, "ROWS_MAX", 3)
    monkeypatch.setattr(file_table, "COLUMNS_MAX", 2)
    table = read_delimited("a,b,c\n" + "1,2,3\n" * 10)
    assert table is not None
    assert (table.columns, len(table.rows), table.is_cut) == (("a", "b"), 3, True)
    lines = read_json_lines('{"a":1,"b":2,"c":3}\n' * 10)
    assert lines is not None
    assert (lines.columns, len(lines.rows), lines.is_cut) == (("a", "b"), 3, True)
    long = make_table(["x" * 1_000], [["y" * 1_000]], is_cut=False)
    assert (len(long.columns[0]), len(long.rows[0][0]), long.rows[0][0][-1]) == (500, 500, "…")


def test_json_lines() -> None:
    table = read_json_lines('{"loss": 0.5, "step": 1}\n\n{"step": 2, "tags": ["a", {"b": null}], "note": "é"}\n')
    assert table == ShownTable(
        ("loss", "step", "tags", "note"),
        (("0.5", "1", "", ""), ("", "2", '["a", {"b": null}]', "é")),
        (True, True, False, False),
    )


def test_json_lines_with_other_things_between() -> None:
    table = read_json_lines('{"a": 1}\nnot json\n3\n"text"\n{"a": ')
    assert table is not None
    assert table.columns == ("a", "value")
    assert table.rows == (("1", ""), ("", "not json"), ("", "3"), ("", "text"), ("", '{"a":'))


@pytest.mark.parametrize("text", ["", "not json\n{}\n", "[" * 100_000])
def test_what_is_no_json_lines(text: str) -> None:
    assert read_json_lines(text) is None


def test_deep_json_in_a_line() -> None:
    table = read_json_lines('{"a": 1}\n' + "[" * 100_000 + "\n")
    assert table is not None
    assert len(table.rows) == 2


@given(st.text(max_size=200), st.booleans())
def test_nothing_is_too_odd(text: str, complete: bool) -> None:
    for table in (read_delimited(text, complete=complete), read_json_lines(text, complete=complete)):
        if table is not None:
            assert all(len(row) == len(table.columns) == len(table.numeric) for row in table.rows)
