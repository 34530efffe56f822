"""JSON Lines, and JSON that is a list of objects. A value that changes its type from row to row is refused."""

import contextlib
import gc
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from opsconsole_agent.dataset.fault import Broken, shown
from opsconsole_agent.dataset.limit import DATASET_LINE_BYTES_MAX
from opsconsole_agent.dataset.reader import Column, Kind, Reader, spelled
from opsconsole_agent.dataset.source import Source
from opsconsole_agent.dataset.text import Lines, Plain
from opsconsole_protocol.dataset import ROW_CELLS_MAX, DatasetFormat

_INT64 = range(-(1 << 63), 1 << 63)
_SPACE = re.compile(r"[ \t\r\n]*")
LIST_VALUES_MAX = 1_000
NAMES_MAX = 10_000
_LOOK_AT_CLOCK_EVERY = 1_000
_SCALARS = {bool: "bool", float: "double", str: "string", dict: "struct", type(None): "null"}


@dataclass
class _Seen:
    type: str = "null"
    filled: int = 0
    where: str = ""
    """Where it had this type first, in words."""


@dataclass
class JsonReader(Reader):
    """Reads them."""

    _seen: dict[str, _Seen] = field(default_factory=dict)
    _rows: int = 0
    _kept: list[dict[str, str]] = field(default_factory=list)

    def read(self, source: Source, kind: Kind) -> int | None:
        """See Reader."""
        stream = Plain(source.open_stream(), kind.compression)
        lines = Lines(stream)
        with _no_collection(), contextlib.closing(stream):
            return self._read_rows(source, kind, lines)

    def _read_rows(self, source: Source, kind: Kind, lines: Lines) -> int | None:
        count = 0
        try:
            read = _lines if kind.format is DatasetFormat.JSON_LINES else _items
            for value, line in read(lines):
                self._take(value, source.name, line)  # which may go as deep as the value does
                count += 1
                if count % _LOOK_AT_CLOCK_EVERY == 0 and self.budget.is_over:
                    return None
        except RecursionError:
            raise Broken("is nested too deeply", lines.number) from None
        return count

    def _take(self, value: Any, name: str, line: int) -> None:
        if not isinstance(value, dict):
            raise Broken(f"a row is an object, {{…}}, and this is {_of_json(value)}", line)
        self._rows += 1
        for key, one in value.items():
            if one is None and key in self._seen:
                continue
            found = _type_of(one, line)
            seen = self._seen.get(key)
            if seen is None:
                seen = self._seen[key] = _Seen()
                if len(self._seen) > NAMES_MAX:
                    raise Broken(f"is the row that makes the columns more than {NAMES_MAX:,}", line)
            if seen.type != found:
                self._widen(key, seen, found, name, line)
            seen.filled += one is not None
        if len(self._kept) < self.rows_max:
            self._kept.append({key: spelled(one) for key, one in value.items()})

    def _widen(self, key: str, seen: _Seen, found: str, name: str, line: int) -> None:
        wider = _widened(seen.type, found)
        if wider is None:
            raise Broken(
                f"{shown(key)!r} is {found} here, and {seen.type} in {seen.where}: a column has one type", line
            )
        if wider != seen.type:
            seen.type, seen.where = wider, f"{shown(name)}, line {line:,}"

    def columns(self) -> list[Column]:
        """See Reader."""
        self.first_rows = [tuple(row.get(key, "") for key in list(self._seen)[:ROW_CELLS_MAX]) for row in self._kept]
        return [Column(key, seen.type, self._rows - seen.filled) for key, seen in self._seen.items()]


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """JSON makes no circles; and who is collected where a value is as deep as can be has no room for a last word."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _lines(lines: Lines) -> Iterator[tuple[Any, int]]:
    for line in lines:
        if line.isspace():
            continue
        try:
            yield _DECODER.decode(line), lines.number
        except json.JSONDecodeError as error:
            ends = "" if line.endswith("\n") else ": the file ends within it, it may be cut off"
            raise Broken(f"is no JSON, {error.msg.lower()} at place {error.pos + 1:,}{ends}", lines.number) from None
        except (ValueError, RecursionError) as error:
            raise Broken(_odd(error), lines.number) from None


def _items(lines: Lines) -> Iterator[tuple[Any, int]]:
    """The values of a list, each with the line that it begins in."""
    text = _Text(lines)
    if text.sign() != "[":  # one object is one row, as it is where it stands on one line
        yield text.value()
        if text.sign():
            raise Broken(
                "is no JSON: something follows its object; a dataset is a list of objects, or has an object in every line",
                text.line,
            )
        return
    text.skip(1)
    if text.sign() == "]":
        text.skip(1)
    else:
        while True:
            yield text.value()
            sign = text.sign()
            if sign not in {",", "]"}:
                raise Broken(
                    "is cut off: its list is not closed" if not sign else "is no JSON: a comma is missing", text.line
                )
            text.skip(1)
            if sign == "]":
                break
    if text.sign():
        raise Broken("is no JSON: something follows its list", text.line)


class _Text:
    """The text that isn't parsed yet. `line`: the number of the line that it begins in."""

    def __init__(self, lines: Lines) -> None:
        self._lines = iter(lines)
        self._text = ""
        self._place = 0
        self.line = 1

    def sign(self) -> str:
        """The next sign that is no space; empty at the end."""
        while True:
            space = _SPACE.match(self._text, self._place)
            end = self._place if space is None else space.end()
            self.line += self._text.count("\n", self._place, end)
            self._place = end
            if end < len(self._text):
                return self._text[end]
            if not self._more():
                return ""

    def skip(self, signs: int) -> None:
        """Go on behind this number of signs."""
        self._place += signs

    def value(self) -> tuple[Any, int]:
        """The next value, whole, and the line that it begins in. Raises Broken."""
        self.sign()
        line, wanted = self.line, 1
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._place)
            except json.JSONDecodeError as error:
                at = line + self._text.count("\n", self._place, error.pos)
                is_open = error.msg.startswith("Unterminated") or not self._text[error.pos :].strip()
                if len(self._text) - self._place > DATASET_LINE_BYTES_MAX:
                    raise Broken(f"a value of more than {DATASET_LINE_BYTES_MAX >> 20} MiB begins here", line) from None
                if not self._grow(wanted) if is_open else True:
                    text = "is cut off: it ends within a value" if is_open else f"is no JSON: {error.msg.lower()}"
                    raise Broken(text, at) from None
                wanted *= 2
                continue
            except (ValueError, RecursionError) as error:
                raise Broken(_odd(error), line) from None
            if end == len(self._text) and self._grow(1):  # a number may go on
                continue
            self.line += self._text.count("\n", self._place, end)
            self._place = end
            return value, line

    def _grow(self, lines: int) -> bool:
        """Read this number of further lines; return whether there was one."""
        return sum(self._more() for _ in range(lines)) > 0

    def _more(self) -> bool:
        line = next(self._lines, None)
        if line is None:
            return False
        self._text = self._text[self._place :] + line
        self._place = 0
        return True


