"""Why an attempt failed, by the last lines that it printed: in words, with a hint of what to do, and as a code.

What is told must have been said at the end: an exception that was caught, printed and followed by other output tells
nothing of the end. Where nothing is certain, nothing is told but how the process ended.
"""

import re
import signal
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from opsconsole_agent.failure.last_lines import Printed, last_lines
from opsconsole_agent.failure.rule import RULES, Rule
from opsconsole_agent.failure.statement import Kind, Statement, is_error_line, sounds_bad, statements
from opsconsole_protocol.bound import cut
from opsconsole_protocol.end_cause import Cause

WORDS_CHARACTERS_MAX = 300
FOLLOWING_MAX = 8
"""Lines that may follow a failure: they are taken for more of its message."""
STALE_MS = 2_000
"""A source that was silent for longer when the other one was written to last doesn't tell of the end."""

_FROM_OUTSIDE = frozenset({128 + 1, 128 + 9, 128 + 15})
"""Hangup, kill and term come from others: whatever the program said before isn't why."""
_SUMMARY = re.compile(
    r"Root Cause \(first observed failure\):\n\[\d+\]:\n(?:[ ].*\n){0,3}?\s+rank\s+: (?P<rank>\d+).*\n\s+exitcode\s+: (?P<code>-?\d+)"
)


class Failure(NamedTuple):
    """What a program said of its failure. `cause` is empty where it is no more than an exit code or a signal."""

    words: str
    hint: str = ""
    cause: Cause = ""


class _Found(NamedTuple):
    statement: Statement
    rule: Rule | None
    match: re.Match[str] | None = None


def explain(printed: Printed, status: int) -> Failure | None:
    """What its last lines say; None where they don't. `status`: its exit code, or 128 and the number of its signal."""
    newest_ms = max(printed.stderr.at_ms, printed.stdout.at_ms)
    last_words: list[str] = []
    for tail, is_bad in ((printed.stderr, sounds_bad), (printed.stdout, is_error_line)):
        if newest_ms - tail.at_ms > STALE_MS:
            continue
        lines = last_lines(tail, printed.secrets)
        stated = statements(lines)
        summary = _SUMMARY.search("\n".join(lines))
        found = _choose(list(_reasons(stated, status)), summary)
        if found is not None:
            return _tell(found, summary)
        if stated and stated[-1].kind is Kind.PLAIN and is_bad(stated[-1].line):
            last_words.append(stated[-1].line)
    return Failure(cut(last_words[0], WORDS_CHARACTERS_MAX)) if last_words and not _is_signal(status) else None


def _reasons(stated: Sequence[Statement], status: int) -> Iterator[_Found]:
    """From the end upwards: what may have ended it, and behind what only says that something else failed, that."""
    following = 0
    bars: set[str] = set()
    for statement in reversed(stated):
        if statement.kind is Kind.BAR:
            bars.add(statement.line)
            continue
        if statement.kind is Kind.WENT_ON or following > FOLLOWING_MAX or len(bars) > 1:
            return
        found = _recognised(statement, status)
        if found is None or (statement.caught and (following or bars)):
            following += 1
            continue
        yield found
        if found.rule is not None and found.rule.wraps:
            following = 0
        elif not statement.rank:
            return


def _recognised(statement: Statement, status: int) -> _Found | None:
    for rule in RULES:
        if status not in rule.statuses and (rule.statuses or status in _FROM_OUTSIDE):
            continue
        match = rule.pattern.search(statement.line)
        if match is not None:
            return _Found(statement, rule, match)
    is_end = statement.kind is Kind.EXCEPTION and not _is_signal(status)
    return _Found(statement, None) if is_end else None


def _is_signal(status: int) -> bool:
    """Whether an exit code is how a shell tells of a signal."""
    return 128 < status <= 128 + 64


def _choose(found: Sequence[_Found], summary: re.Match[str] | None) -> _Found | None:
    """Of several the one of the rank that failed first, where a launcher says which; else the last that isn't only a launcher's."""
    inner = [one for one in found if one.rule is None or not one.rule.wraps]
    if summary is not None:
        inner = [one for one in inner if one.statement.rank == summary["rank"]] or inner
    return next(iter(inner), found[-1] if found else None)


def _tell(found: _Found, summary: re.Match[str] | None) -> Failure:
    statement, rule, match = found
    if rule is not None and rule.wraps and summary is not None:
        return Failure(_of_summary(summary))
    words = "" if rule is None or match is None else _filled(rule, match)
    if not words:
        words = statement.line
        if statement.code.startswith("assert ") and words == "AssertionError":
            words = f"{words}: {statement.code}"
    words = cut(words, WORDS_CHARACTERS_MAX)
    if statement.origin:
        words = f"{words} ({statement.how} {cut(statement.origin, WORDS_CHARACTERS_MAX // 2)})"
    if statement.place:
        words = f"{words} ({statement.place})"
    if statement.rank:
        words = f"rank {statement.rank}: {words}"
    told = rule if rule is not None or not statement.origin else _rule_of(statement.origin)
    return Failure(words, "" if told is None else told.hint, "" if told is None else told.cause)


def _rule_of(line: str) -> Rule | None:
    """What is known of an exception from which another one came."""
    return next((rule for rule in RULES if not rule.statuses and rule.pattern.search(line)), None)


def _filled(rule: Rule, match: re.Match[str]) -> str:
    if not isinstance(rule.words, str):
        return rule.words(match)
    return rule.words.format(*match.groups("")).rstrip(" :")


def _of_summary(summary: re.Match[str]) -> str:
    code = int(summary["code"])
    how = f"failed with exit code {code}" if code >= 0 else f"was killed by {signal_words(-code)}"
    return f"rank {summary['rank']} {how}"


def signal_words(number: int) -> str:
    """`signal 9 (SIGKILL)`, or `signal 40` for one without a name."""
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"
