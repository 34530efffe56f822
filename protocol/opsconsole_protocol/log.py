"""Log lines: which are asked for, and how they are answered.

A *line* is what one source wrote up to and including a newline. Its `line_number` is its 0-based place among all
lines of the attempt, over all sources, in the order in which the first byte of each reached the coordinator. That
order never changes afterwards, so a number means the same line whatever is filtered, paged or still unfinished.

A page holds *fragments*. Most are whole lines; but a line that isn't finished yet, or is too long, or whose rest lies far
behind the output of other sources, comes in several fragments with one `line_number` and rising `start`. Whoever shows lines
appends a fragment with `start` > 0 to the line of that number. No byte comes twice, and in `whole` pages none is missing.
"""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from opsconsole_protocol.bound import Label, Signed, Whole
from opsconsole_protocol.pattern import PATTERN_CHARACTERS_MAX

LOG_LINE_BYTES_MAX = 64 * 1024
"""Pages have only this much of a longer line, unless they are asked for `whole`; its `length` says how long it is.

Of one that keeps starting over (a progress bar with carriage returns) they have the last state."""
STATE_BYTES_MAX = 8 * 1024
"""Pages have only this much of the last state of such a line."""

LOG_SOURCES_MAX = 16
SOURCE_CHARACTERS_MAX = 20
PAGE_LINES_MAX = 100_000
PAGE_BYTES_MAX = 8 * 1024 * 1024


class Source(StrEnum):
    """Where a line of an attempt's log comes from."""

    STDOUT = "stdout"
    STDERR = "stderr"
    BUILD = "build"
    ERROR = "error"
    REPORT = "report"
    """What the task says of itself (`report`). It travels as a log does and isn't shown with it."""


SHOWN_SOURCES = tuple(source for source in Source if source is not Source.REPORT)
"""Where lines of a log can come from."""


class LogLine(msgspec.Struct, frozen=True, gc=False):
    """One line, or a fragment of one.

    `data` has no newline at its end, keeps carriage returns, and shows bytes that aren't UTF-8 as U+FFFD.
    `timestamp_ms` is when the agent read the fragment's first byte. `partial`: no newline has come yet, and more may follow
    under this number. `start` is the byte of the line at which the fragment begins, `length` the bytes of the line so far.
    """

    line_number: int
    source: Source
    data: str
    timestamp_ms: int
    partial: bool = False
    start: int = 0
    length: int = 0


class LogQuery(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Which lines of one attempt to read.

    A query without any field set reads from the first line on. A `start_line` ≥ 0 reads from that number on; a negative one,
    or `tail`, reads that many of the last lines that meet the other conditions. A line is read if `since_ms` ≤ its time <
    `until_ms` and its number < `before_line` (with `tail`, a page for scrolling back). `grep` is a regular expression
    (`pattern.py`) that is found in each line or, with `invert`, in none.

    `cursor` continues after an earlier page of this query; it overrides where the query says to start. The cursor of another
    attempt's log leads to the first line of this one, so that a task can be followed into its next attempt.

    `whole`: nothing is cut, a long line comes in as many fragments as it takes, and bytes that aren't UTF-8 are in the page's
    `raw`. `latest`: of a long line that keeps starting over only the last state is read, also in `whole` pages.
    """

    sources: Annotated[tuple[Source, ...], Meta(max_length=LOG_SOURCES_MAX)] = ()
    start_line: Signed | None = None
    tail: Whole | None = None
    before_line: Whole | None = None
    since_ms: Signed | None = None
    until_ms: Signed | None = None
    grep: Annotated[str, Meta(max_length=PATTERN_CHARACTERS_MAX)] | None = None
    max_lines: Annotated[int, Meta(ge=1, le=PAGE_LINES_MAX)] = 5_000
    max_bytes: Annotated[int, Meta(ge=1, le=PAGE_BYTES_MAX)] = 1024 * 1024
    cursor: Label | None = None
    whole: bool = False
    latest: bool = False
    invert: bool = False


class LogPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of lines in the order in which they began.

    `next_cursor` continues after this page, also at the end of a log that grows. `end`: there is nothing more to read now. A
    page may be short or even empty and not the end, since a search stops after some work and goes on from its cursor.
    `first_line` is the number of the first line here, or `total_lines` where there is none; `total_lines` counts the lines of
    the whole log so far, unfiltered. `note` is for the person who reads, or empty. `raw` has, in a `whole` page, the bytes of
    those lines that aren't UTF-8, by their place in `lines`.
    """

    lines: tuple[LogLine, ...]
    next_cursor: str
    end: bool
    first_line: int = 0
    total_lines: int = 0
    note: str = ""
    raw: dict[int, bytes] = {}