class _TwiceError(ValueError):
    """An object has two values of one name, which the text says."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [key for key, _ in pairs]
        twice = next(key for key in names if names.count(key) > 1)
        raise _TwiceError(f"two values are called {shown(twice)!r}")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_once)


def _odd(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    return str(error) if isinstance(error, _TwiceError) else "has a number with too many digits"


def _type_of(value: Any, line: int) -> str:
    if type(value) is int:
        return "int64" if value in _INT64 else "double"
    if isinstance(value, list):
        found = "null"
        for one in value[:LIST_VALUES_MAX]:
            inner = _type_of(one, line)
            wider = _widened(found, inner)
            if wider is None:
                raise Broken(f"a list holds {found} and {inner}: its values have one type", line)
            found = wider
        return f"list<{found}>"
    return _SCALARS[type(value)]


def _widened(known: str, found: str) -> str | None:
    """The type that has room for both; None where none has."""
    if known == found or found == "null":
        return known
    if known == "null":
        return found
    if {known, found} == {"int64", "double"}:
        return "double"
    if known.startswith("list<") and found.startswith("list<"):
        inner = _widened(known[5:-1], found[5:-1])
        return None if inner is None else f"list<{inner}>"
    return None


def _of_json(value: Any) -> str:
    return {list: "a list", str: "a text", bool: "true or false", type(None): "null"}.get(type(value), "a number")
