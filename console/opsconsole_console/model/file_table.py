"""The head of a file with columns, as a table: CSV, TSV, a JSON object a line. Pure; whatever is in the file, it never raises."""

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

ROWS_MAX = 1_000
COLUMNS_MAX = 200
CELL_CHARACTERS_MAX = 500
_DELIMITERS = ",;\t|"
_UNREADABLE = object()
"""Instead of the value of a line that is no JSON."""
_NUMBER_CHARACTERS = frozenset("0123456789+-.eE_ %")


@dataclass(frozen=True)
class ShownTable:
    """`numeric`: the columns in which every value is a number. `is_cut`: the file has more rows or columns. `fault`: what is
    wrong with it, in a line.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    is_cut: bool = False
    fault: str = ""


def read_delimited(text: str, *, delimiter: str = "", complete: bool = True) -> ShownTable | None:
    """The head of CSV or TSV; without a delimiter, the one that the first line has most of. None where it has no columns.

    `complete`: the text is all of the file; else its last line is left out, which may be cut off.
    """
    lines = _whole_lines(text, complete=complete)
    if not lines:
        return None
    first = lines[0]
    sign = delimiter or max(_DELIMITERS, key=first.count)
    if sign not in first:
        return None
    numbers: list[int] = []
    try:
        rows = []
        reader = csv.reader(lines, delimiter=sign)
        for row in reader:
            if row:
                rows.append(row)
                numbers.append(reader.line_num)
            if len(rows) > ROWS_MAX + 1:
                break
    except csv.Error:
        return None
    if not rows:
        return None
    has_names = not any(_is_number(value) for value in rows[0]) and any(rows[0])
    names = rows[0] if has_names else [str(number) for number in range(1, len(rows[0]) + 1)]
    fault = _misquoted(lines, sign, complete=complete) or _ragged(rows if complete else rows[:-1], numbers)
    return replace(_table(names, rows[1:] if has_names else rows, is_cut=not complete), fault=fault)


def _ragged(rows: list[list[str]], numbers: list[int]) -> str:
    """Which line, by its number in the file, has more or fewer values than the first, and how many more there are."""
    odd = [(number, len(row)) for row, number in zip(rows, numbers, strict=False) if len(row) != len(rows[0])]
    if not odd:
        return ""
    number, values = odd[0]
    return f"this table is ragged: line {number:,} has {_plural(values, 'value')} where the first has {len(rows[0]):,}{_more(odd)}"


def _misquoted(lines: list[str], sign: str, *, complete: bool) -> str:
    """Where a quotation mark stands that no reader of CSV takes; that one isn't closed is known only of a whole file."""
    reader = csv.reader(lines, delimiter=sign, strict=True)
    try:
        for _, _ in zip(range(ROWS_MAX + 1), reader, strict=False):
            pass
    except csv.Error:
        if complete or reader.line_num < len(lines):
            return f"this table is broken: the quotation marks at line {reader.line_num:,} don't match"
    return ""


def _more(odd: Sequence[object]) -> str:
    return f", and {_plural(len(odd) - 1, 'more line')} differ{'s' * (len(odd) == 2)}" if len(odd) > 1 else ""


def _plural(number: int, word: str) -> str:
    return f"{number:,} {word}{'s' * (number != 1)}"


def read_json_lines(text: str, *, complete: bool = True) -> ShownTable | None:
    """The head of a file with a JSON value in each line; a column for each key. None where the first line isn't JSON."""
    numbered = [one for one in enumerate(_whole_lines(text, complete=complete), 1) if one[1].strip()]
    if not numbered or _parsed(numbered[0][1]) is _UNREADABLE:
        return None
    broken: list[int] = []
    names: dict[str, int] = {}
    found: list[dict[str, str]] = []
    for number, line in numbered[: ROWS_MAX + 1]:
        value = _parsed(line)
        if value is _UNREADABLE:
            broken.append(number)
            value = line.strip()
        fields = value if isinstance(value, dict) else {"value": value}
        found.append({str(key): _spelled(one) for key, one in fields.items()})
        for key in found[-1]:
            if len(names) <= COLUMNS_MAX:
                names.setdefault(key, len(names))
    table = _table(list(names), [[row.get(name, "") for name in names] for row in found], is_cut=not complete)
    more = f", nor {'is' if len(broken) == 2 else 'are'} {_plural(len(broken) - 1, 'more line')}" if broken[1:] else ""
    return replace(table, fault=f"line {broken[0]:,} is no JSON{more}" if broken else "")


def make_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, is_cut: bool) -> ShownTable:
    """A table of what another reader has found."""
    return _table(list(columns), [list(row) for row in rows], is_cut=is_cut)


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return _UNREADABLE


def _spelled(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return "…"


def _whole_lines(text: str, *, complete: bool) -> list[str]:
    """Lines with their ends, which a value in quotation marks may have, too."""
    lines = text.splitlines(keepends=True)
    return lines if complete or not lines or lines[-1].endswith(("\n", "\r")) else lines[:-1]


def _table(names: list[str], rows: list[list[str]], *, is_cut: bool) -> ShownTable:
    width = min(COLUMNS_MAX, max([len(names), *(len(row) for row in rows[:ROWS_MAX])]))
    is_cut = is_cut or len(rows) > ROWS_MAX or any(len(row) > width for row in (names, *rows))
    columns = [*names, *(str(number) for number in range(len(names) + 1, width + 1))][:width]
    shown = [tuple(_cut(value) for value in [*row, *[""] * width][:width]) for row in rows[:ROWS_MAX]]
    numeric = tuple(_is_numeric(row[index] for row in shown) for index in range(width))
    return ShownTable(tuple(map(_cut, columns)), tuple(shown), numeric, is_cut)


def _cut(value: str) -> str:
    return value if len(value) <= CELL_CHARACTERS_MAX else f"{value[: CELL_CHARACTERS_MAX - 1]}…"


def _is_numeric(values: Iterable[str]) -> bool:
    filled = [value for value in values if value.strip()]
    return bool(filled) and all(map(_is_number, filled))


def _is_number(value: str) -> bool:
    text = value.strip().removesuffix("%").strip()
    if text.lower() in {"nan", "inf", "-inf", "null"}:
        return bool(text)
    if not text or len(text) > 40 or not _NUMBER_CHARACTERS.issuperset(text):
        return False
    try:
        float(text)
    except ValueError:
        return False
    return True
