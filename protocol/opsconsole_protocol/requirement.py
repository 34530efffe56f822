"""Conditions on properties: for `--require` and for filters (`filter.py`).

A requirement is `KEY`, `!KEY`, or `KEY OP VALUE` with OP one of `= != >= <= > <`, `KEY in A,B,C`, or `KEY ~ REGEX`.
Several requirements in one line are separated by spaces and must all hold. Keys reach into nested properties with dots
(`io_paths.filesystem`). A value with spaces stands in double quotes. Numbers compare as numbers, everything else as text
without regard to case. What every agent measures as a number (NUMBERS) is compared with numbers only. A regex is a
`pattern.py` one. A line has at most LINE_CHARACTERS_MAX characters, and a job at most CONDITIONS_MAX conditions, since they
are matched against every worker again and again.
"""

import math
import re
from collections.abc import Container, Iterable, Mapping
from typing import Any

import msgspec

from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.pattern import compile_pattern
from opsconsole_protocol.quantity import size_mb

LINE_CHARACTERS_MAX = 4_000
CONDITIONS_MAX = 100
KEY = r"[A-Za-z_][\w.-]*"
VALUE = r'"(?:[^"\\]|\\.)*"|[^\s"=<>]\S*'
CONDITION = rf"""(?P<key>{KEY})
    (?:\s*(?P<op>>=|<=|!=|==|=|>|<|~|:)\s*(?P<value>{VALUE})|\s+in\s+(?P<set>{VALUE}))"""
"""A part of verbose patterns."""
NUMBERS = frozenset({"gpu_count", "gpu_memory_mb", "cpus", "cpu_count", "memory_mb", "max_concurrent_jobs"})
"""The properties that are numbers on every worker. Of others one worker may have a number and another one a text."""
_ORDERED = frozenset({"=", "!=", ">", ">=", "<", "<=", "in"})
_WORD = re.compile(rf"\s*(?P<absent>!)?(?:{CONDITION}|(?P<flag>{KEY}))(?=\s|$)", re.VERBOSE | re.DOTALL)
_REST = re.compile(r"\s*\Z")
_SHOWN_MAX = 100
_SHOWN_WHOLE = 10**1_000
_PLAIN = re.compile(r'[^\s"=<>]\S*')
_MISSING: Any = object()


class Requirement(msgspec.Struct, frozen=True):
    """One condition on a property. `op` is one of `= != > >= < <= ~ in exists absent`."""

    key: str
    op: str
    value: str = ""

    def __str__(self) -> str:
        match self.op:
            case "exists":
                return self.key
            case "absent":
                return f"!{self.key}"
            case "in":
                return f"{self.key} in {_quoted(self.value)}"
            case _:
                return f"{self.key}{self.op}{_quoted(self.value)}"

    def matches(self, properties: Mapping[str, Any]) -> bool:
        """Whether `properties` (nested mappings of plain values) meet this condition."""
        found = look_up(properties, self.key)
        if self.op == "exists":
            return found is not _MISSING and found is not None
        if self.op == "absent":
            return found is _MISSING or found is None
        if found is _MISSING or found is None:
            return self.op == "!="
        if isinstance(found, (list, tuple, set, frozenset)):
            met = any(_compare(one, "=" if self.op == "!=" else self.op, self.value) for one in found)
            return not met if self.op == "!=" else met
        return _compare(found, self.op, self.value)

    def explain(self, properties: Mapping[str, Any]) -> str:
        """Why `properties` don't meet this condition, in a few words."""
        return f"doesn't meet {self}: {self.finding(properties)}"

    def finding(self, properties: Mapping[str, Any]) -> str:
        """What `properties` have for this condition's key, in a few words."""
        found = look_up(properties, self.key)
        return f"{self.key} is {'not set' if found is _MISSING or found is None else _cropped(_value_text(found))}"


def look_up(properties: Mapping[str, Any], key: str) -> Any:
    """The value under a dotted key, or the private marker `_MISSING` when there is none."""
    if key in properties:
        return properties[key]
    here: Any = properties
    for part in key.split("."):
        if not isinstance(here, Mapping) or part not in here:
            return _MISSING
        here = here[part]
    return here


