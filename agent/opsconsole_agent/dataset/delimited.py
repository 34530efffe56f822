"""CSV and TSV. Every row is looked at, by the standard library's reader: it knows in which line a row ends."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from opsconsole_agent.dataset.fault import Broken, shown
from opsconsole_agent.dataset.limit import DATASET_LINE_BYTES_MAX
from opsconsole_agent.dataset.reader import Column, Kind, Reader, check_names, difference
from opsconsole_agent.dataset.source import Source
from opsconsole_agent.dataset.text import Lines, Plain

DELIMITERS = ",;\t|"
NULLS = frozenset({"", "NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null", "None"})
_INT64 = range(-(1 << 63), 1 << 63)
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_DOUBLE = re.compile(
    r"[+-]?(?:[0-9]{1,400}\.?[0-9]{0,400}(?:[eE][+-]?[0-9]{1,5})?|\.[0-9]{1,400}(?:[eE][+-]?[0-9]{1,5})?|inf|Inf)"
)
_BOOL = frozenset({"true", "false", "True", "False", "TRUE", "FALSE"})
_DATE = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]")
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-5][0-9](:[0-6][0-9](\.[0-9]{1,9})?)?(Z|[+-][0-9:]{2,5})?"
)
_LOOK_AT_CLOCK_EVERY = 2_000


@dataclass
class _Seen:
    type: str = "null"
    nulls: int = 0


@dataclass
class DelimitedReader(Reader):
    """Reads them."""

    _names: list[str] = field(default_factory=list)
    _first: str = ""
    _seen: list[_Seen] = field(default_factory=list)

    def read(self, source: Source, kind: Kind) -> int | None:
        """See Reader."""
        before = csv.field_size_limit(DATASET_LINE_BYTES_MAX)
        stream = Plain(source.open_stream(), kind.compression)
        try:
            return self._read(source, Lines(stream), kind.variant)
        finally:
            csv.field_size_limit(before)
            stream.close()

    def _read(self, source: Source, lines: Lines, delimiter: str) -> int | None:
        rows = _rows(lines, delimiter)
        line, names = next(rows, (1, None))
        if names is None:
            raise Broken("is empty: there is not even a line with the columns' names")
        self._take_names(source, names, line)
        count = 0
        for line, row in rows:
            if len(row) != len(names):
                raise Broken(_ragged(row, names), line)
            self._take(row)
            count += 1
            if count % _LOOK_AT_CLOCK_EVERY == 0 and self.budget.is_over:
                return None
        return count

    def _take_names(self, source: Source, names: list[str], line: int) -> None:
        check_names(names, line)
        if not self._first:
            self._names, self._first = names, source.name
            self._seen = [_Seen() for _ in names]
            if all(_type_of(name) not in {"string", "null"} for name in names):
                self.notes.append("the first row looks like values; it is taken for the columns' names")
        elif names != self._names:
            other = difference([(name, "") for name in names], [(name, "") for name in self._names])
            raise Broken(f"{other or 'has its columns in another order'} in {shown(self._first)}: mixed schemas", line)

    def _take(self, row: list[str]) -> None:
        self.keep_row(row)
        for seen, value in zip(self._seen, row, strict=True):
            if value in NULLS:
                seen.nulls += 1
            elif seen.type != "string":
                seen.type = _widened(seen.type, value)

    def columns(self) -> list[Column]:
        """See Reader."""
        return [Column(name, seen.type, seen.nulls) for name, seen in zip(self._names, self._seen, strict=True)]


def _rows(lines: Lines, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Rows that aren't empty, each with the line that it begins in. The reader is strict: what pandas would guess at is refused here."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        start = lines.number + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise Broken(_words(str(error)), start if "unexpected end" in str(error) else lines.number) from None
        if row is None:
            return
        if row:
            yield start, row


def _words(error: str) -> str:
    if "unexpected end" in error:
        return "a quotation mark is opened here and never closed: the file is cut off, or the mark is too much"
    if "field larger" in error:
        return f"has a value of more than {DATASET_LINE_BYTES_MAX >> 20} MiB: is a quotation mark missing?"
    if "new-line character" in error:
        return "has a carriage return within a row: write the file with \\n or \\r\\n at the ends of lines"
    return f"can't be read: {error}"


def _ragged(row: list[str], names: list[str]) -> str:
    return f"has {len(row):,} {'value' if len(row) == 1 else 'values'} where there are {len(names):,} columns"


def _type_of(value: str) -> str:
    if value in NULLS:
        return "null"
    if value in _BOOL:
        return "bool"
    if _INTEGER.fullmatch(value):
        return "int64" if int(value) in _INT64 else "double"
    if _DOUBLE.fullmatch(value):
        return "double"
    if _DATE.fullmatch(value):
        return "date32[day]"
    return "timestamp" if _TIMESTAMP.fullmatch(value) else "string"


def _widened(known: str, value: str) -> str:
    if known == "int64" and value.isdecimal() and value.isascii() and len(value) < 19:
        return known
    found = _type_of(value)
    if known in {found, "null"}:
        return found
    both = {known, found}
    if both == {"int64", "double"}:
        return "double"
    return "timestamp" if both == {"date32[day]", "timestamp"} else "string"
