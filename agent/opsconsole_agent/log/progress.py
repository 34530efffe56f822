"""How far a task is, by the last lines that it printed, as tqdm, rich, Keras and training loops print them. Pure.

Lines are read only when a heartbeat is due. Where progress isn't clear there is none, as a wrong bar is worse than none.
"""

import re
from typing import NamedTuple

TAIL_BYTES = 4 * 1024
_SEGMENTS = 24
_ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_NUMBER = r"(\d{1,15}(?:\.\d{1,6})?)([kKMGT]?)"
_BAR_SIGNS = r"[|│┃▏▎▍▌▋▊▉█▓░━╸╺─#=>.\-\[]"
_TQDM = re.compile(rf"(\d{{1,3}})%\|[^|]*\|\s*{_NUMBER}i?B?/{_NUMBER}i?B?\s*(?:\[[^<\]]*<([\d:]+))?")
_PERCENT_BAR = re.compile(
    rf"(?:(?:{_BAR_SIGNS}{{4,}}|\[[=>#.\- ]{{6,200}}\])\s*(\d{{1,3}}(?:\.\d+)?)\s?%"
    rf"|(\d{{1,3}}(?:\.\d+)?)\s?%\s*(?:\|\s*)?{_BAR_SIGNS}{{4,}})"
)
_COUNT_BAR = re.compile(r"(?:^|\s)(\d{1,15})/(\d{1,15})\s*\[?[━=>.#█\-]{4,}")
_EPOCH = re.compile(r"\bepochs?\b[\s:#=\[(]*(\d{1,9})\s*(?:/|of)\s*(\d{1,9})", re.IGNORECASE)
_COUNTED = re.compile(
    r"\b(?:global[ _]step|step|iteration|iter|it|batch|round|trial|fold|episode|chunk|file|sample|frame|example|item)s?\b"
    r"[\s:#=\[(]*(\d{1,15})\s*(?:/|of)\s*(\d{1,15})\b",
    re.IGNORECASE,
)
_LEADING_COUNT = re.compile(r"\W{0,9}(?:[\w \-]{1,40}[:\[(#=]\s{0,9})?(\d{1,15})\s?/\s?(\d{1,15})(?![\d/.])")
_LEADING_PERCENT = re.compile(r"\s{0,40}(?:[\d,.]{1,30}[kKMGT]?\s{1,9})?(\d{1,3}(?:\.\d{1,6})?)\s?%")
_POWER = {"": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


class Reading(NamedTuple):
    """`done` of `total`; `left_ms` is the time that is left where the task prints it."""

    done: float
    total: float
    left_ms: int | None = None


def read_progress(tail: bytes) -> Reading | None:
    """Return the last progress in the end of an output, or None without one.

    An epoch and the bar after it are combined.
    """
    text = _ESCAPE.sub("", tail[-TAIL_BYTES:].decode(errors="replace"))
    segments = [one for one in re.split(r"[\r\n]+", text) if one.strip()][-_SEGMENTS:]
    bar: Reading | None = None
    for segment in reversed(segments):
        epoch = _whole(_EPOCH.search(segment))
        found = _bar(segment) or _whole(_COUNTED.search(segment))
        if epoch is not None:
            inner = found if bar is None else bar
            if inner is None:
                return epoch
            # A full bar is the last of its epoch; the next epoch begins at 0.
            return Reading(max(0.0, epoch.done - 1) + inner.done / inner.total, epoch.total)
        bar = bar or found
    return bar or _rewritten(text)


def _rewritten(text: str) -> Reading | None:
    """Return the progress of a line that is written over and over and begins with a count or percentage that grows."""
    lines = [line for line in text.split("\n") if line.strip()]
    states = [state for state in lines[-1].split("\r") if state.strip()][-2:] if lines else []
    if len(states) < 2:
        return None
    before, now = (_whole(_LEADING_COUNT.match(state)) for state in states)
    if before is not None and now is not None:
        return now if before.total == now.total and before.done <= now.done else None
    first, last = (_LEADING_PERCENT.match(state) for state in states)
    if first is None or last is None or not float(first[1]) <= float(last[1]) <= 100:
        return None
    return Reading(float(last[1]), 100.0)


def _bar(text: str) -> Reading | None:
    for match in reversed(list(_TQDM.finditer(text))):
        done, total = float(match[2]) * _POWER[match[3]], float(match[4]) * _POWER[match[5]]
        if 0 <= done <= total > 0:
            return Reading(done, total, _clock_ms(match[6]))
    for match in reversed(list(_PERCENT_BAR.finditer(text))):
        percent = float(match[1] or match[2])
        if percent <= 100:
            return Reading(percent, 100.0)
    return _whole(_COUNT_BAR.search(text))


def _whole(match: re.Match[str] | None) -> Reading | None:
    if match is None:
        return None
    done, total = int(match[1]), int(match[2])
    return Reading(float(done), float(total)) if 0 <= done <= total and total > 0 else None


def _clock_ms(text: str | None) -> int | None:
    """Return the milliseconds in `1:02:03` or `02:03`, or None for anything else."""
    parts = text.split(":") if text else []
    if not 2 <= len(parts) <= 3 or not all(part.isdecimal() and len(part) <= 6 for part in parts):
        return None
    seconds = 0
    for part in parts:
        seconds = 60 * seconds + int(part)
    return 1000 * seconds


class ProgressMeter:
    """The progress of one attempt over time. It estimates the time that is left where the task doesn't print it."""

    def __init__(self) -> None:
        self._first: tuple[int, Reading] | None = None
        self._last: Reading | None = None

    def update(self, tails: tuple[bytes, ...], now_ms: int) -> Reading | None:
        """Return the progress that the ends of the outputs show, or the last one where they show none."""
        found = next(filter(None, map(read_progress, tails)), None)
        if found is None:
            return self._last
        if self._first is None or found.total != self._first[1].total or found.done < self._first[1].done:
            self._first = now_ms, found
        since_ms, first = self._first
        gained = found.done - first.done
        if found.left_ms is None and gained > 0:
            found = found._replace(left_ms=round((now_ms - since_ms) * (found.total - found.done) / gained))
        self._last = found
        return found