def is_number(key: str, rows: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a key is a number wherever it has a value, and has one anywhere."""
    found = [value for value in (look_up(properties, key) for properties in rows) if value not in (None, _MISSING)]
    return bool(found) and all(type(value) in {int, float} for value in found)


def parse(text: str) -> tuple[Requirement, ...]:
    """Parse one line of requirements. Raises InvalidRequest that points at the first word not understood."""
    return tuple(map(checked, _read(text)))


def checked(one: Requirement, numbers: Container[str] = NUMBERS) -> Requirement:
    """The same, if what it compares with `numbers` is a number. Raises InvalidRequest: no text would ever meet it."""
    if one.key not in numbers or one.op not in _ORDERED:
        return one
    for value in one.value.split(",") if one.op == "in" else (one.value,):
        if _number(value) is None:
            raise InvalidRequest(f"{one.key} is a number, and {value[:60]!r} is none{_in_mb(one, value)}")
    return one


def _in_mb(one: Requirement, value: str) -> str:
    """`: write gpu_memory_mb>=20480`, for who wrote 20G."""
    if not one.key.endswith("_mb") or one.op == "in":
        return ""
    try:
        return f": write {one.key}{one.op}{size_mb(value)}"
    except InvalidRequest:
        return ""


def _read(text: str) -> tuple[Requirement, ...]:
    found: list[Requirement] = []
    place = 0
    check_length(text)
    while _REST.match(text, place) is None:
        match = _WORD.match(text, place)
        if match is None:
            raise InvalidRequest(
                f"can't read {text[place:].strip()[:60]!r}: write for example gpu_memory_mb>=20000 zone=a, "
                "gpu_model~A100, status in available,busy or !key"
            )
        found.append(_requirement(match))
        place = match.end()
    return counted(found)


def check_length(text: str) -> None:
    """Raise InvalidRequest for a line of more than LINE_CHARACTERS_MAX characters."""
    if len(text) > LINE_CHARACTERS_MAX:
        raise InvalidRequest(f"a line of conditions has at most {LINE_CHARACTERS_MAX} characters, this one {len(text)}")


def counted(found: list[Requirement]) -> tuple[Requirement, ...]:
    """Conditions as a tuple. Raises InvalidRequest where there are more than CONDITIONS_MAX."""
    if len(found) > CONDITIONS_MAX:
        raise InvalidRequest(
            f"{len(found)} conditions are more than the {CONDITIONS_MAX} that are looked at: leave some out"
        )
    return tuple(found)


def parse_all(lines: Iterable[str]) -> tuple[Requirement, ...]:
    """Parse several lines of a spec that was checked: all of their requirements must hold. Raises InvalidRequest."""
    return counted([requirement for line in lines for requirement in _read(line)])


def _requirement(match: re.Match[str]) -> Requirement:
    if match["flag"] is not None:
        return Requirement(match["flag"], "absent" if match["absent"] else "exists")
    if match["absent"]:
        value = match["value"] if match["set"] is None else match["set"]
        raise InvalidRequest(f"!{match['key']} takes no value: write {match['key']}!={value[:60]} instead")
    return condition(match)


def condition(match: re.Match[str]) -> Requirement:
    """The requirement in a match of CONDITION. Raises InvalidRequest for a broken regular expression."""
    if match["set"] is not None:
        return Requirement(match["key"], "in", _unquoted(match["set"]))
    op = {"==": "=", ":": "="}.get(match["op"], match["op"])
    value = _unquoted(match["value"])
    if op == "~":
        compile_pattern(value, ignore_case=True)
    return Requirement(match["key"], op, value)


def _quoted(value: str) -> str:
    """The value as `parse` reads it back: in quotes, where it would be read as several words without them."""
    if _PLAIN.fullmatch(value) is not None:
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _unquoted(word: str) -> str:
    """The value of a word without its quotes; inside them `\\"` is a quote and `\\\\` a backslash."""
    return re.sub(r'\\(["\\])', r"\1", word[1:-1]) if word.startswith('"') else word


def _number(value: Any) -> float | None:
    """The value as a number, None where it is none. NaN counts as none, since it can't be ordered."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return None if math.isnan(number) else number


def _cropped(text: str) -> str:
    return text if len(text) <= _SHOWN_MAX else f"{text[: _SHOWN_MAX - 1]}…"


def _value_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return (
            str(value) if -_SHOWN_WHOLE < value < _SHOWN_WHOLE else hex(value)
        )  # Python writes no number of any length
    if isinstance(value, (list, tuple, set, frozenset)):
        return ",".join(_value_text(one) for one in value)
    return str(value)


def _compare(found: Any, op: str, wanted: str) -> bool:
    if op == "in":
        return any(_compare(found, "=", one) for one in wanted.split(","))
    if op == "~":
        return compile_pattern(wanted, ignore_case=True).matches(_value_text(found))
    # Text from a worker is no number, even if it looks like one: the version 12.10 comes after 12.9.
    left, right = (None if isinstance(found, str) else _number(found)), _number(wanted)
    if left is not None and right is not None:
        return _is_met(op, (left > right) - (left < right))
    if op in {"=", "!="}:
        return (_value_text(found).casefold() == wanted.casefold()) == (op == "=")
    if left is not None:
        return False  # a number is neither more nor less than a word
    first, second = _value_text(found).casefold(), wanted.casefold()
    # Versions are compared piece by piece, as their authors mean them.
    one, two = _pieces(first), _pieces(second)
    return _is_met(op, (one > two) - (one < two))


def _pieces(text: str) -> list[tuple[int, int, str]]:
    return [_piece(one) for one in re.split(r"[.\-+_]", text)]


def _piece(text: str) -> tuple[int, int, str]:
    """A piece of a version as something to sort by: words come before numbers, and numbers count by value, at any length."""
    if not (text.isascii() and text.isdigit()):
        return 0, 0, text
    digits = text.lstrip("0")
    return 1, len(digits), digits


def _is_met(op: str, sign: int) -> bool:
    return {
        "=": sign == 0, "!=": sign != 0, ">": sign > 0, ">=": sign >= 0, "<": sign < 0, "<=": sign <= 0,
    }[op]  # fmt: skip
