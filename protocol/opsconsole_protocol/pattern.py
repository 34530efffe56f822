"""Regular expressions from outside: the one way to compile and run them.

Python's `re` can take for ever over one line, and nothing can stop it, since it holds the interpreter's lock. Patterns that
people and peers write run on RE2 instead: its time grows no faster than pattern × text, and its memory is bounded. What RE2
doesn't know (look-around, back-references) is refused in one line.

`re` itself is only for patterns that are constants of our own code, which a test checks.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from opsconsole_protocol.error import InvalidRequest

PATTERN_CHARACTERS_MAX = 1_000
_MEMORY_BYTES_MAX = 8 << 20
_WITHOUT_RE2 = ("invalid perl operator: (?=", "invalid perl operator: (?!", "invalid perl operator: (?<")


class Pattern:
    """A compiled pattern. Made by `compile_pattern`."""

    __slots__ = ("_compiled", "ignore_case", "text")

    def __init__(self, text: str, compiled: Any, *, ignore_case: bool) -> None:
        self.text = text
        self.ignore_case = ignore_case
        self._compiled = compiled

    def search(self, line: str, start: int = 0) -> tuple[int, int] | None:
        """Where the pattern is first found at or after character `start`, as (first, past the last); None if nowhere."""
        found = self._compiled.search(_encodable(line), start)
        return None if found is None else found.span()

    def spans(self, line: str) -> Iterator[tuple[int, int]]:
        """Every place where something of at least one character is found, from left to right."""
        found = (match.span() for match in self._compiled.finditer(_encodable(line)))
        return ((first, end) for first, end in found if first < end)

    def matches(self, line: str) -> bool:
        """Whether the pattern is found anywhere in `line`."""
        return self._compiled.search(_encodable(line)) is not None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its named groups."""
        return tuple(self._compiled.groupindex)

    def groups(self, line: str) -> dict[str, str]:
        """What its named groups hold where it is first found in `line`; those that take no part are left out."""
        found = self._compiled.search(_encodable(line))
        return {} if found is None else {name: text for name, text in found.groupdict().items() if text is not None}


@lru_cache(maxsize=256)
def compile_pattern(text: str, *, ignore_case: bool = False) -> Pattern:
    """Compile a pattern from outside. Raises InvalidRequest in one line that says what to write instead."""
    if len(text) > PATTERN_CHARACTERS_MAX:
        raise InvalidRequest(f"a pattern has at most {PATTERN_CHARACTERS_MAX} characters, this one {len(text)}")
    import re2

    options = re2.Options()
    options.max_mem = _MEMORY_BYTES_MAX
    options.log_errors = False
    options.case_sensitive = not ignore_case
    try:
        compiled = re2.compile(_encodable(text), options)
    except re2.error as error:
        raise InvalidRequest(_refusal_text(text, error)) from None
    return Pattern(text, compiled, ignore_case=ignore_case)


def escaped(text: str) -> str:
    """The pattern that finds `text` as it stands."""
    return re.escape(text)


def _refusal_text(text: str, error: Exception) -> str:
    first = error.args[0] if error.args else ""
    reason = first.decode("utf-8", "replace") if isinstance(first, bytes) else str(first)
    if reason.startswith(_WITHOUT_RE2):
        return (
            f"{text[:100]!r} looks ahead or behind, which patterns here can't: write it without (?=…), (?!…) or (?<…)"
        )
    if reason == "invalid escape sequence: \\1":
        return f"{text[:100]!r} refers back to a group, which patterns here can't: write it without \\1"
    if "pattern too large" in reason:
        return "this pattern is too large: write a simpler one"
    return f"{text[:100]!r} is not a regular expression: {reason[:200]}"


def _encodable(text: str) -> str:
    """The text without lone surrogates (bytes that weren't UTF-8), which can't be encoded: each becomes one question mark."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text
