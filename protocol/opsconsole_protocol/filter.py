"""The filter language: conditions, words to find, and words to leave out.

`project=pose state in running,paused lr !sweep` shows the rows of project pose that are running or paused, contain "lr" and
don't contain "sweep". Words with an operator are conditions as in `requirement.py`; bare words are looked for in the row's
text. The console's filter line and the coordinator's lists read this one language.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from opsconsole_protocol import requirement
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.requirement import CONDITION, KEY, Requirement

RowT = TypeVar("RowT")

SYNTAX: tuple[tuple[str, str], ...] = (
    ("lr sweep", "has both words in it, anywhere"),
    ('"a b"', "has these words side by side"),
    ("!word", "doesn't have it"),
    ("state=failed", "is that; != is not"),
    ("priority>=10", "also >, <, <="),
    ("state in failed,killed", "is one of these"),
    ("name~^train", "matches the pattern"),
    ("tasks.failed>0", "a dot reaches into the parts of a field"),
    ("created<1h", "a time: younger than an hour, or a date"),
)
"""The language by example, as help shows it: what to write, and what it lets through. All that is written must hold."""

_UNFINISHED = re.compile(rf"(?P<key>{KEY})(?:>=|<=|!=|==|=|>|<|~)")
_TOKEN = re.compile(rf"""(?:{CONDITION})(?=\s|$)|(?P<word>!?(?:"[^"]*"|\S+))""", re.VERBOSE | re.DOTALL)


@dataclass(frozen=True)
class Filter:
    """What a row must meet to be shown. An empty filter shows every row."""

    text: str = ""
    inverted: bool = False
    conditions: tuple[Requirement, ...] = ()
    words: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether every row is shown."""
        return not (self.conditions or self.words or self.without)

    @property
    def label(self) -> str:
        """The filter as the title of a pane shows it."""
        if self.empty:
            return ""
        return f"filter: {'not ' if self.inverted else ''}{self.text}"

    def predicate(
        self, properties: Callable[[RowT], Mapping[str, Any]], haystack: Callable[[RowT], str]
    ) -> Callable[[RowT], bool] | None:
        """A function that says whether a row is shown; None where every row is.

        `properties` gives what conditions look at, `haystack` the text for bare words, in lower case.
        """
        if self.empty:
            return None
        by_words, by_conditions = bool(self.words or self.without), self.conditions

        def is_shown(row: RowT) -> bool:
            # There may be very many rows: nothing is computed of one that the filter doesn't ask for.
            met = not by_words or self._has_words(haystack(row))
            if met and by_conditions:
                found = properties(row)
                met = all(condition.matches(found) for condition in by_conditions)
            return met != self.inverted

        return is_shown

    def _has_words(self, text: str) -> bool:
        return all(word in text for word in self.words) and not any(word in text for word in self.without)


def parse(
    text: str, *, inverted: bool = False, check: Callable[[Requirement], Requirement] = lambda one: one
) -> Filter:
    """Read a filter line. Raises InvalidRequest for a condition that can't be read, such as a broken regular expression.

    `check` is called with every condition and gives the one to use; it raises InvalidRequest for a field that rows lack.
    """
    requirement.check_length(text)
    conditions: list[Requirement] = []
    words: list[str] = []
    without: list[str] = []
    for match in _TOKEN.finditer(text):
        word = match["word"]
        if word is None:
            conditions.append(check(requirement.checked(requirement.condition(match))))
            continue
        if (unfinished := _UNFINISHED.fullmatch(word)) is not None:
            raise InvalidRequest(f"{word[:60]} what? Write a value after it, such as {unfinished['key'][:60]}=x")
        target = without if word.startswith("!") else words
        plain = word.removeprefix("!").strip('"').casefold()
        if plain:
            target.append(plain)
    return Filter(text.strip(), inverted, requirement.counted(conditions), tuple(words), tuple(without))
