"""Searching log lines for a pattern from outside."""

import re
from collections.abc import Sequence

from opsconsole_coordinator.log.scan import LogQueryError
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.pattern import compile_pattern

_INTRICATE = frozenset("\\{}[]|()")
_PLAIN_RUN = re.compile(r"([^.^$*+?]+)([*?]?)")


class Matcher:
    """Searches lines for one pattern, or `inverted` for those without it. LogQueryError in one line when it is none."""

    def __init__(self, text: str, *, inverted: bool = False) -> None:
        self._inverted = inverted
        try:
            self._pattern = compile_pattern(text)
        except InvalidRequest as error:
            raise LogQueryError(f"grep: {error}") from None

    @property
    def needle(self) -> bytes:
        """Bytes that every line with a match holds; empty when they can't be told."""
        if self._inverted:
            return b""
        text = self._pattern.text
        if not (text.isascii() and _INTRICATE.isdisjoint(text)):
            return b""
        # What a star or a question mark stands behind may be missing.
        runs = (run[1][:-1] if run[2] else run[1] for run in _PLAIN_RUN.finditer(text))
        return max(runs, key=len, default="").encode()

    def matches(self, lines: Sequence[str]) -> list[bool]:
        """For each line whether it is one of those that are looked for."""
        found, inverted = self._pattern.matches, self._inverted
        return [found(line) is not inverted for line in lines]
